"""Frame boundaries do not depend on how bytes are cut. The oracle is the `websockets` library's serialiser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close

from tests.core.samples import LENGTHS, MIB, QUICK, cuts, frames_of_messages, pieces, read_wire, wire
from trio_router.core.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    apply_mask,
    close_payload,
    frame,
    parse_close,
    payload_of,
)
from trio_router.core.websocket.scanner import (
    WATCH_ALL,
    WATCH_NOTHING,
    WATCH_TEXT,
    FrameScanner,
    message_frames,
    read_message,
)


def make_scanner(*, masked: bool = False, hold: int = MIB, watch: frozenset[int] = frozenset()) -> FrameScanner:
    return FrameScanner(masked=masked, hold_bytes=hold, max_message_bytes=MIB, watch=watch)


def scan_in_pieces(scanner: FrameScanner, data: bytes, sizes: list[int]) -> tuple[list[int], list[Frame]]:
    """How far each piece could be forwarded, and all frames that the scanner stopped at."""
    buf, pos, stops, found = bytearray(), 0, [], []
    for piece in pieces(data, sizes):
        buf += piece
        if scanner.error is not None:
            break
        pos = scanner.scan(buf, pos, len(buf))
        while scanner.event is not None:
            found.append(scanner.event)
            pos = scanner.scan(buf, scanner.event.end, len(buf))
        stops.append(pos)
    return stops, found


def boundaries(frames: list[bytes]) -> list[int]:
    ends = [0]
    for one in frames:
        ends.append(ends[-1] + len(one))
    return ends


@QUICK
@given(parts=frames_of_messages(), masked=st.booleans(), sizes=cuts)
def test_exactly_the_whole_frames_are_let_through_however_bytes_are_cut(
    parts: list[tuple[int, bytes, bool]], masked: bool, sizes: list[int]
) -> None:
    frames = [wire(opcode, payload, fin=fin, masked=masked) for opcode, payload, fin in parts]
    data, ends, scanner = b"".join(frames), boundaries(frames), make_scanner(masked=masked)
    stops, _ = scan_in_pieces(scanner, data, sizes)
    came = 0
    for piece, stop in zip(pieces(data, sizes), stops, strict=True):
        came += len(piece)
        assert stop == max(end for end in ends if end <= came)
    assert scanner.error is None
    assert not scanner.in_message
    assert scanner.frames == len(frames)
    assert scanner.messages == sum(fin and opcode < CLOSE for opcode, _, fin in parts)


_runs = st.lists(st.tuples(st.sampled_from((TEXT, BINARY, PING)), st.sampled_from((0, 3, 125, 126)), st.integers(1, 5)))


@QUICK
@given(runs=_runs, masked=st.booleans(), sizes=cuts, bad=st.none() | st.integers(0, 30))
def test_runs_of_equal_frames_are_scanned_as_if_each_were_alone(
    runs: list[tuple[int, int, int]], masked: bool, sizes: list[int], bad: int | None
) -> None:
    frames = [
        wire(opcode, bytes(size if opcode != PING else 9), masked=masked) for opcode, size, n in runs for _ in range(n)
    ]
    opcodes = [opcode for opcode, _, n in runs for _ in range(n)]
    if bad is not None and bad < len(frames):
        frames[bad] = bytes((frames[bad][0] | 0x40,)) + frames[bad][1:]
        opcodes = opcodes[:bad]
    ends, scanner = boundaries(frames), make_scanner(masked=masked)
    stops, _ = scan_in_pieces(scanner, b"".join(frames), sizes)
    assert stops[-1:] in ([], [ends[len(opcodes)]])
    assert (scanner.error is not None) is (len(opcodes) < len(frames))
    assert scanner.frames == len(opcodes)
    assert scanner.messages == sum(opcode < CLOSE for opcode in opcodes)


@QUICK
@given(parts=frames_of_messages(), masked=st.booleans(), sizes=cuts)
def test_every_frame_is_seen_as_it_was_written(
    parts: list[tuple[int, bytes, bool]], masked: bool, sizes: list[int]
) -> None:
    data = b"".join(wire(opcode, payload, fin=fin, masked=masked) for opcode, payload, fin in parts)
    scanner = make_scanner(masked=masked, watch=WATCH_ALL)
    _, found = scan_in_pieces(scanner, data, sizes)
    seen = [(one.opcode, payload_of(bytearray(data), one, masked=masked), one.fin) for one in found]
    assert seen == parts
    assert scanner.frames == len(parts)


@QUICK
@given(parts=frames_of_messages(), masked=st.booleans(), sizes=cuts)
def test_with_nothing_held_every_byte_is_let_through_at_once_behind_the_header(
    parts: list[tuple[int, bytes, bool]], masked: bool, sizes: list[int]
) -> None:
    frames = [wire(opcode, payload, fin=fin, masked=masked) for opcode, payload, fin in parts]
    data, scanner = b"".join(frames), make_scanner(masked=masked, hold=0)
    stops, _ = scan_in_pieces(scanner, data, sizes)
    came = 0
    for piece, stop in zip(pieces(data, sizes), stops, strict=True):
        came += len(piece)
        assert came - 14 < stop <= came
    assert scanner.at_boundary
    assert (scanner.frames, scanner.in_message) == (len(frames), False)
    assert scanner.messages == sum(fin and opcode < CLOSE for opcode, _, fin in parts)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_waiting_frame_says_how_long_it_is_as_soon_as_its_header_does(length: int, masked: bool) -> None:
    data = bytearray(wire(BINARY, bytes(length), masked=masked))
    told = []
    for end in range(min(len(data), 20)):
        scanner = make_scanner(masked=masked)
        assert scanner.scan(data, 0, end) == 0
        told.append(scanner.frame_bytes)
    assert set(told) <= {0, len(data)}
    assert told == sorted(told)
    assert told[10:] == [len(data)] * len(told[10:])


def test_a_frame_of_hold_bytes_is_held_and_one_byte_more_is_cut_through() -> None:
    held, long = wire(BINARY, bytes(1020)), wire(BINARY, bytes(1021))
    assert (len(held), len(long)) == (1024, 1025)
    scanner = make_scanner(hold=1024)
    assert scanner.scan(bytearray(held), 0, 1000) == 0
    assert (scanner.at_boundary, scanner.frame_bytes) == (True, 1024)
    assert scanner.scan(bytearray(long), 0, 1000) == 1000
    assert (scanner.at_boundary, scanner.body_left) == (False, 25)
    rest = bytearray(bytes(25) + wire(TEXT, b"next"))
    assert scanner.scan(rest, 0, len(rest)) == len(rest)
    assert (scanner.body_left, scanner.frames, scanner.messages) == (0, 2, 2)


def test_a_frame_that_is_cut_through_is_not_stopped_at() -> None:
    scanner = make_scanner(hold=1024, watch=WATCH_ALL)
    data = bytearray(wire(TEXT, bytes(2000)))
    assert scanner.scan(data, 0, 100) == 100
    assert scanner.event is None


@pytest.mark.parametrize(
    ("watch", "stops"),
    [
        (WATCH_NOTHING, [PONG, CLOSE]),
        (WATCH_TEXT, [TEXT, PONG, CLOSE]),
        (WATCH_ALL, [TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE]),
    ],
)
def test_a_scanner_stops_at_what_is_watched(watch: frozenset[int], stops: list[int]) -> None:
    data = wire(TEXT) + wire(BINARY, fin=False) + wire(CONTINUATION) + wire(PING) + wire(PONG) + wire(CLOSE)
    scanner = make_scanner(watch=watch)
    _, found = scan_in_pieces(scanner, data, [])
    assert [one.opcode for one in found] == stops
    assert (scanner.frames, scanner.messages) == (6, 2)


@QUICK
@given(garbage=st.binary(max_size=200), masked=st.booleans(), hold=st.sampled_from((0, 64, MIB)), sizes=cuts)
def test_garbage_raises_nothing_and_never_lets_a_position_run_away(
    garbage: bytes, masked: bool, hold: int, sizes: list[int]
) -> None:
    scanner = make_scanner(masked=masked, hold=hold, watch=WATCH_ALL)
    stops, _ = scan_in_pieces(scanner, garbage, sizes)
    assert all(0 <= stop <= len(garbage) for stop in stops)
    assert scanner.error is None or scanner.error.code in (1002, 1009)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_our_frames_are_what_the_other_library_reads(length: int, masked: bool) -> None:
    payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
    ours = frame(BINARY, payload, mask=b"\x01\x80\xff\x00" if masked else None)
    theirs = read_wire(ours, masked=masked)
    assert (theirs.opcode, theirs.data, theirs.fin) == (BINARY, payload, True)
    if not masked:
        assert ours == wire(BINARY, payload)


@QUICK
@given(payload=st.binary(max_size=40), mask=st.binary(min_size=4, max_size=4))
def test_masking_is_xor_and_its_own_inverse(payload: bytes, mask: bytes) -> None:
    assert apply_mask(payload, mask) == bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert apply_mask(apply_mask(payload, mask), mask) == payload


@QUICK
@given(code=st.sampled_from((1000, 1001, 1011, 1013, 3000, 4999)), reason=st.text(max_size=80))
def test_close_bodies_go_round_and_fit_into_a_control_frame(code: int, reason: str) -> None:
    body = close_payload(code, reason)
    theirs = Close.parse(body)
    assert len(body) <= 125
    assert (theirs.code, theirs.reason) == parse_close(body) == (code, theirs.reason)
    assert reason.startswith(theirs.reason)
    if len(reason.encode()) <= 123:
        assert body == Close(code, reason).serialize()


def test_a_reason_has_room_for_123_bytes_and_is_cut_at_a_character() -> None:
    assert parse_close(close_payload(1000, "x" * 123)) == (1000, "x" * 123)
    assert parse_close(close_payload(1000, "x" * 124)) == (1000, "x" * 123)
    assert parse_close(close_payload(1000, "x" * 121 + "€")) == (1000, "x" * 121)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000, 65535])
def test_a_code_that_may_not_be_sent_is_not_sent(code: int) -> None:
    assert parse_close(close_payload(code, "mine")) == (1002, "invalid close code")


@pytest.mark.parametrize("body", [b"", b"\x03"])
def test_a_close_without_a_code_stays_one(body: bytes) -> None:
    assert parse_close(body) == (None, "")
    assert close_payload(*parse_close(body)) == b""


@QUICK
@given(parts=frames_of_messages(), masked=st.booleans())
def test_read_message_gives_the_first_whole_message(parts: list[tuple[int, bytes, bool]], masked: bool) -> None:
    buf = bytearray()
    data = [(opcode, payload, fin) for opcode, payload, fin in parts if opcode < CLOSE]
    last = next((i for i, (_, _, fin) in enumerate(data) if fin), None)
    expected = None if last is None else (data[0][0], b"".join(payload for _, payload, _ in data[: last + 1]))
    for opcode, payload, fin in parts:
        buf += wire(opcode, payload, fin=fin, masked=masked)
    assert read_message(buf, masked=masked) == expected


def test_new_rules_hold_from_the_next_frame_on() -> None:
    scanner, short, long = make_scanner(), wire(TEXT, b"a"), wire(BINARY, b"b" * 50)
    buf = bytearray(short + long)
    assert scanner.scan(buf, 0, len(short)) == len(short)
    scanner.set_rules(watch=frozenset({BINARY}), hold_bytes=60, max_message_bytes=50)
    scanner.scan(buf, len(short), len(buf))
    assert scanner.event is not None
    assert scanner.event.opcode == BINARY
    scanner.set_rules(watch=WATCH_NOTHING, hold_bytes=10, max_message_bytes=50)
    assert scanner.scan(buf, len(short), len(buf) - 1) == len(buf) - 1, "above hold_bytes it is cut through"
    assert scanner.body_left == 1
    scanner.set_rules(watch=WATCH_NOTHING, hold_bytes=10, max_message_bytes=49)
    assert scanner.scan(bytearray(long), 0, 1) == 1, "what has begun is not judged anew"
    scanner.scan(bytearray(long), 0, len(long))
    assert scanner.error is not None


def test_the_data_frames_of_the_first_message_are_found_whatever_stands_between() -> None:
    parts = [(TEXT, b"he", False), (PING, b"", True), (CONTINUATION, b"y", True), (TEXT, b"next", True)]
    data = bytearray(b"".join(wire(opcode, payload, fin=fin, masked=True) for opcode, payload, fin in parts))
    found = message_frames(data, masked=True)
    assert [(one.opcode, one.fin, payload_of(data, one, masked=True)) for one in found] == [
        (TEXT, False, b"he"),
        (CONTINUATION, True, b"y"),
    ]
    assert [one.fin for one in message_frames(data[: found[0].end], masked=True)] == [False]
    assert message_frames(bytearray(), masked=True) == []
