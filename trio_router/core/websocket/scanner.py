"""Where WebSocket frames begin and end (RFC 6455 section 5), for one direction of one session.

What belongs here: header bytes, lengths, masking, the order of fragments. What does not: sockets, payloads' meaning,
what a router does about a frame. The scanner is fed bytes and then asked what it found; it never calls back.

It decodes nothing: a masked client frame is already valid for the replica, an unmasked replica frame for the client,
so a frame is forwarded as the bytes it came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trio_router.core.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASKED,
    MAX_CONTROL_BYTES,
    MESSAGE_TOO_BIG,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Frame,
    payload_of,
)

#: Opcodes at which every scanner stops, so that the frame is inspected before it goes on: CLOSE, and PONG, because it
#: may answer a ping of the router's own.
WATCH_NOTHING: Final = frozenset({CLOSE, PONG})
WATCH_CONTROL: Final = frozenset({CLOSE, PING, PONG})
WATCH_TEXT: Final = frozenset({CLOSE, PONG, TEXT})
WATCH_ALL: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})


@dataclass(frozen=True, slots=True)
class FrameError:
    """Why a peer's bytes are not WebSocket frames: the close code for it, and a reason for the peer's developer."""

    code: int
    reason: str


class FrameScanner:
    """Finds frame boundaries in the bytes of one direction, however they are cut.

    ``masked`` says which way the bytes flow: a client's frames must be masked, a replica's must not be (section 5.1).
    A message may have at most ``max_message_bytes`` of payload over all its fragments. A frame of more than
    ``hold_bytes`` (header included) is let through while it is still arriving; a shorter one only when it is whole.

    After `scan` returned ``pos``, everything before ``pos`` may be forwarded and

    - ``event`` is a `Frame` that starts at ``pos`` and must be looked at: scan again from its ``end`` to go on;
    - or ``error`` says what is wrong with the bytes at ``pos``; the scanner is finished;
    - or the bytes from ``pos`` on are the beginning of a frame, ``frame_bytes`` long in all (0: not known yet).
    """

    __slots__ = (
        "_base",
        "_overhead",
        "body_left",
        "error",
        "event",
        "frame_bytes",
        "frames",
        "hold_bytes",
        "in_message",
        "max_message_bytes",
        "message_bytes",
        "messages",
        "watch",
    )

    def __init__(
        self, *, masked: bool, hold_bytes: int, max_message_bytes: int, watch: frozenset[int] = WATCH_NOTHING
    ) -> None:
        self._base = MASKED if masked else 0
        self._overhead = 6 if masked else 2
        self.hold_bytes = hold_bytes
        self.max_message_bytes = max_message_bytes
        self.watch = watch
        self.body_left = 0  # bytes of a frame that is being cut through and has not come yet
        self.in_message = False  # between the fragments of one message
        self.message_bytes = 0  # payload of the fragments so far
        self.frame_bytes = 0
        self.frames = 0
        self.messages = 0
        self.event: Frame | None = None
        self.error: FrameError | None = None

    def set_rules(self, *, watch: frozenset[int], hold_bytes: int, max_message_bytes: int) -> None:
        """Which opcodes to stop at, and which sizes to hold and to refuse, from the next frame on."""
        self.watch = watch
        self.hold_bytes = hold_bytes
        self.max_message_bytes = max_message_bytes

    @property
    def at_boundary(self) -> bool:
        """Whether another frame may be inserted after what was let through."""
        return not self.body_left

    def scan(self, buf: bytearray, pos: int, end: int) -> int:
        """Look at ``buf[pos:end]``; return how far it may be forwarded (see the class). Costs about 0.2 us a frame."""
        self.event = None
        self.frame_bytes = 0
        if self.body_left:
            step = min(self.body_left, end - pos)
            self.body_left -= step
            pos += step
        base, overhead, hold, watch = self._base, self._overhead, self.hold_bytes, self.watch
        limit = self.max_message_bytes
        frames = 0
        whole_messages = 0
        while end - pos >= 2:
            first = buf[pos]
            size = buf[pos + 1] - base
            # The common frame, decided without a call: whole message, right masking, not inspected.
            if size < 126:
                total = overhead + size
                if size < 0:
                    self._fail(PROTOCOL_ERROR, "client frames must be masked")
                    break
            elif size == 126:
                if end - pos < 4:
                    break
                size = buf[pos + 2] << 8 | buf[pos + 3]
                total = overhead + 2 + size
                if size < 126:
                    self._fail(PROTOCOL_ERROR, "length is not minimally encoded")
                    break
            elif size == 127:
                if end - pos < 10:
                    break
                size = int.from_bytes(buf[pos + 2 : pos + 10], "big")
                total = overhead + 8 + size
                if size < 65536 or size >> 63:
                    self._fail(PROTOCOL_ERROR, "length is not minimally encoded")
                    break
            else:
                self._fail(PROTOCOL_ERROR, "server frames must not be masked")
                break
            opcode = first & 0x0F
            plain = (first == 0x82 or first == 0x81) and not self.in_message
            if size > limit:
                self._check(first, size)
                break
            if not plain and not self._check(first, size):
                break
            if total > end - pos:
                if total > hold:
                    if not plain:
                        self._count(first, size)
                    self.body_left = total - (end - pos)
                    frames += 1
                    whole_messages += plain
                    pos = end
                else:
                    self.frame_bytes = total
                break
            if opcode in watch:
                self.event = Frame(opcode, first >= FIN, pos, pos + total, pos + total - size)
                if not plain:
                    self._count(first, size)
                frames += 1
                whole_messages += plain
                break
            frames += 1
            pos += total
            if not plain:
                self._count(first, size)
                continue
            whole_messages += 1
            if pos + total <= end:
                # Streams contain runs of frames of one size: while the header is the same to the byte, so is the result.
                # A third of the cost for each further frame.
                same, last = buf[pos - total : pos - size - overhead + 2], end - total
                run = pos
                while pos <= last and buf.startswith(same, pos):
                    pos += total
                frames += (pos - run) // total
                whole_messages += (pos - run) // total
        self.frames += frames
        self.messages += whole_messages
        return pos

    def _fail(self, code: int, reason: str) -> bool:
        self.error = FrameError(code, reason)
        return False

    def _check(self, first: int, size: int) -> bool:
        """The rules for a frame that is not simply a whole message. Changes nothing but ``error``."""
        opcode = first & 0x0F
        if first & 0x70:
            return self._fail(PROTOCOL_ERROR, "reserved bits are set, but no extension was negotiated")
        if opcode >= CLOSE:
            if opcode > PONG:
                return self._fail(PROTOCOL_ERROR, f"opcode {opcode:#x} is reserved")
            if size > MAX_CONTROL_BYTES:
                return self._fail(PROTOCOL_ERROR, "a control frame has more than 125 bytes")
            if not first & FIN:
                return self._fail(PROTOCOL_ERROR, "a control frame is fragmented")
            return True
        if opcode > BINARY:
            return self._fail(PROTOCOL_ERROR, f"opcode {opcode:#x} is reserved")
        if self.in_message and opcode != CONTINUATION:
            return self._fail(PROTOCOL_ERROR, "a new message begins inside a fragmented one")
        if not self.in_message and opcode == CONTINUATION:
            return self._fail(PROTOCOL_ERROR, "a continuation frame without a message")
        if self.message_bytes + size > self.max_message_bytes:
            return self._fail(MESSAGE_TOO_BIG, f"message is larger than {self.max_message_bytes} bytes")
        return True

    def _count(self, first: int, size: int) -> None:
        """Account for a checked frame that is a control frame or a fragment."""
        if first & 0x08:
            return
        if first & FIN:
            self.in_message = False
            self.message_bytes = 0
            self.messages += 1
        else:
            self.in_message = True
            self.message_bytes += size


def message_frames(buf: bytearray, *, masked: bool) -> list[Frame]:
    """The data frames of the first message in ``buf``, which holds whole frames; the last one has ``fin`` if all are there."""
    scanner = FrameScanner(masked=masked, hold_bytes=len(buf) + 1, max_message_bytes=len(buf) + 126, watch=WATCH_ALL)
    pos = 0
    frames: list[Frame] = []
    while True:
        scanner.scan(buf, pos, len(buf))
        found = scanner.event
        if found is None:
            return frames
        if found.opcode < CLOSE:
            frames.append(found)
            if found.fin:
                return frames
        pos = found.end


def read_message(buf: bytearray, *, masked: bool) -> tuple[int, bytes] | None:
    """(opcode, payload) of the first whole message in ``buf``, which holds whole frames; None if there is none yet."""
    frames = message_frames(buf, masked=masked)
    if not frames or not frames[-1].fin:
        return None
    return frames[0].opcode, b"".join(payload_of(buf, found, masked=masked) for found in frames)
