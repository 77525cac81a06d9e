"""One WebSocket frame by itself (RFC 6455 section 5): its constants, encoding one, decoding one that was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
MASKED: Final = 0x80
MAX_CONTROL_BYTES: Final = 125  # RFC 6455 section 5.5
MAX_HEADER_BYTES: Final = 14

PROTOCOL_ERROR: Final = 1002
INVALID_PAYLOAD: Final = 1007
MESSAGE_TOO_BIG: Final = 1009
#: The defined codes that may be sent (RFC 6455 section 7.4.1 and the IANA registry). 1004, 1005, 1006 and 1015 are
#: reserved or only reported locally; 1016 to 2999 are reserved for later protocols.
DEFINED_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame that a scanner stopped at; ``start`` and ``end`` are offsets into the scanned buffer."""

    opcode: int
    fin: bool
    start: int
    end: int
    payload_start: int


def frame(opcode: int, payload: bytes, *, mask: bytes | None = None) -> bytes:
    """One whole frame. ``mask`` (4 bytes) is required towards a replica and forbidden towards a client."""
    size = len(payload)
    bit = MASKED if mask is not None else 0
    head = bytearray((FIN | opcode,))
    if size < 126:
        head.append(bit | size)
    elif size < 65536:
        head.append(bit | 126)
        head += size.to_bytes(2, "big")
    else:
        head.append(bit | 127)
        head += size.to_bytes(8, "big")
    if mask is None:
        return bytes(head) + payload
    return bytes(head) + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask (section 5.3). As one large integer, because a loop over bytes costs a hundred times as much."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code: a defined one, or one of 3000 to 4999 (section 7.4.2)."""
    return code in DEFINED_CLOSE_CODES or 3000 <= code < 5000


def close_payload(code: int | None, reason: str = "") -> bytes:
    """The body of a close frame: empty without a code, and a reason cut at a character so that it fits (section 5.5.1).

    A code that may not be sent (a peer sent it, and gets its answer) becomes 1002.
    """
    if code is None:
        return b""
    if not may_be_sent(code):
        code, reason = PROTOCOL_ERROR, "invalid close code"
    text = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + text


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """(code, reason) of a close frame's body; code is None if the body is empty (reported as 1005)."""
    if len(payload) < 2:
        return None, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")


def close_fault(payload: bytes) -> tuple[int, str] | None:
    """What is wrong with the body of a received close frame: the close code for it, and a reason for the peer's developer.

    None if nothing is. The body may be empty; else it is a code that may be sent and a reason in UTF-8 (section 5.5.1).
    """
    if not payload:
        return None
    if len(payload) == 1:
        return PROTOCOL_ERROR, "a close frame has a body of one byte"
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):
        return PROTOCOL_ERROR, f"close code {code} must not be sent"
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return INVALID_PAYLOAD, "the reason of a close frame is not UTF-8"
    return None


def payload_of(buf: bytearray, found: Frame, *, masked: bool) -> bytes:
    """The payload of a frame that a scanner stopped at, unmasked."""
    payload = bytes(buf[found.payload_start : found.end])
    if not masked:
        return payload
    return apply_mask(payload, bytes(buf[found.payload_start - 4 : found.payload_start]))
