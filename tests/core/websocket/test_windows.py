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


def frames_that_fill(window: int, count: int) -> bytearray:
    """``count`` frames of about one size, exactly ``window`` bytes in all."""
    size = window // count
    rest = window - (count - 1) * size
    return bytearray(b"".join(wire(BINARY, bytes(n - 8), masked=True) for n in [size] * (count - 1) + [rest]))


@pytest.mark.parametrize(("count", "grows"), [(FRAMES_PER_READ // 4, True), (FRAMES_PER_READ // 4 + 1, False)])
def test_a_larger_window_is_taken_when_it_would_not_bring_too_many_frames(count: int, grows: bool) -> None:
    buffer = make_flow()
    wanted = buffer.sizehint
    assert read(buffer, frames_that_fill(wanted, count)) == count
    assert buffer.sizehint == (WINDOWS[WINDOWS.index(wanted) + 1] if grows else wanted)


def test_a_window_becomes_no_smaller_than_the_frames_require() -> None:
    buffer = make_flow()
    stream = bytearray(wire(BINARY, bytes(40), masked=True) * 4000)
    assert read(buffer, stream) > FRAMES_PER_READ
    assert buffer.sizehint == WINDOWS[1], "at 46 bytes a frame it holds fewer than too many"


def test_a_scratch_of_exactly_one_window_has_it_once() -> None:
    assert [len(view) for view in Scratch(WINDOWS[0]).views] == [WINDOWS[0]]


def test_nothing_may_be_written_before_anything_was_read() -> None:
    assert bytes(make_flow().take()) == b""


def test_a_buffer_of_one_page_is_lent_again_to_a_frame_of_its_size() -> None:
    scratch, page = Scratch(), 64 * 1024
    lent = scratch.lend(page, came=page)
    assert len(lent) == page
    scratch.take_back(lent)
    assert scratch.lend(page, came=page) is lent


def test_a_spare_buffer_is_lent_to_a_frame_of_half_its_size_and_to_none_smaller() -> None:
    scratch, page = Scratch(), 64 * 1024
    lent = scratch.lend(2 * page, came=2 * page)
    scratch.take_back(lent)
    assert scratch.lend(page - 1, came=page - 1) is not lent
    assert scratch.lend(page, came=page) is lent
