"""Memory to read into: one scratch for all directions, and buffers for frames that are too large for it or too slow.

A length in a frame's header is only a claim, and 14 bytes are enough to make it. So a buffer is never longer than a
multiple of what has come (`allowed`), and grows as it fills.
"""

from __future__ import annotations

from typing import Final

#: Windows of the scratch that a read may be limited to (`flow`), besides all of it.
WINDOWS: Final = (4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024)
#: Large frames' buffers of up to this size are used again: fresh memory costs a page fault for each 4 KiB, which was
#: half of the CPU at 256 KiB a frame.
REUSED_BYTES: Final = 1024 * 1024 + 64 * 1024
#: How many bytes of them are kept for the next large frames, of any session.
SPARE_BYTES: Final = 8 * 1024 * 1024
#: What the first bytes of a frame are allowed, however few they are: about the memory of an idle session.
FIRST_BYTES: Final = 16 * 1024
#: And then this multiple of what has come, up to `REUSED_BYTES`: the first read of a frame of 512 KiB brings 64 KiB on
#: a loopback, so an honest frame gets all of its memory at once. Above that it doubles.
FIRST_FACTOR: Final = 8
_PAGE: Final = 64 * 1024


def allowed(size: int, came: int) -> int:
    """The largest buffer, in bytes, for a frame of ``size`` bytes of which ``came`` have arrived."""
    return min(size, max(FIRST_BYTES, 2 * came, min(FIRST_FACTOR * came, REUSED_BYTES)))


class Scratch:
    """The one buffer that bytes are read into; shared by all directions, so it holds nothing across an await.

    1 MiB and a little: against 256 KiB it took a third off the CPU of pushed frames of 16 KiB and more, because the
    cost of a read or write is by the call as much as by the byte. It also lends buffers for large frames, and takes
    them back. ``views`` are its beginnings, from the smallest window to all of it.
    """

    __slots__ = ("_spare", "_spare_bytes", "buf", "view", "views")

    def __init__(self, size: int = 1024 * 1024 + 64) -> None:
        self.buf = bytearray(size)
        self.view = memoryview(self.buf)
        self.views = (*(self.view[:window] for window in WINDOWS if window < size), self.view)
        self._spare: list[bytearray] = []
        self._spare_bytes = 0

    def lend(self, size: int, *, came: int) -> bytearray:
        """A buffer for a frame of ``size`` bytes of which ``came`` have come: as long as is `allowed`, or a little more."""
        size = allowed(size, came)
        for index, spare in enumerate(self._spare):
            if size <= len(spare) <= 2 * size:
                self._spare_bytes -= len(spare)
                return self._spare.pop(index)
        if _PAGE <= size <= REUSED_BYTES:
            return bytearray(-(-size // _PAGE) * _PAGE)
        return bytearray(size)

    def take_back(self, buf: object) -> None:
        """Take back a lent buffer that is no longer used. Any other object, or one not worth keeping, is ignored."""
        if not isinstance(buf, bytearray) or buf is self.buf or not _PAGE <= len(buf) <= REUSED_BYTES:
            return
        if self._spare_bytes + len(buf) <= SPARE_BYTES:
            self._spare.append(buf)
            self._spare_bytes += len(buf)
