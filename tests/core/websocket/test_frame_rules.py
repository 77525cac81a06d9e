"""The rules of RFC 6455 section 5 that a header can break, each with the close code that its author deserves."""

from __future__ import annotations

import pytest

from tests.core.samples import head, wire
from trio_router.core.websocket.frames import BINARY, CONTINUATION, FIN, PING, TEXT
from trio_router.core.websocket.scanner import FrameScanner

LIMIT = 1000


def verdict(data: bytes, *, masked: bool = False, hold: int = 4096) -> tuple[int, int, str]:
    """(how far it may go, close code, reason); code 0 when nothing is wrong."""
    scanner = FrameScanner(masked=masked, hold_bytes=hold, max_message_bytes=LIMIT)
    pos = scanner.scan(bytearray(data), 0, len(data))
    return (pos, scanner.error.code, scanner.error.reason) if scanner.error else (pos, 0, "")


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, PING])
def test_reserved_bits_are_refused(bit: int, opcode: int) -> None:
    _, code, reason = verdict(head(FIN | bit | opcode, 0))
    assert code == 1002
    assert "reserved bits" in reason


@pytest.mark.parametrize("opcode", [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF])
def test_reserved_opcodes_are_refused(opcode: int) -> None:
    assert verdict(head(FIN | opcode, 0)) == (0, 1002, f"opcode {opcode:#x} is reserved")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65536])
def test_frames_must_be_masked_by_clients_and_by_nobody_else(length: int) -> None:
    payload = bytes(length)
    assert verdict(wire(BINARY, payload, masked=False), masked=True)[1:] == (1002, "client frames must be masked")
    assert verdict(wire(BINARY, payload, masked=True), masked=False)[1:] == (1002, "server frames must not be masked")


@pytest.mark.parametrize("opcode", [0x8, 0x9, 0xA])
def test_a_control_frame_has_at_most_125_bytes(opcode: int) -> None:
    assert verdict(head(FIN | opcode, 125) + bytes(125))[1] == 0
    assert verdict(head(FIN | opcode, 126, 0, 126))[1:] == (1002, "a control frame has more than 125 bytes")


@pytest.mark.parametrize("opcode", [0x8, 0x9, 0xA])
def test_a_control_frame_is_not_fragmented(opcode: int) -> None:
    assert verdict(head(opcode, 0))[1:] == (1002, "a control frame is fragmented")


def test_a_continuation_needs_a_message() -> None:
    good = wire(TEXT, b"whole")
    assert verdict(good + wire(CONTINUATION)) == (len(good), 1002, "a continuation frame without a message")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_does_not_begin_inside_another(opcode: int) -> None:
    good = wire(TEXT, b"begin", fin=False)
    assert verdict(good + wire(opcode))[:2] == (len(good), 1002)
    assert verdict(good + wire(opcode, fin=False))[1] == 1002


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("length", "rest"),
    [(126, (0, 0)), (126, (0, 125)), (127, (0,) * 8), (127, (0, 0, 0, 0, 0, 0, 0xFF, 0xFF)), (127, (0x80, *(0,) * 7))],
)
def test_a_length_is_written_the_short_way_and_has_63_bits(length: int, rest: tuple[int, ...], masked: bool) -> None:
    data = head(FIN | BINARY, (0x80 if masked else 0) | length, *rest)
    assert verdict(data, masked=masked) == (0, 1002, "length is not minimally encoded")


def test_a_message_may_have_exactly_the_limit() -> None:
    assert verdict(wire(BINARY, bytes(LIMIT)))[1] == 0
    assert verdict(wire(BINARY, bytes(LIMIT + 1)))[:2] == (0, 1009)


def test_the_size_counts_over_all_fragments_and_from_zero_for_the_next_message() -> None:
    def message(last: int) -> bytes:
        return (
            wire(BINARY, bytes(LIMIT - 10), fin=False)
            + wire(PING, bytes(100))
            + wire(CONTINUATION, bytes(5), fin=False)
            + wire(CONTINUATION, bytes(last))
        )

    good = message(5)
    assert verdict(good + good)[:2] == (2 * len(good), 0)
    pos, code, reason = verdict(good + message(6))
    assert (code, reason) == (1009, f"message is larger than {LIMIT} bytes")
    assert pos == 2 * len(good) - len(wire(CONTINUATION, bytes(5)))


def test_too_large_a_frame_is_known_by_its_header_alone_even_where_frames_are_cut_through() -> None:
    assert verdict(wire(BINARY, bytes(LIMIT + 1))[:4], hold=0)[:2] == (0, 1009)


def test_a_frame_that_is_too_large_and_wrong_is_wrong() -> None:
    assert verdict(head(FIN | 0x3, 126, 0xFF, 0xFF))[1] == 1002


def test_good_frames_before_a_bad_one_may_go_on_and_are_counted() -> None:
    good = wire(TEXT, b"one") + wire(BINARY, b"two")
    scanner = FrameScanner(masked=False, hold_bytes=4096, max_message_bytes=LIMIT)
    data = bytearray(good + head(0xFF, 0))
    assert scanner.scan(data, 0, len(data)) == len(good)
    assert (scanner.frames, scanner.messages) == (2, 2)
    assert scanner.event is None


def test_a_fragment_that_is_cut_through_still_counts_for_the_order_and_the_size() -> None:
    scanner = FrameScanner(masked=False, hold_bytes=100, max_message_bytes=LIMIT)
    data = bytearray(wire(BINARY, bytes(600), fin=False) + wire(CONTINUATION, bytes(401)))
    assert scanner.scan(data, 0, 50) == 50
    assert scanner.in_message
    assert scanner.scan(data, 50, len(data)) == 604
    assert scanner.error is not None
    assert scanner.error.code == 1009
