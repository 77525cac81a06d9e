"""One direction's bytes: whatever the cuts, what goes on is the frames that came, less those that were dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from core_samples import MIB, QUICK, cuts, frames_of_messages, head, wire
from hypothesis import given
from hypothesis import strategies as st

from trio_router.core.flow import LARGE_FRAME_BYTES, Flow, Scratch
from trio_router.core.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WATCH_ALL, FrameScanner
from trio_router.core.outcome import Cause, End, Side

#: As small as it may be: the beginning of a frame below LARGE_FRAME_BYTES must leave room to read more.
SMALL_SCRATCH = LARGE_FRAME_BYTES + 64


def make_flow(
    scratch: Scratch, *, side: Side = Side.REPLICA, hold: int = MIB, watch: frozenset[int] = WATCH_ALL
) -> Flow:
    scanner = FrameScanner(masked=side is Side.CLIENT, hold_bytes=hold, max_message_bytes=MIB, watch=watch)
    return Flow(side, scanner, scratch)


def put(flow: Flow, data: bytes) -> int:
    """Read as much as there is room for."""
    room = flow.room()
    assert len(room) == flow.wanted > 0
    size = min(len(room), len(data))
    room[:size] = data[:size]
    flow.feed(size)
    return size


def carry(flow: Flow, data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Everything that may be written, read by read; pings are dropped."""
    pos, turn = 0, 0
    while pos < len(data):
        pos += put(flow, data[pos : pos + (sizes[turn] if turn < len(sizes) else len(data))])
        turn += 1
        while flow.event is not None:
            flow.resume(keep=flow.event.opcode != PING)
        yield bytes(flow.take())
        flow.release()


def joined(parts: list[tuple[int, bytes, bool]], *, masked: bool) -> tuple[bytes, bytes]:
    """(what is sent, what should arrive)."""
    frames = [(opcode, wire(opcode, payload, fin=fin, masked=masked)) for opcode, payload, fin in parts]
    return b"".join(data for _, data in frames), b"".join(data for opcode, data in frames if opcode != PING)


@QUICK
@given(parts=frames_of_messages(), sizes=cuts, side=st.sampled_from((Side.CLIENT, Side.REPLICA)))
def test_what_goes_on_is_what_came_less_what_was_dropped(
    parts: list[tuple[int, bytes, bool]], sizes: list[int], side: Side
) -> None:
    sent, expected = joined(parts, masked=side is Side.CLIENT)
    flow = make_flow(Scratch(SMALL_SCRATCH), side=side)
    assert b"".join(carry(flow, sent, sizes)) == expected
    assert flow.at_boundary
    assert not flow.between_fragments


@QUICK
@given(
    parts=st.tuples(frames_of_messages(), frames_of_messages()), sizes=st.tuples(cuts, cuts), hold=st.integers(0, 200)
)
def test_two_flows_share_a_scratch_and_never_see_each_other(
    parts: tuple[list[tuple[int, bytes, bool]], ...], sizes: tuple[list[int], ...], hold: int
) -> None:
    scratch = Scratch(SMALL_SCRATCH)
    up = make_flow(scratch, side=Side.CLIENT)
    down = make_flow(scratch, hold=MIB if hold == 0 else hold + 131)  # pings (131 bytes at most) are always held
    (up_sent, up_expected), (down_sent, down_expected) = joined(parts[0], masked=True), joined(parts[1], masked=False)
    carrying = [(carry(up, up_sent, sizes[0]), bytearray()), (carry(down, down_sent, sizes[1]), bytearray())]
    going = list(carrying)
    while going:
        for one in list(going):
            arrived = next(one[0], None)
            if arrived is None:
                going.remove(one)
            else:
                one[1].extend(arrived)
    assert [bytes(out) for _, out in carrying] == [up_expected, down_expected]


def test_the_rest_of_a_large_frame_is_read_into_memory_of_exactly_its_size() -> None:
    scratch = Scratch(SMALL_SCRATCH)
    flow = make_flow(scratch, watch=frozenset())
    small, large = wire(TEXT, b"small"), wire(BINARY, b"x" * LARGE_FRAME_BYTES)
    put(flow, small + large[:100])
    assert bytes(flow.take()) == small
    assert (flow.own_memory, flow.wanted) == (False, len(large) - 100)
    put(flow, large[100:200])
    assert not flow.take()
    put(flow, large[200:])
    out = flow.take()
    assert (flow.own_memory, len(out)) == (True, len(large))
    scratch.buf[:] = bytes(len(scratch.buf))  # another direction reads meanwhile
    assert bytes(out) == large
    flow.release()
    assert (flow.own_memory, flow.wanted) == (False, len(scratch.buf))


def test_the_beginning_of_a_small_frame_is_kept_from_the_scratch() -> None:
    scratch = Scratch(SMALL_SCRATCH)
    flow = make_flow(scratch)
    data = wire(BINARY, b"y" * (LARGE_FRAME_BYTES - 5))  # one byte below LARGE_FRAME_BYTES with its header
    assert len(data) == LARGE_FRAME_BYTES - 1
    put(flow, data[:-1])
    assert not flow.take()
    scratch.buf[:] = bytes(len(scratch.buf))
    assert flow.wanted == len(scratch.buf) - len(data) + 1
    put(flow, data[-1:])
    assert flow.payload() == b"y" * (LARGE_FRAME_BYTES - 5)
    flow.resume(keep=True)
    assert bytes(flow.take()) == data
    assert not flow.own_memory


def test_a_large_frame_can_be_looked_at_and_dropped() -> None:
    flow = make_flow(Scratch(SMALL_SCRATCH), side=Side.CLIENT)
    data = wire(BINARY, b"z" * LARGE_FRAME_BYTES, masked=True)
    put(flow, data[:50])
    assert not flow.take()
    put(flow, data[50:])
    assert flow.payload() == b"z" * LARGE_FRAME_BYTES
    flow.resume(keep=False)
    assert not flow.take()
    put(flow, wire(TEXT, b"next", masked=True))
    assert flow.payload() == b"next"


@pytest.mark.parametrize("keep", [False, True])
def test_nothing_behind_a_close_counts(keep: bool) -> None:
    flow = make_flow(Scratch(SMALL_SCRATCH))
    before, close = wire(TEXT, b"before"), wire(CLOSE, b"\x03\xe8")
    put(flow, before + close + wire(TEXT, b"behind") + head(0xFF, 0xFF))
    flow.resume(keep=True)
    assert flow.payload() == b"\x03\xe8"
    flow.end = End(Side.REPLICA, Cause.CLOSED)
    flow.resume(keep=keep)
    assert flow.event is None
    assert bytes(flow.take()) == (before + close if keep else before)
    assert flow.end == End(Side.REPLICA, Cause.CLOSED)


@pytest.mark.parametrize(
    ("bad", "cause"),
    [(head(0x83, 0), Cause.PROTOCOL_ERROR), (head(0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0), Cause.TOO_BIG)],
)
def test_wrong_bytes_end_the_flow_behind_the_good_ones(bad: bytes, cause: Cause) -> None:
    flow = make_flow(Scratch(SMALL_SCRATCH), watch=frozenset())
    good = wire(TEXT, b"good")
    put(flow, good + bad + good)
    assert bytes(flow.take()) == good
    assert flow.end is not None
    assert (flow.end.side, flow.end.cause) == (Side.REPLICA, cause)
    assert flow.end.detail
    assert not flow.take()[len(good) :]


def test_it_says_where_a_frame_may_be_put_in() -> None:
    flow = make_flow(Scratch(SMALL_SCRATCH), hold=1024, watch=frozenset({PONG}))
    long = wire(BINARY, bytes(3000), fin=False)
    seen = []
    for data in (long[:500], long[500:], wire(PONG, b"p"), wire(CONTINUATION, b"end")):
        put(flow, data)
        while flow.event is not None:
            assert flow.payload() == b"p"
            flow.resume(keep=True)
        assert bytes(flow.take()) == data
        seen.append((flow.at_boundary, flow.between_fragments))
    assert seen == [(False, True), (True, True), (True, True), (True, False)]
