"""The bytes of one direction between reading and writing: what may go on, what is held back, how it ended.

Feed and ask, nothing calls back:

1. `FrameBuffer.get_buffer` is the memory for the next bytes; the caller reads ``n`` bytes into it and calls `FrameBuffer.feed`.
2. While `FrameBuffer.event` is a frame, the caller inspects it and calls `FrameBuffer.resume`, keeping or dropping it.
  `FrameBuffer.error` is set
   if the bytes are no frames: nothing that follows them goes on.
3. `FrameBuffer.take` is what may be written now: whole frames, and the beginning of one only if it is longer than
   ``hold_bytes``. It is one contiguous piece of memory and is valid until the next `get_buffer`.

Where the bytes lie decides the speed. All directions of a router share one `Scratch`: a short frame is read into it
and written from it, without a copy and without memory of its own. What is left at its end (the beginning of a frame)
is copied out, because the next direction will use the scratch: into a small object if it is small, into a buffer of
its own if it is large or slow to arrive, so that the rest is read directly after it.
"""

from __future__ import annotations

from typing import Final

from trio_router.core.websocket.frames import Frame, payload_of
from trio_router.core.websocket.scanner import FrameError, FrameScanner
from trio_router.core.websocket.scratch import Scratch

__all__ = ["FrameBuffer", "Scratch"]

#: From this size on the rest of a frame is read into a buffer of its own, not through the scratch again.
LARGE_FRAME_BYTES: Final = 512 * 1024
#: And from this size on if a second read has not completed it: else one that comes in drips would be copied at each drip.
DRIPPING_FRAME_BYTES: Final = 32 * 1024
#: Limit of frames per read, at 0.1 to 0.4 us each, before other sockets get their turn. A peer that sends smaller frames
#: is read in smaller pieces, and the rest waits in the kernel: the delay is that peer's alone.
FRAMES_PER_READ: Final = 1000
#: A frame that is inspected costs as much as this many others.
EVENT_FRAMES: Final = 8
#: The window that a buffer begins with, an index of `Scratch.views`. It grows with the first reads that fill it.
FIRST_VIEW: Final = 2
#: After a read that cost too much the window grows only when this many bytes of cheap reads have come: else a few large
#: frames would be followed by a scratch full of tiny ones.
GOOD_BYTES: Final = 16 * 1024 * 1024


class FrameBuffer:
    """One direction. ``masked``: it comes from a client (RFC 6455 section 5.1)."""

    __slots__ = (
        "_behind",
        "_buf",
        "_came",
        "_drips",
        "_end",
        "_filled",
        "_gap",
        "_large",
        "_owed",
        "_pos",
        "_rest",
        "_scratch",
        "_total",
        "_view",
        "_weighed",
        "_window",
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
        self._large: bytearray | None = None  # of a large one, which will be `_total` bytes long
        self._filled = 0
        self._total = 0
        self._buf = scratch.buf  # what was fed last; [:_pos] may go on, [_pos:_end] waits
        self._pos = 0
        self._end = 0
        self._drips = 0  # reads in a row that brought some of a frame, and completed none
        self._gap = -1  # where a dropped frame began, and...
        self._behind = 0  # ...where what follows it begins
        self._view = min(FIRST_VIEW, len(scratch.views) - 1)  # how much may be read at once, see `_weigh`
        self._window = len(scratch.views[self._view])
        self._came = 0  # what was read last
        self._weighed = scanner.frames  # frames of the reads before it, less what looking at some of this one's costs
        self._owed = 0  # bytes that must come before more may be read at once

    @property
    def sizehint(self) -> int:
        """The most bytes that `get_buffer` has space for now."""
        if self._large is not None:
            return min(self._total, len(self._large)) - self._filled
        scratch = self._scratch
        return min(len(scratch.views[self._view]), len(scratch.buf) - len(self._rest))

    @property
    def held(self) -> int:
        """Bytes of memory of its own that the beginning of a frame takes."""
        return len(self._rest) + (len(self._large) if self._large is not None else 0)

    @property
    def missing(self) -> int:
        """Bytes that must arrive before anything can go on; 0 if any byte may help."""
        return self._total - self._filled if self._large is not None else 0

    def get_buffer(self) -> memoryview:
        """Memory for the next bytes. Valid only until the next await: all directions share the scratch."""
        large = self._large
        if large is not None:
            return memoryview(large)[self._filled : self._total]
        view = self._scratch.views[self._view]
        rest = self._rest
        if not rest:
            return view
        size = len(rest)
        self._scratch.buf[:size] = rest
        return self._scratch.view[size : size + len(view)]

    def _grow(self, large: bytearray) -> None:
        """The buffer of a large frame is full, and the frame is not whole: so much has come, so much more may be held.

        By copying, because whoever read into it may still have a view of it; in all, less than the frame's bytes.
        """
        self._large = self._scratch.lend(self._total, came=self._filled)
        self._large[: self._filled] = large
        self._scratch.take_back(large)

    def feed(self, n: int) -> None:
        """``n`` bytes were put into `get_buffer`. Sets ``event`` if a frame must be looked at first."""
        self._came = n
        if self._large is not None:
            self._filled += n
            if self._filled < self._total:
                self._pos = self._end = 0
                if self._filled == len(self._large):
                    self._grow(self._large)
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
        """What may go on and precedes the frame in ``event``; `take` will not return it again."""
        assert self.event is not None
        start = self.event.start
        data = bytes(memoryview(self._buf)[: self._close_up(start) if self._gap >= 0 else start])
        self._gap, self._behind = 0, start
        return data

    def resume(self, *, keep: bool, stop: bool = False) -> None:
        """Let the frame in ``event`` go on, or drop it, and look for the next; ``stop``: ignore everything that follows it."""
        found = self.event
        assert found is not None
        self._weighed -= EVENT_FRAMES
        pos = found.end
        if not keep:
            self._drop(found.start, found.end)
        if stop:
            self.event = None
            self._pos = self._end = pos
        else:
            self._scan(pos)

    def take(self) -> memoryview:
        """What may be written now; the beginning of a frame that follows it is put aside."""
        frames = self.scanner.frames - self._weighed
        self._weighed += frames
        if frames > FRAMES_PER_READ or self._came >= self._window:
            self._weigh(frames)
        pos, end, buf = self._pos, self._end, self._buf
        if pos < end:
            self._put_aside(buf, pos, end)
            self._end = pos
        if self._gap >= 0:
            pos, self._gap = self._close_up(pos), -1
        return (self._scratch.view if buf is self._scratch.buf else memoryview(buf))[:pos]

    def _weigh(self, frames: int) -> None:
        """Choose how much may be read at once, after a read that brought ``frames`` or filled its window."""
        views, view = self._scratch.views, self._view
        if frames > FRAMES_PER_READ:
            self._owed = GOOD_BYTES
            bearable = self._came * FRAMES_PER_READ // frames
            while view and len(views[view]) > bearable:
                view -= 1
        elif self._owed > 0:
            self._owed -= self._came
        elif 4 * frames <= FRAMES_PER_READ and view < len(views) - 1:
            view += 1
        self._view, self._window = view, len(views[view])

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
        self._large = self._scratch.lend(total, came=self._filled)
        self._large[: self._filled] = memoryview(buf)[pos:end]

    @property
    def own_memory(self) -> bool:
        """Whether what `take` returned lies in memory of its own, which is not overwritten."""
        return self._buf is not self._scratch.buf

    def release(self, written: memoryview | None = None) -> None:
        """Let go of a large frame. ``written``: memory that `take` gave, and that has been written completely."""
        if written is not None:
            self._scratch.take_back(written.obj)
        self._buf = self._scratch.buf
        self._pos = self._end = 0

    @property
    def between_fragments(self) -> bool:
        """Whether a message has begun and not ended: only control frames may be inserted."""
        return self.scanner.in_message

    @property
    def body_left(self) -> int:
        """Bytes of a frame that is being cut through and has not come yet."""
        return self.scanner.body_left

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may be inserted after what `take` returned."""
        return not self.scanner.body_left

    def _scan(self, pos: int) -> None:
        scanner = self.scanner
        self._pos = scanner.scan(self._buf, pos, self._end)
        self.event = scanner.event
        if scanner.error is not None:
            self.error = scanner.error
            self._end = self._pos
