"""The bytes of one direction between reading and writing: what may go on, what is held back, how it ended.

Feed and ask, nothing calls back:

1. `Flow.room` says where the next bytes belong; somebody reads ``n`` bytes there and calls `Flow.feed`.
2. While `Flow.event` is a frame, somebody looks at it and calls `Flow.resume`, keeping or dropping it.
3. `Flow.take` is what may be written now: whole frames, and the beginning of one only if it is longer than
   ``hold_bytes``. It is one contiguous piece of memory and is valid until the next `room`.

Where the bytes lie decides the speed. All directions of a router share one `Scratch`: a short frame is read into it
and written from it, without a copy and without memory of its own. What is left at its end (the beginning of a frame)
is copied out, because the next direction will use the scratch: into a small object if it is small, into a buffer of
exactly the frame's size if it is large, so that the rest is read right behind it.
"""

from __future__ import annotations

from typing import Final

from .frames import Frame, FrameScanner, payload_of
from .outcome import Cause, End, Side

#: From this size on the rest of a frame is read into a buffer of exactly its size, not through the scratch again.
LARGE_FRAME_BYTES: Final = 64 * 1024


class Scratch:
    """The one buffer that bytes are read into; shared by all directions, so it holds nothing across an await.

    256 KiB: in the prototype's measurements larger reads gained nothing, and smaller ones cost a system call more.
    """

    __slots__ = ("buf", "view")

    def __init__(self, size: int = 256 * 1024) -> None:
        self.buf = bytearray(size)
        self.view = memoryview(self.buf)


class Flow:
    """One direction. ``side`` is its source; a client's frames are masked, a replica's are not."""

    __slots__ = (
        "_buf",
        "_end",
        "_filled",
        "_large",
        "_pos",
        "_rest",
        "_scratch",
        "end",
        "event",
        "masked",
        "scanner",
        "side",
    )

    def __init__(self, side: Side, scanner: FrameScanner, scratch: Scratch) -> None:
        self.side = side
        self.scanner = scanner
        self.masked = side is Side.CLIENT
        self.end: End | None = None
        self.event: Frame | None = None
        self._scratch = scratch
        self._rest = b""  # the beginning of a small frame
        self._large: bytearray | None = None  # a large one, exactly its size
        self._filled = 0
        self._buf = scratch.buf  # what was fed last; [:_pos] may go on, [_pos:_end] waits
        self._pos = 0
        self._end = 0

    @property
    def wanted(self) -> int:
        """At most so many bytes fit into `room` now."""
        if self._large is not None:
            return len(self._large) - self._filled
        return len(self._scratch.buf) - len(self._rest)

    def room(self) -> memoryview:
        """Where the next bytes are to be put. Valid only until the next await: others use the same scratch."""
        if self._large is not None:
            return memoryview(self._large)[self._filled :]
        rest = self._rest
        if not rest:
            return self._scratch.view
        size = len(rest)
        self._scratch.buf[:size] = rest
        return self._scratch.view[size:]

    def feed(self, n: int) -> None:
        """``n`` bytes were put into `room`. Sets ``event`` if a frame must be looked at first."""
        if self._large is not None:
            self._filled += n
            if self._filled < len(self._large):
                self._pos = self._end = 0
                return
            self._buf, self._end = self._large, self._filled
            self._large = None
        else:
            self._buf, self._end = self._scratch.buf, len(self._rest) + n
            self._rest = b""
        self._scan(0)

    def payload(self) -> bytes:
        """The unmasked payload of the frame in ``event``."""
        assert self.event is not None
        return payload_of(self._buf, self.event, masked=self.masked)

    def resume(self, *, keep: bool) -> None:
        """Let the frame in ``event`` go on, or drop it, and look for the next."""
        found = self.event
        assert found is not None
        pos = found.end
        if not keep:
            # Move what follows over it: what may go on stays one piece.
            self._buf[found.start : found.start + self._end - pos] = self._buf[pos : self._end]
            self._end -= pos - found.start
            pos = found.start
        if self.end is None:
            self._scan(pos)
        else:
            self.event = None
            self._pos = self._end = pos  # nothing behind a close counts

    def take(self) -> memoryview:
        """What may be written now; the beginning of a frame behind it is put aside."""
        pos, end, buf = self._pos, self._end, self._buf
        if pos < end:
            total = self.scanner.frame_bytes
            if total >= LARGE_FRAME_BYTES:
                self._filled = end - pos
                self._large = bytearray(total)
                self._large[: self._filled] = memoryview(buf)[pos:end]
            else:
                self._rest = bytes(memoryview(buf)[pos:end])
            self._end = pos
        return (self._scratch.view if buf is self._scratch.buf else memoryview(buf))[:pos]

    @property
    def own_memory(self) -> bool:
        """Whether what `take` gave lies in memory of its own, which nobody will overwrite."""
        return self._buf is not self._scratch.buf

    def release(self) -> None:
        """Let go of a large frame that was written."""
        self._buf = self._scratch.buf
        self._pos = self._end = 0

    @property
    def between_fragments(self) -> bool:
        """Whether a message has begun and not ended: only control frames may be put in."""
        return self.scanner.in_message

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may be put in behind what `take` gave."""
        return not self.scanner.body_left

    def _scan(self, pos: int) -> None:
        scanner = self.scanner
        self._pos = scanner.scan(self._buf, pos, self._end)
        self.event = scanner.event
        error = scanner.error
        if error is not None:
            cause = Cause.TOO_BIG if error.code == 1009 else Cause.PROTOCOL_ERROR
            self.end = End(self.side, cause, detail=error.reason)
            self._end = self._pos
