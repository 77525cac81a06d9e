"""The bytes of one direction between reading and writing: what may go on, what is held back, how it ended.

Feed and ask, nothing calls back:

1. `Flow.room` says where the next bytes belong; somebody reads ``n`` bytes there and calls `Flow.feed`.
2. While `Flow.event` is a frame, somebody looks at it and calls `Flow.resume`, keeping or dropping it. `Flow.error` says
   that the bytes are no frames: nothing behind them goes on.
3. `Flow.take` is what may be written now: whole frames, and the beginning of one only if it is longer than
   ``hold_bytes``. It is one contiguous piece of memory and is valid until the next `room`.

Where the bytes lie decides the speed. All directions of a router share one `Scratch`: a short frame is read into it
and written from it, without a copy and without memory of its own. What is left at its end (the beginning of a frame)
is copied out, because the next direction will use the scratch: into a small object if it is small, into a buffer of
exactly the frame's size if it is large or slow to come, so that the rest is read right behind it.
"""

from __future__ import annotations

from typing import Final

from .frames import FrameError, FrameScanner
from .framing import Frame, payload_of

#: From this size on the rest of a frame is read into a buffer of exactly its size, not through the scratch again.
LARGE_FRAME_BYTES: Final = 512 * 1024
#: And from this size on if a second read has not completed it: else one that comes in drips would be copied at each drip.
DRIPPING_FRAME_BYTES: Final = 32 * 1024
#: Large frames' buffers of up to this size are used again: fresh memory costs a page fault for each 4 KiB, which was
#: half of the CPU at 256 KiB a frame.
REUSED_BYTES: Final = 1024 * 1024 + 64 * 1024
#: So many bytes of them are kept for the next large frames, of whatever session.
SPARE_BYTES: Final = 8 * 1024 * 1024
_PAGE: Final = 64 * 1024


class Scratch:
    """The one buffer that bytes are read into; shared by all directions, so it holds nothing across an await.

    1 MiB and a little: against 256 KiB it took a third off the CPU of pushed frames of 16 KiB and more, because the
    cost of a read or write is by the call as much as by the byte. It also lends buffers for large frames, and takes
    them back.
    """

    __slots__ = ("_spare", "_spare_bytes", "buf", "view")

    def __init__(self, size: int = 1024 * 1024 + 64) -> None:
        self.buf = bytearray(size)
        self.view = memoryview(self.buf)
        self._spare: list[bytearray] = []
        self._spare_bytes = 0

    def lend(self, size: int, *, at_least: int) -> bytearray:
        """A buffer for a frame of ``size`` bytes of which ``at_least`` have come. It is at least as long as the frame,
        unless that is very long: then it must grow with what really comes, because a length is only a claim."""
        for index, spare in enumerate(self._spare):
            if size <= len(spare) <= 4 * size:
                self._spare_bytes -= len(spare)
                return self._spare.pop(index)
        if size <= REUSED_BYTES:
            return bytearray(-(-size // _PAGE) * _PAGE)
        return bytearray(min(size, max(REUSED_BYTES, 2 * at_least)))

    def take_back(self, buf: object) -> None:
        """It is not used any more. Anything else than a lent buffer is ignored."""
        if not isinstance(buf, bytearray) or buf is self.buf or len(buf) > REUSED_BYTES:
            return
        if self._spare_bytes + len(buf) <= SPARE_BYTES:
            self._spare.append(buf)
            self._spare_bytes += len(buf)


class Flow:
    """One direction. ``masked``: it comes from a client (RFC 6455 section 5.1)."""

    __slots__ = (
        "_behind",
        "_buf",
        "_drips",
        "_end",
        "_filled",
        "_gap",
        "_large",
        "_pos",
        "_rest",
        "_scratch",
        "_total",
        "error",
        "event",
        "masked",
        "scanner",
    )

    def __init__(self, scanner: FrameScanner, scratch: Scratch, *, masked: bool) -> None:
        self.scanner = scanner
        self.masked = masked
        self.error: FrameError | None = None
        self.event: Frame | None = None
        self._scratch = scratch
        self._rest = b""  # the beginning of a small frame
        self._large: bytearray | None = None  # a large one, `_total` bytes long when it is whole
        self._filled = 0
        self._total = 0
        self._buf = scratch.buf  # what was fed last; [:_pos] may go on, [_pos:_end] waits
        self._pos = 0
        self._end = 0
        self._drips = 0  # reads in a row that brought some of a frame, and completed none
        self._gap = -1  # where a dropped frame began, and...
        self._behind = 0  # ...where what follows it begins

    @property
    def wanted(self) -> int:
        """At most so many bytes fit into `room` now."""
        if self._large is not None:
            return self._room_end(self._large) - self._filled
        return len(self._scratch.buf) - len(self._rest)

    @property
    def missing(self) -> int:
        """So many bytes must come before anything can go on; 0 if any byte may help."""
        return self._total - self._filled if self._large is not None else 0

    def room(self) -> memoryview:
        """Where the next bytes are to be put. Valid only until the next await: others use the same scratch."""
        large = self._large
        if large is not None:
            end = self._room_end(large)
            if end > len(large):
                large.extend(bytes(end - len(large)))
            return memoryview(large)[self._filled : end]
        rest = self._rest
        if not rest:
            return self._scratch.view
        size = len(rest)
        self._scratch.buf[:size] = rest
        return self._scratch.view[size:]

    def _room_end(self, large: bytearray) -> int:
        """How far the large frame may be read now. Its memory grows only when it is full."""
        return min(self._total, len(large) if self._filled < len(large) else 2 * self._filled)

    def feed(self, n: int) -> None:
        """``n`` bytes were put into `room`. Sets ``event`` if a frame must be looked at first."""
        if self._large is not None:
            self._filled += n
            if self._filled < self._total:
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

    def whole(self) -> bytes:
        """The frame in ``event``, as it came."""
        assert self.event is not None
        return bytes(memoryview(self._buf)[self.event.start : self.event.end])

    def cut_before(self) -> bytes:
        """What may go on and stands before the frame in ``event``; `take` will not give it again."""
        assert self.event is not None
        start = self.event.start
        data = bytes(memoryview(self._buf)[: self._close_up(start) if self._gap >= 0 else start])
        self._gap, self._behind = 0, start
        return data

    def resume(self, *, keep: bool, stop: bool = False) -> None:
        """Let the frame in ``event`` go on, or drop it, and look for the next; ``stop``: nothing behind it counts."""
        found = self.event
        assert found is not None
        pos = found.end
        if not keep:
            self._drop(found.start, found.end)
        if stop:
            self.event = None
            self._pos = self._end = pos
        else:
            self._scan(pos)

    def take(self) -> memoryview:
        """What may be written now; the beginning of a frame behind it is put aside."""
        pos, end, buf = self._pos, self._end, self._buf
        if pos < end:
            self._put_aside(buf, pos, end)
            self._end = pos
        if self._gap >= 0:
            pos, self._gap = self._close_up(pos), -1
        return (self._scratch.view if buf is self._scratch.buf else memoryview(buf))[:pos]

    def _drop(self, start: int, end: int) -> None:
        """Leave ``buf[start:end]`` out. What may go on stays one piece; each byte of it is moved once, however many
        frames are dropped: somebody may send nothing but pongs."""
        self._gap = start if self._gap < 0 else self._close_up(start)
        self._behind = end

    def _close_up(self, end: int) -> int:
        """Move what stands between the last dropped frame and ``end`` over the gap; returns where it ends now."""
        gap, behind = self._gap, self._behind
        self._buf[gap : gap + end - behind] = self._buf[behind:end]
        return gap + end - behind

    def _put_aside(self, buf: bytearray, pos: int, end: int) -> None:
        """Keep ``buf[pos:end]``, the beginning of a frame."""
        total = self.scanner.frame_bytes
        self._drips = 0 if pos else self._drips + 1
        if total < (LARGE_FRAME_BYTES if self._drips < 2 else DRIPPING_FRAME_BYTES):
            self._rest = bytes(memoryview(buf)[pos:end])
            return
        self._total, self._filled = total, end - pos
        self._large = self._scratch.lend(total, at_least=self._filled)
        self._large[: self._filled] = memoryview(buf)[pos:end]

    @property
    def own_memory(self) -> bool:
        """Whether what `take` gave lies in memory of its own, which nobody will overwrite."""
        return self._buf is not self._scratch.buf

    def release(self, written: memoryview | None = None) -> None:
        """Let go of a large frame. ``written``: memory that `take` gave, and that has been written completely."""
        if written is not None:
            self._scratch.take_back(written.obj)
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
        if scanner.error is not None:
            self.error = scanner.error
            self._end = self._pos
