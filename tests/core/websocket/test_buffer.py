"""One direction's bytes: whatever the cuts, what goes on is the frames that came, less those that were dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trio_router.core.websocket.buffer as buffer_module
import trio_router.core.websocket.scratch as scratch_module
from tests.core.samples import MIB, QUICK, cuts, head, pieces, wire
from trio_router.core.session.outcome import Side
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MESSAGE_TOO_BIG,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
)
from trio_router.core.websocket.scanner import WATCH_ALL, WATCH_NOTHING, FrameScanner
from trio_router.core.websocket.scratch import Scratch

#: As small as it may be: the beginning of a small frame must leave room to read more.
LARGE, DRIPPING, REUSED, PAGE, FIRST = 400, 100, 1024, 64, 32
SCRATCH_BYTES = LARGE + 20


@pytest.fixture(scope="module", autouse=True)
def _small_sizes() -> Iterator[None]:
    """The same code at a thousandth of the sizes, so that every boundary is met often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer_module, "LARGE_FRAME_BYTES", LARGE)
        patch.setattr(buffer_module, "DRIPPING_FRAME_BYTES", DRIPPING)
        patch.setattr(scratch_module, "REUSED_BYTES", REUSED)
        patch.setattr(scratch_module, "SPARE_BYTES", 3 * REUSED)
        patch.setattr(scratch_module, "FIRST_BYTES", FIRST)
        patch.setattr(scratch_module, "WINDOWS", ())
        patch.setattr(scratch_module, "_PAGE", PAGE)
        yield


def make_flow(
    scratch: Scratch, *, side: Side = Side.REPLICA, hold: int = MIB, watch: frozenset[int] = WATCH_ALL
) -> FrameBuffer:
    scanner = FrameScanner(masked=side is Side.CLIENT, hold_bytes=hold, max_message_bytes=MIB, watch=watch)
    return FrameBuffer(scanner, scratch, masked=side is Side.CLIENT)


def put(buffer: FrameBuffer, data: bytes) -> int:
    """Read as much as the buffer takes."""
    wanted = buffer.sizehint
    room = buffer.get_buffer()
    assert len(room) == wanted == buffer.sizehint > 0
    size = min(len(room), len(data))
    room[:size] = data[:size]
    buffer.feed(size)
    return size


def resume_all(buffer: FrameBuffer) -> None:
    """Pings are dropped."""
    while buffer.event is not None:
        buffer.resume(keep=buffer.event.opcode != PING)


@dataclass
class Carrier:
    """What a pump does with a buffer, without waiting. ``busy``: for each read, whether the sink accepts nothing."""

    flow: FrameBuffer
    sizes: list[int]
    busy: list[bool]
    waiting: list[memoryview] = field(default_factory=list)
    arrived: bytearray = field(default_factory=bytearray)

    def carry(self, data: bytes) -> Iterator[None]:
        """One read at a time."""
        for turn, piece in enumerate(pieces(data, self.sizes)):
            rest = piece
            while rest:
                rest = rest[put(self.flow, rest) :]
                resume_all(self.flow)
                self.forward(self.flow.take(), busy=self.busy[turn % len(self.busy)])
                yield
        self.write()

    def forward(self, out: memoryview, *, busy: bool) -> None:
        if not busy:
            self.write()
            self.arrived += out
            self.flow.release(out)
        elif self.flow.own_memory:
            self.waiting.append(out)
            self.flow.release()
        else:
            self.waiting.append(memoryview(bytes(out)))

    def write(self) -> None:
        for view in self.waiting:
            self.arrived += view
            self.flow.release(view)
        self.waiting.clear()


def joined(parts: list[tuple[int, bytes, bool]], *, masked: bool) -> tuple[bytes, bytes]:
    """(what is sent, what should arrive)."""
    frames = [(opcode, wire(opcode, payload, fin=fin, masked=masked)) for opcode, payload, fin in parts]
    return b"".join(data for _, data in frames), b"".join(data for opcode, data in frames if opcode != PING)


_lengths = st.one_of(st.integers(0, 200), st.integers(LARGE - 12, LARGE + 4), st.integers(REUSED - 12, 4 * REUSED))
_data = st.builds(lambda size, fill: bytes([fill]) * size, _lengths, st.integers(0, 255))
_frames = st.lists(
    st.one_of(
        st.tuples(st.just(BINARY), _data, st.just(True)),
        st.tuples(st.sampled_from((PING, PONG)), st.binary(max_size=20), st.just(True)),
    ),
    max_size=8,
)
_reads = st.one_of(cuts, st.lists(st.integers(1, 900), min_size=1, max_size=30))
_moods = st.lists(st.booleans(), min_size=1, max_size=5)
_ways = st.tuples(_frames, _reads, _moods, st.sampled_from((Side.CLIENT, Side.REPLICA)), st.sampled_from((600, MIB)))


@QUICK
@given(ways=st.lists(_ways, min_size=1, max_size=3), windows=st.sampled_from(((), (7, 60), (1, 2, 3, 4))))
def test_flows_share_a_scratch_and_each_carries_what_came_less_what_was_dropped(
    ways: list[tuple[list[tuple[int, bytes, bool]], list[int], list[bool], Side, int]], windows: tuple[int, ...]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch_module, "WINDOWS", windows)
        patch.setattr(buffer_module, "FRAMES_PER_READ", 2)
        scratch = Scratch(SCRATCH_BYTES)
        carry_all(scratch, ways)


def carry_all(
    scratch: Scratch, ways: list[tuple[list[tuple[int, bytes, bool]], list[int], list[bool], Side, int]]
) -> None:
    carriers, going, expected = [], [], []
    for parts, sizes, busy, side, hold in ways:
        sent, kept = joined(parts, masked=side is Side.CLIENT)
        carrier = Carrier(make_flow(scratch, side=side, hold=hold), sizes, busy)
        carriers.append(carrier)
        going.append(carrier.carry(sent))
        expected.append(kept)
    while going:
        going = [one for one in going if next(one, StopIteration) is not StopIteration]
    assert [bytes(carrier.arrived) for carrier in carriers] == expected
    assert all(carrier.flow.at_boundary and not carrier.flow.between_fragments for carrier in carriers)


def test_the_rest_of_a_large_frame_is_read_into_memory_of_its_own() -> None:
    scratch = Scratch(SCRATCH_BYTES)
    buffer = make_flow(scratch, watch=frozenset())
    small, large = wire(TEXT, b"small"), wire(BINARY, b"x" * LARGE)
    assert (buffer.own_memory, buffer.missing) == (False, 0)
    put(buffer, small + large[:100])
    assert bytes(buffer.take()) == small
    assert (buffer.own_memory, buffer.sizehint, buffer.missing) == (False, len(large) - 100, len(large) - 100)
    put(buffer, large[100:200])
    assert not buffer.take()
    assert buffer.missing == len(large) - 200
    put(buffer, large[200:])
    out = buffer.take()
    assert (buffer.own_memory, len(out), buffer.missing) == (True, len(large), 0)
    scratch.buf[:] = bytes(len(scratch.buf))  # another direction reads meanwhile
    assert bytes(out) == large
    buffer.release()
    assert buffer.own_memory is False


def test_after_a_large_frame_the_scratch_serves_again() -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=frozenset())
    large = wire(BINARY, b"x" * LARGE)
    for part in (large[:100], large[100:], wire(TEXT, b"a") + large[:3], large[3:9], large[9:], b"\x82"):
        while part:
            part = part[put(buffer, part) :]  # the memory of a large frame grows with what comes
            buffer.take()
        buffer.release()
    assert (buffer.sizehint, buffer.missing) == (SCRATCH_BYTES - 1, 0)


@pytest.mark.parametrize("size", [LARGE, REUSED, 20 * REUSED])
@pytest.mark.parametrize("drip", [1, 13, 700])
def test_the_memory_for_a_large_frame_grows_with_what_really_comes(size: int, drip: int) -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=frozenset())
    data = wire(BINARY, bytes(range(256)) * (size // 256) + bytes(size % 256))
    pos = put(buffer, data[:14])
    assert not buffer.take()
    assert buffer.sizehint <= 8 * 14 + PAGE, "a header of 14 bytes gets no memory for what it claims"
    while pos < len(data):
        pos += put(buffer, data[pos : pos + drip])
        out = buffer.take()
        assert buffer.sizehint <= max(FIRST, 2 * pos, min(8 * pos, REUSED)) + PAGE or pos == len(data)
    assert bytes(out) == data


def test_a_header_that_claims_60_mib_holds_16_kib() -> None:
    """At the real sizes: no more than an idle session costs anyway."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (buffer_module, "LARGE_FRAME_BYTES", 512 * 1024),
            (scratch_module, "REUSED_BYTES", MIB + 64 * 1024),
            (scratch_module, "FIRST_BYTES", 16 * 1024),
        ):
            patch.setattr(module, name, value)
        scanner = FrameScanner(masked=False, hold_bytes=64 * MIB, max_message_bytes=64 * MIB)
        buffer = FrameBuffer(scanner, Scratch(), masked=False)
        put(buffer, head(0x82, 127, *(60 * MIB).to_bytes(8, "big")))
        assert not buffer.take()
        assert buffer.sizehint <= 16 * 1024
        assert buffer.missing == 60 * MIB


def test_a_scratch_lends_again_what_it_got_back_but_keeps_only_so_much() -> None:
    scratch = Scratch(SCRATCH_BYTES)
    first = scratch.lend(LARGE, came=LARGE // 8)
    assert LARGE <= len(first) < LARGE + PAGE
    scratch.take_back(first)
    assert scratch.lend(len(first) + 1, came=LARGE) is not first
    assert scratch.lend(len(first) // 2 - 1, came=LARGE) is not first
    assert scratch.lend(LARGE, came=1) is not first, "a claim gets no large spare"
    assert scratch.lend(LARGE, came=LARGE // 8) is first
    assert scratch.lend(LARGE, came=LARGE // 8) is not first
    for ignored in (b"bytes", scratch.buf, bytearray(REUSED + 1), bytearray(PAGE - 1), None):
        scratch.take_back(ignored)
    lent = [scratch.lend(REUSED - 10, came=REUSED) for _ in range(5)]
    assert not any(one is other for i, one in enumerate(lent) for other in lent[:i])
    for one in lent:
        scratch.take_back(one)
    again = [scratch.lend(REUSED - 10, came=REUSED) for _ in range(5)]
    assert sum(any(one is old for old in lent) for one in again) == 3 * REUSED // len(lent[0])
    assert scratch.lend(10 * REUSED, came=2 * REUSED) == bytearray(4 * REUSED)
    assert scratch.lend(10 * REUSED, came=9 * REUSED) == bytearray(10 * REUSED)
    assert scratch.lend(10 * REUSED, came=1) == bytearray(FIRST)


def test_the_beginning_of_a_small_frame_is_kept_from_the_scratch() -> None:
    scratch = Scratch(SCRATCH_BYTES)
    buffer = make_flow(scratch)
    payload = b"y" * (LARGE - 5)
    data = wire(BINARY, payload)  # one byte below a large frame, with its header
    assert len(data) == LARGE - 1
    put(buffer, data[:-1])
    assert not buffer.take()
    scratch.buf[:] = bytes(len(scratch.buf))
    assert buffer.sizehint == len(scratch.buf) - len(data) + 1
    put(buffer, data[-1:])
    assert buffer.payload() == payload
    buffer.resume(keep=True)
    assert bytes(buffer.take()) == data
    assert not buffer.own_memory


def test_a_large_frame_can_be_looked_at_and_dropped() -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), side=Side.CLIENT)
    data = wire(BINARY, b"z" * LARGE, masked=True)
    put(buffer, data[:50])
    assert not buffer.take()
    put(buffer, data[50:])
    assert buffer.payload() == b"z" * LARGE
    buffer.resume(keep=False)
    assert not buffer.take()
    put(buffer, wire(TEXT, b"next", masked=True))
    assert buffer.payload() == b"next"


@pytest.mark.parametrize("keep", [False, True])
def test_nothing_behind_a_close_counts(keep: bool) -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES))
    before, close = wire(TEXT, b"before"), wire(CLOSE, b"\x03\xe8")
    put(buffer, before + close + wire(TEXT, b"behind") + head(0xFF, 0xFF))
    buffer.resume(keep=True)
    assert buffer.payload() == b"\x03\xe8"
    buffer.resume(keep=keep, stop=True)
    assert buffer.event is None
    assert bytes(buffer.take()) == (before + close if keep else before)


@pytest.mark.parametrize(
    ("bad", "code"),
    [(head(0x83, 0), PROTOCOL_ERROR), (head(0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0), MESSAGE_TOO_BIG)],
)
def test_wrong_bytes_end_the_flow_behind_the_good_ones(bad: bytes, code: int) -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=frozenset())
    good = wire(TEXT, b"good")
    put(buffer, good + bad + good)
    assert bytes(buffer.take()) == good
    assert buffer.error is not None
    assert buffer.error.code == code
    assert buffer.error.reason
    assert not buffer.take()[len(good) :]


def test_it_says_where_a_frame_may_be_put_in() -> None:
    buffer = make_flow(Scratch(4096), hold=1024, watch=frozenset({PONG}))
    long = wire(BINARY, bytes(3000), fin=False)
    seen = []
    for data in (long[:500], long[500:], wire(PONG, b"p"), wire(CONTINUATION, b"end")):
        put(buffer, data)
        while buffer.event is not None:
            assert buffer.payload() == b"p"
            buffer.resume(keep=True)
        assert bytes(buffer.take()) == data
        seen.append((buffer.at_boundary, buffer.between_fragments))
    assert seen == [(False, True), (True, True), (True, True), (True, False)]


@pytest.mark.parametrize("size", [DRIPPING, LARGE - 10])
def test_a_frame_that_comes_in_drips_is_not_copied_at_each(size: int) -> None:
    """After the second drip the rest is read directly after what is there; the kernel may wait until it is complete."""
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=WATCH_NOTHING)
    data = wire(BINARY, bytes(size))
    header = len(data) - size
    for count, drip in enumerate(data[:-1], start=1):
        assert put(buffer, bytes((drip,))) == 1
        assert not buffer.take()
        assert buffer.missing == (len(data) - count if count >= max(2, header) else 0)
    put(buffer, data[-1:])
    assert bytes(buffer.take()) == data
    assert buffer.missing == 0


def test_drips_are_counted_anew_for_each_frame() -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=WATCH_NOTHING)
    data = wire(BINARY, bytes(DRIPPING))
    put(buffer, data[:50])
    assert not buffer.take()
    put(buffer, data[50:] + data[:50])
    assert bytes(buffer.take()) == data
    assert buffer.missing == 0, "the first read of the next frame is no second drip"
    put(buffer, data[50:])
    assert bytes(buffer.take()) == data


def test_a_small_frame_may_drip_as_it_likes() -> None:
    buffer = make_flow(Scratch(SCRATCH_BYTES), watch=WATCH_NOTHING)
    data = wire(BINARY, bytes(DRIPPING - 10))
    for drip in data[:-1]:
        put(buffer, bytes((drip,)))
        assert not buffer.take()
        assert buffer.missing == 0


def fed(data: bytes, *, watch: frozenset[int] = WATCH_ALL, side: Side = Side.REPLICA) -> FrameBuffer:
    """A buffer that was given ``data`` in one read."""
    flow = make_flow(Scratch(SCRATCH_BYTES), side=side, watch=watch)
    flow.get_buffer()[: len(data)] = data
    flow.feed(len(data))
    return flow


@pytest.mark.parametrize("side", [Side.REPLICA, Side.CLIENT])
def test_a_frame_that_is_looked_at_can_be_had_as_it_came(side: Side) -> None:
    frames = [wire(TEXT, b"one", masked=side is Side.CLIENT), wire(TEXT, b"two", masked=side is Side.CLIENT)]
    flow = fed(b"".join(frames), side=side)
    assert (flow.whole(), flow.payload()) == (frames[0], b"one")
    flow.resume(keep=True)
    assert (flow.whole(), flow.payload()) == (frames[1], b"two")


@pytest.mark.parametrize("dropped", [False, True])
def test_what_stands_before_a_frame_can_be_taken_first_and_is_given_once(dropped: bool) -> None:
    """``dropped``: among it a frame that does not go on."""
    first, ping, second = wire(BINARY, b"a"), wire(PING, b"x"), wire(BINARY, b"b")
    held, last = wire(TEXT, b"held"), wire(BINARY, b"c")
    flow = fed(first + ping + second + held + last, watch=frozenset({PING, TEXT}))
    flow.resume(keep=not dropped)
    assert flow.cut_before() == first + (b"" if dropped else ping) + second
    assert flow.whole() == held
    flow.resume(keep=False)
    assert bytes(flow.take()) == last


def test_between_two_frames_that_are_held_back_nothing_is_given_twice() -> None:
    parts = [wire(TEXT, b"1"), wire(BINARY, b"a"), wire(TEXT, b"2"), wire(BINARY, b"b")]
    flow = fed(b"".join(parts), watch=frozenset({TEXT}))
    assert flow.cut_before() == b""
    flow.resume(keep=False)
    assert flow.cut_before() == parts[1]
    flow.resume(keep=False)
    assert bytes(flow.take()) == parts[3]


def test_the_beginning_of_a_frame_is_memory_of_its_own() -> None:
    flow = fed(wire(BINARY, b"whole") + wire(BINARY, b"x" * 50)[:20])
    flow.resume(keep=True)
    flow.take()
    assert flow.held == 20
    large = fed(wire(BINARY, b"x" * (LARGE + 10))[:100])
    large.take()
    assert large.held >= 100
    assert fed(b"").held == 0


def test_it_says_how_much_of_a_frame_that_is_cut_through_is_still_to_come() -> None:
    flow = make_flow(Scratch(SCRATCH_BYTES), watch=frozenset(), hold=50)
    frame = wire(BINARY, b"x" * 300)
    flow.get_buffer()[:100] = frame[:100]
    flow.feed(100)
    assert flow.body_left == len(frame) - 100
    assert fed(b"").body_left == 0
