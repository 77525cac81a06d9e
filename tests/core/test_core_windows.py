"""How much is read at once: many tiny frames cost their sender time, and large ones are read as before."""

from __future__ import annotations

import pytest
from core_samples import MIB, wire

from trio_router.core.flow import EVENT_FRAMES, FRAMES_PER_READ, GOOD_BYTES, Flow
from trio_router.core.frames import WATCH_NOTHING, WATCH_TEXT, FrameScanner
from trio_router.core.framing import BINARY, TEXT
from trio_router.core.scratch import WINDOWS, Scratch

TINY = wire(BINARY, masked=True)  # 6 bytes
LARGE = wire(BINARY, bytes(100_000), masked=True)


def make_flow(watch: frozenset[int] = WATCH_NOTHING) -> Flow:
    scanner = FrameScanner(masked=True, hold_bytes=MIB, max_message_bytes=64 * MIB, watch=watch)
    return Flow(scanner, Scratch(), masked=True)


def read(flow: Flow, stream: bytearray) -> int:
    """One read, of as much as is wanted; the whole frames in it."""
    before, size = flow.scanner.frames, min(flow.wanted, len(stream))
    room = flow.room()
    assert len(room) == flow.wanted
    room[:size] = stream[:size]
    del stream[:size]
    flow.feed(size)
    while flow.event is not None:
        flow.resume(keep=True)
    out = flow.take()
    flow.release(out if flow.own_memory else None)
    return flow.scanner.frames - before


def test_a_flood_of_tiny_frames_is_read_in_small_pieces_from_its_second_read_on() -> None:
    flow, flood = make_flow(), bytearray(TINY * 100_000)
    first = read(flow, flood)
    assert first < len(WINDOWS) * 4 * FRAMES_PER_READ, "even the first piece is not all that the scratch would hold"
    each = []
    while flood:
        each.append(read(flow, flood))
    assert max(each) <= FRAMES_PER_READ
    assert first + sum(each) == 100_000, "the rest came later, and none is lost"


def test_a_few_large_frames_are_no_ticket_for_the_next_flood() -> None:
    flow = make_flow()
    worst = []
    for _ in range(4):
        large = bytearray(LARGE * 40)
        while large:
            read(flow, large)
        flood, most = bytearray(TINY * 300_000), 0
        while flood:
            most = max(most, read(flow, flood))
        worst.append(most)
    assert worst[0] > 100_000, "nobody can know it beforehand"
    assert max(worst[1:]) <= FRAMES_PER_READ


def test_large_frames_are_read_through_all_of_the_scratch_after_three_reads() -> None:
    flow, stream = make_flow(), bytearray(wire(BINARY, bytes(10_000), masked=True) * 200)
    wanted = []
    for _ in range(4):
        wanted.append(flow.wanted + 10_008)  # less the beginning of a frame
        read(flow, stream)
    assert wanted[0] < 100_000 < wanted[1] < 300_000 < wanted[2]
    assert wanted[2] > MIB


def test_whoever_behaves_again_is_trusted_again() -> None:
    flow, flood = make_flow(), bytearray(TINY * 20_000)
    while flood:
        read(flow, flood)
    assert flow.wanted <= WINDOWS[0]
    good = 0
    while flow.wanted <= WINDOWS[0]:
        stream = bytearray(wire(BINARY, bytes(1_000), masked=True) * 1000)
        good += len(stream)
        while stream:
            read(flow, stream)
    assert GOOD_BYTES <= good < GOOD_BYTES + 2 * MIB


def test_reads_that_do_not_fill_their_window_change_nothing() -> None:
    flow = make_flow()
    wanted = flow.wanted
    for _ in range(100):
        read(flow, bytearray(TINY * 20))
        assert flow.wanted == wanted


@pytest.mark.parametrize("frames", [FRAMES_PER_READ // (EVENT_FRAMES + 1), FRAMES_PER_READ // EVENT_FRAMES + 1])
def test_frames_that_are_looked_at_weigh_more(frames: int) -> None:
    flow = make_flow(WATCH_TEXT)
    wanted = flow.wanted
    read(flow, bytearray(wire(TEXT, b"{}", masked=True) * frames))
    assert (flow.wanted < wanted) is (frames * (EVENT_FRAMES + 1) > FRAMES_PER_READ)


def test_a_scratch_that_is_smaller_than_the_windows_has_fewer_of_them() -> None:
    assert [len(view) for view in Scratch(5000).views] == [4096, 5000]
    assert [len(view) for view in Scratch(100).views] == [100]
    assert [len(view) for view in Scratch().views] == [*WINDOWS, MIB + 64]
