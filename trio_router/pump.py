"""A pump: moves the frames of one direction from its source leg to its sink leg, and is the only one to write there.

A frame comes in at `Pump.took` (called by the source leg, see `leg`) and goes out three lines further down, through
``sink.send_nowait``, in the same call. Only when the sink does not take it at once is the pump's task woken, to wait.

Whoever else has something to say to the sink asks its pump: `say` puts a frame in at the next boundary, `part` says
the last words. Both return at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from .core.flow import Flow
from .core.framing import CLOSE, Frame
from .core.outcome import Cause, End, Side
from .leg import Leg, Signal

#: Pings and pongs in one read: each is looked at, and nobody needs so many.
CONTROLS_PER_READ: Final = 1000


def let_pass(_: Frame | None) -> bool:
    """What a pump does with every frame while nobody judges."""
    return True


class Pump:
    """One direction. ``judge(frame)`` is asked about each frame that the scanner stops at: True lets it go on. While
    ``opening`` it is also told, with None, of a frame too long to be stopped at.

    Without a ``source`` nothing is read, without a ``sink`` nothing is written (what comes is only ``kept``).
    """

    __slots__ = (
        "_flushing",
        "_parting",
        "_paused",
        "_slow_seconds",
        "_words",
        "bytes",
        "flow",
        "judge",
        "kept",
        "kept_limit",
        "mate",
        "opening",
        "outbox",
        "parted",
        "sink",
        "source",
    )

    def __init__(
        self,
        flow: Flow,
        source: Leg | None,
        sink: Leg | None,
        slow_seconds: float,
    ) -> None:
        self.flow = flow
        self.source = source
        self.sink = sink
        self.bytes = 0  # written or waiting to be written to the sink
        self.outbox: list[memoryview] = []  # what the sink has not accepted yet, in order
        self.judge: Callable[[Frame | None], bool] = let_pass
        self.kept: bytearray | None = None  # what would have to be said again to another sink
        self.kept_limit = 0
        self.mate: Pump | None = None  # the other direction; while it has no source, this one's task writes for it
        self.opening = False
        self.parted = False  # the last words were said, or wait in the outbox
        self._slow_seconds = slow_seconds
        self._words: list[bytes] = []  # wait for a boundary
        self._parting = False
        self._paused: trio.Event | None = None
        self._flushing: trio.Event | None = None  # set when the task that writes is through

    def __repr__(self) -> str:
        return f"<Pump {self.source} -> {self.sink} bytes={self.bytes} waiting={len(self.outbox)} end={self.flow.end}>"

    # The path of a frame

    @property
    def wanted(self) -> int:
        """At most so many bytes are wanted now."""
        return self.flow.wanted

    @property
    def missing(self) -> int:
        """So many bytes must come before anything can go on; 0 if any byte may help."""
        return self.flow.missing

    def room(self) -> memoryview:
        """Where the source leg puts what it reads."""
        return self.flow.room()

    def took(self, n: int) -> Signal | None:
        """The source leg put ``n`` bytes into the room: forward what may go. 0 is the end of the stream."""
        flow = self.flow
        if not n:
            flow.end = flow.end or End(flow.side, Cause.VANISHED, detail=self._why())
            return Signal.ENDED
        flow.feed(n)
        controls = 0
        while (found := flow.event) is not None:
            controls += found.opcode >= CLOSE
            if controls > CONTROLS_PER_READ and flow.end is None:
                # Also where they are a replica's: so many are the answers to a client's pings, and no fault of its own.
                flow.end = End(Side.CLIENT, Cause.PROTOCOL_ERROR, detail="too many control frames")
                flow.resume(keep=False)
            else:
                flow.resume(keep=self.judge(found))
        if self.opening and not flow.at_boundary:
            self.judge(None)
        out = flow.take()
        if out:
            self._forward(out)
        if self._words and flow.at_boundary:
            self._put_in()
        if flow.end is not None:
            return Signal.ENDED
        return Signal.FLUSH if self.outbox or (self.sink is None and (self.full or self._writes_for_mate)) else None

    def _forward(self, out: memoryview) -> None:
        if self.kept is not None:
            self._keep(out)
        sink = self.sink
        if sink is None or self.parted:
            self.flow.release(out if self.flow.own_memory else None)
            return
        size = len(out)
        self.bytes += size
        sent = 0 if self.outbox else sink.send_nowait(out)
        if not self.flow.own_memory:
            if sent < size:  # the scratch belongs to the next direction in a moment
                self.outbox.append(memoryview(bytes(out[sent:])))
        elif sent < size:
            self.outbox.append(out[sent:])
            self.flow.release()
        else:
            self.flow.release(out)

    def _why(self) -> str:
        return (self.source.why_gone if self.source else "") or "end of stream without a close frame"

    # What is kept for another sink

    @property
    def _writes_for_mate(self) -> bool:
        """The other direction has words to be written, and no task of its own that could."""
        return self.mate is not None and self.mate.source is None and bool(self.mate.outbox)

    @property
    def full(self) -> bool:
        """Without a sink only so much is kept; then nothing more is read until there is one."""
        return self.sink is None and self.kept is not None and len(self.kept) >= self.kept_limit

    def _keep(self, out: memoryview) -> None:
        assert self.kept is not None
        self.kept += out
        if self.sink is not None and len(self.kept) > self.kept_limit:
            self.kept = None  # too much to be said again: the session stays where it is

    def attach(self, sink: Leg) -> None:
        """Write to ``sink`` from now on, beginning with all that was kept."""
        self.sink = sink
        if self.kept:
            self.bytes += len(self.kept)
            if len(self.kept) > self.kept_limit:  # too much to be said again: no copy has to be kept
                said, self.kept = self.kept, None
            else:
                said = bytearray(self.kept)
            self._put(memoryview(said))
        if self.outbox or self._paused is not None:
            self.wake()

    def detach(self) -> None:
        """The sink is gone: keep what comes until there is another."""
        self.sink = None
        self.outbox.clear()

    # What others want to say to the sink

    def say(self, words: bytes) -> None:
        """Put a whole frame in at the next boundary. Nothing happens behind the last words, or without a sink."""
        if not self.parted and not self._parting and self.sink is not None:
            self._words.append(words)
            if self.flow.at_boundary:
                self._put_in()

    def part(self, words: list[bytes]) -> None:
        """Say the last words at the next boundary; whatever the source still brings is read and thrown away."""
        if self.parted or self._parting or self.sink is None:
            return
        if not self.flow.at_boundary and (self.flow.end is not None or self.source is None):
            # The source died in the middle of a frame that is half written: no honest frame can follow.
            self.outbox.clear()
            self.parted = True
            self.sink.abort()
            return
        self._words += words
        self._parting = True
        if self.flow.at_boundary:
            self._put_in()

    def _put_in(self) -> None:
        words, self._words = self._words, []
        for word in words:
            self._put(memoryview(word))
        self.parted = self._parting
        if self.outbox:
            self.wake()

    def _put(self, data: memoryview) -> None:
        """Write what the sink takes at once; the rest, which must be memory of its own, waits."""
        sent = 0 if self.outbox or self.sink is None else self.sink.send_nowait(data)
        if sent < len(data):
            self.outbox.append(data[sent:])

    def wake(self) -> None:
        """Make the pump's task look again at what there is to do."""
        if self._paused is not None:
            self._paused.set()
        elif self.source is not None:
            self.source.interrupt()
        elif self.mate is not None:
            self.mate.wake()

    # The task

    async def run(self) -> End:
        """Pump until the source ends and everything is written. Returns how it ended; cancelling it is safe."""
        while True:
            if self.outbox and (slow := await self.flush()):
                return slow
            if self.flow.end is not None:
                return self.flow.end
            if self._writes_for_mate:
                assert self.mate is not None
                if slow := await self.mate.flush():
                    return slow
            elif self.full:
                self._paused = trio.Event()
                await self._paused.wait()
                self._paused = None
            else:
                assert self.source is not None
                await self.source.drive(self)

    @property
    def reading(self) -> bool:
        """Whether the source is being read: silence means something only then."""
        return self._flushing is None and self._paused is None

    async def flush(self) -> End | None:
        """Write what waits. The end it comes to, if the sink accepted nothing for ``slow_seconds``."""
        if self._flushing is not None:  # the other task of the session is at it, and writes this too
            await self._flushing.wait()
            return None
        self._flushing = trio.Event()
        try:
            while self.outbox and (sink := self.sink) is not None:
                with trio.move_on_after(self._slow_seconds) as patience:
                    await self._write_some(sink)
                if patience.cancelled_caught and sink is self.sink:
                    return End(sink.side, Cause.SLOW, detail=f"accepted no byte for {self._slow_seconds:g} s")
        finally:
            self._flushing.set()
            self._flushing = None
        return None

    async def _write_some(self, sink: Leg) -> None:
        data = self.outbox[0]
        sent = await sink.send_some(data)
        if self.outbox and self.outbox[0] is data:  # it may have been detached meanwhile
            if sent < len(data):
                self.outbox[0] = data[sent:]
            else:
                del self.outbox[0]
                self.flow.release(data)
