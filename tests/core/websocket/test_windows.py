"""How much is read at once: many tiny frames cost their sender time, and large ones are read as before."""

from __future__ import annotations

import pytest

from tests.core.samples import MIB, wire
from trio_router.core.websocket.buffer import EVENT_FRAMES, FRAMES_PER_READ, GOOD_BYTES, FrameBuffer
from trio_router.core.websocket.frames import BINARY, TEXT
from trio_router.core.websocket.scanner import WATCH_NOTHING, WATCH_TEXT, FrameScanner
from trio_router.core.websocket.scratch import WINDOWS, Scratch

TINY = wire(BINARY, masked=True)  # 6 bytes
LARGE = wire(BINARY, bytes(100_000), masked=True)


def make_flow(watch: frozenset[int] = WATCH_NOTHING) -> FrameBuffer:
    scanner = FrameScanner(masked=True, hold_bytes=MIB, max_message_bytes=64 * MIB, watch=watch)
    return FrameBuffer(scanner, Scratch(), masked=True)


def read(buffer: FrameBuffer, stream: bytearray) -> int:
    """One read, of as much as is wanted; the whole frames in it."""
    before, size = buffer.scanner.frames, min(buffer.sizehint, len(stream))
    room = buffer.get_buffer()
    assert len(room) == buffer.sizehint
    room[:size] = stream[:size]
    del stream[:size]
    buffer.feed(size)
    while buffer.event is not None:
        buffer.resume(keep=True)
    out = buffer.take()
    buffer.release(out if buffer.own_memory else None)
    return buffer.scanner.frames - before


def test_a_flood_of_tiny_frames_is_read_in_small_pieces_from_its_second_read_on() -> None:
    buffer, flood = make_flow(), bytearray(TINY * 100_000)
    first = read(buffer, flood)
    assert first < len(WINDOWS) * 4 * FRAMES_PER_READ, "even the first piece is not all that the scratch would hold"
    each = []
    while flood:
        each.append(read(buffer, flood))
    assert max(each) <= FRAMES_PER_READ
    assert first + sum(each) == 100_000, "the rest came later, and none is lost"


def test_a_few_large_frames_are_no_ticket_for_the_next_flood() -> None:
    buffer = make_flow()
    worst = []
    for _ in range(4):
        large = bytearray(LARGE * 40)
        while large:
            read(buffer, large)
        flood, most = bytearray(TINY * 300_000), 0
        while flood:
            most = max(most, read(buffer, flood))
        worst.append(most)
    assert worst[0] > 100_000, "nobody can know it beforehand"
    assert max(worst[1:]) <= FRAMES_PER_READ


def test_large_frames_are_read_through_all_of_the_scratch_after_three_reads() -> None:
    buffer, stream = make_flow(), bytearray(wire(BINARY, bytes(10_000), masked=True) * 200)
    wanted = []
    for _ in range(4):
        wanted.append(buffer.sizehint + 10_008)  # less the beginning of a frame
        read(buffer, stream)
    assert wanted[0] < 100_000 < wanted[1] < 300_000 < wanted[2]
    assert wanted[2] > MIB


def test_whoever_behaves_again_is_trusted_again() -> None:
    buffer, flood = make_flow(), bytearray(TINY * 20_000)
    while flood:
        read(buffer, flood)
    assert buffer.sizehint <= WINDOWS[0]
    good = 0
    while buffer.sizehint <= WINDOWS[0]:
        stream = bytearray(wire(BINARY, bytes(1_000), masked=True) * 1000)
        good += len(stream)
        while stream:
            read(buffer, stream)
    assert GOOD_BYTES <= good < GOOD_BYTES + 2 * MIB


def test_reads_that_do_not_fill_their_window_change_nothing() -> None:
    buffer = make_flow()
    wanted = buffer.sizehint
    for _ in range(100):
        read(buffer, bytearray(TINY * 20))
        assert buffer.sizehint == wanted


@pytest.mark.parametrize("frames", [FRAMES_PER_READ // (EVENT_FRAMES + 1), FRAMES_PER_READ // EVENT_FRAMES + 1])
def test_frames_that_are_looked_at_weigh_more(frames: int) -> None:
    buffer = make_flow(WATCH_TEXT)
    wanted = buffer.sizehint
    read(buffer, bytearray(wire(TEXT, b"{}", masked=True) * frames))
    assert (buffer.sizehint < wanted) is (frames * (EVENT_FRAMES + 1) > FRAMES_PER_READ)


def test_a_scratch_that_is_smaller_than_the_windows_has_fewer_of_them() -> None:
    assert [len(view) for view in Scratch(5000).views] == [4096, 5000]
    assert [len(view) for view in Scratch(100).views] == [100]
    assert [len(view) for view in Scratch().views] == [*WINDOWS, MIB + 64]
