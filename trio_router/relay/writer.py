"""The writing half of a pump: what goes to the sink, in order, and what waits until the sink takes it.

Frames of the router's own go between those of the source, at a boundary; the last ones are a close.
"""

from __future__ import annotations

from typing import Final

import trio

from trio_router.core.session.liveness import Delivery
from trio_router.core.session.outcome import Cause, CloseInfo, End
from trio_router.net.connection import Connection

#: Beside the bytes that wait: how long a sink may accept nothing.
_SLOW_DETAIL: Final = "accepted no byte for {seconds:g} s"


class Writer:
    """Owns all writing to ``sink``. Without a sink nothing is written."""

    __slots__ = (
        "_closing",
        "_flushing",
        "_injected",
        "_slow_seconds",
        "bytes",
        "close_sent",
        "closed",
        "outbox",
        "sink",
    )

    def __init__(self, slow_seconds: float) -> None:
        self.sink: Connection | None = None
        self.bytes = 0  # written or waiting to be written, the source's frames only
        self.outbox: list[memoryview] = []  # what the sink has not accepted yet, in order
        self.close_sent: CloseInfo | None = None  # the close frame that went to the sink, or is about to
        self.closed = False  # the last frames were said, or wait in the outbox
        self._closing = False  # the last frames wait for a boundary
        self._slow_seconds = slow_seconds
        self._injected: list[bytes] = []  # wait for a boundary
        self._flushing: trio.Event | None = None  # set when the task that writes is through

    # What a pump says of its source

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may be put in now."""
        raise NotImplementedError

    @property
    def dried_up(self) -> bool:
        """Whether no more will come from the source, so that a boundary that is not reached now never will be."""
        raise NotImplementedError

    def wake(self) -> None:
        """Make the task that writes look again at what there is to do."""
        raise NotImplementedError

    # What others have for the sink

    def inject(self, frames: bytes) -> None:
        """Put whole frames in at the next boundary. Nothing happens after the last ones, or without a sink."""
        if not self.closed and not self._closing and self.sink is not None:
            self._injected.append(frames)
            if self.at_boundary:
                self._put_injected()

    def send_close(self, close: CloseInfo, frames: list[bytes]) -> None:
        """Send the last frames, which say ``close``, at the next boundary; what the source still brings is thrown away.

        Where a close was sent before, or the sink is broken, nothing happens.
        """
        sink = self.sink
        if sink is None or sink.broken or self.close_sent is not None or self.closed or self._closing:
            return
        self.close_sent = close
        self._injected += frames
        self._closing = True
        if self.at_boundary:
            self._put_injected()
        elif self.dried_up:
            self._abort_sink()

    def _abort_sink(self) -> None:
        """The source died in the middle of a frame that is half written: no honest frame can follow."""
        self.outbox.clear()
        self._injected.clear()
        self.closed = True
        if self.sink is not None:
            self.sink.abort()

    def _put_injected(self) -> None:
        injected, self._injected = self._injected, []
        for frames in injected:
            self._put(memoryview(frames))
        self.closed = self._closing
        if self.outbox:
            self.wake()

    def _put(self, data: memoryview) -> None:
        """Write what the sink takes at once; the rest, which must be memory of its own, waits."""
        sent = 0 if self.outbox or self.sink is None else self.sink.send_nowait(data)
        if sent < len(data):
            self.outbox.append(data[sent:])

    # Writing what waits

    @property
    def flushing(self) -> bool:
        """Whether a task waits for the sink."""
        return self._flushing is not None

    async def flush(self) -> End | None:
        """Write what waits. The end it comes to, if the sink accepted nothing for ``slow_seconds``."""
        if self._flushing is not None:  # the other task of the session is at it, and writes this too
            await self._flushing.wait()
            return None
        self._flushing = trio.Event()
        try:
            while self.outbox and (sink := self.sink) is not None:
                before = sink.delivery()
                with trio.move_on_after(self._slow_seconds) as patience:
                    await self._write_some(sink)
                if patience.cancelled_caught and sink is self.sink and not _moved(before, sink.delivery()):
                    return End(sink.side, Cause.SLOW, detail=_SLOW_DETAIL.format(seconds=self._slow_seconds))
        finally:
            self._flushing.set()
            self._flushing = None
        return None

    async def _write_some(self, sink: Connection) -> None:
        data = self.outbox[0]
        sent = await sink.send_some(data)
        if self.outbox and self.outbox[0] is data:  # the sink may have been exchanged meanwhile
            if sent < len(data):
                self.outbox[0] = data[sent:]
            else:
                del self.outbox[0]
                self.written(data)

    def written(self, data: memoryview) -> None:
        """``data`` is not needed any more."""


def _moved(before: Delivery | None, after: Delivery | None) -> bool:
    """Whether the peer's kernel acknowledged bytes meanwhile: who does so is slow, but lives."""
    return before is not None and after is not None and after.acknowledged > before.acknowledged
