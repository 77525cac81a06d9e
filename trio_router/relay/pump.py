"""A pump: moves the frames of one direction from its source to its sink, and is the only one to write there.

A frame comes in at `Pump.buffer_updated` (called by the source connection) and goes out in `Pump._forward`, through
``sink.send_nowait``, in the same call. Only when the sink does not take it at once is the pump's task woken, to wait.

Whoever else has something for the sink asks its pump: `inject` puts frames in at the next boundary, `send_close` the last
ones. Both return at once. A pump is the only author of its ``end``; others call `fail`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trio_router.core.relay.filter import FORWARD, Decision, FilterEvent
from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side, Traffic
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import CLOSE, MESSAGE_TOO_BIG, Frame
from trio_router.net.connection import Connection, Signal
from trio_router.relay.writer import Writer

#: Pings and pongs in one read: each is looked at, and nobody needs so many.
CONTROLS_PER_READ: Final = 1000

#: Decides about a frame; the second argument gives its payload, the third is how many frames came so far.
Filter = Callable[[Frame, Callable[[], bytes], int], Decision]


def forward_all(_: Frame, payload: Callable[[], bytes], frames: int) -> Decision:
    """The filter of a pump that has none (any more)."""
    return FORWARD


def nothing(_: FilterEvent) -> None:
    """The listener of a pump that has none (any more)."""


class Pump(Writer):
    """One direction. ``side`` is its source's. Without a ``source`` nothing is read, without a ``sink`` nothing is written:
    what comes is only kept in ``replay``, if there is one.
    """

    __slots__ = (
        "_cut_through",
        "_frames",
        "_held",
        "_messages",
        "_paused",
        "buffer",
        "close_received",
        "end",
        "eof",
        "filter",
        "mate",
        "notify",
        "replay",
        "side",
        "source",
    )

    def __init__(
        self,
        side: Side,
        buffer: FrameBuffer,
        filter: Filter = forward_all,
        notify: Callable[[FilterEvent], None] = nothing,
        *,
        slow_seconds: float,
        replay: ReplayBuffer | None = None,
    ) -> None:
        super().__init__(slow_seconds)
        self.side = side
        self.buffer = buffer
        self.filter = filter
        self.notify = notify
        self.source: Connection | None = None
        self.mate: Pump | None = None  # the other direction; while it has no source, this one's task writes for it
        self.replay = replay
        self.end: End | None = None
        self.eof = False  # the source has ended
        self.close_received: CloseInfo | None = None  # from the source
        self._cut_through: Callable[[], Decision] | None = None  # asked when a frame is too long to be looked at
        self._held: list[bytes] = []  # frames that wait for the commit point
        self._frames = 0  # of buffers before this one
        self._messages = 0
        self._paused = False

    def __repr__(self) -> str:
        return f"<Pump {self.source} -> {self.sink} bytes={self.bytes} waiting={len(self.outbox)} end={self.end}>"

    @property
    def traffic(self) -> Traffic:
        """What it carried so far, over all its sources and sinks."""
        scanner = self.buffer.scanner
        return Traffic(self.bytes, self._frames + scanner.frames, self._messages + scanner.messages)

    # The path of a frame

    @property
    def sizehint(self) -> int:
        """At most so many bytes are wanted now."""
        return self.buffer.sizehint

    @property
    def missing(self) -> int:
        """So many bytes must come before anything can go on; 0 if any byte may help."""
        return self.buffer.missing

    def get_buffer(self) -> memoryview:
        """Where the source puts what it reads."""
        return self.buffer.get_buffer()

    def buffer_updated(self, n: int) -> Signal | None:
        """The source put ``n`` bytes into the room: forward what may go. 0 is the end of the stream."""
        buffer = self.buffer
        if not n:
            self.eof = True
            self.end = self.end or End(self.side, Cause.VANISHED, detail=self._broken_reason())
            return Signal.ENDED
        buffer.feed(n)
        if buffer.event is not None:
            self._inspect(buffer)
        if buffer.error is not None and self.end is None:
            cause = Cause.TOO_BIG if buffer.error.code == MESSAGE_TOO_BIG else Cause.PROTOCOL_ERROR
            self.end = End(self.side, cause, detail=buffer.error.reason)
        if self._cut_through is not None and not buffer.at_boundary:
            self._apply(self._cut_through())
        out = buffer.take()
        if out:
            self._forward(out)
        if self._injected and buffer.at_boundary:
            self._put_injected()
        if self.replay is not None:
            self._account(self.replay)
        if self.end is not None:
            return Signal.ENDED
        return Signal.FLUSH if self.outbox or (self.sink is None and (self.full or self._writes_for_mate)) else None

    def _account(self, replay: ReplayBuffer) -> None:
        """Bound what all sessions without a replica hold together."""
        if not replay.account(self.buffer.held) and self.end is None:
            self.end = End(Side.ROUTER, Cause.OVERLOADED, detail="too much is held for sessions that wait")

    def _inspect(self, buffer: FrameBuffer) -> None:
        """Have each frame that the scanner stops at decided."""
        controls = 0
        while (found := buffer.event) is not None:
            controls += found.opcode >= CLOSE
            if controls > CONTROLS_PER_READ:
                # Also where they are a replica's: so many are the answers to a client's pings, and no fault of its own.
                self.end = End(Side.CLIENT, Cause.PROTOCOL_ERROR, detail="too many control frames")
                buffer.resume(keep=False, stop=True)
                return
            decision = self.filter(found, buffer.payload, buffer.scanner.frames)
            if decision.hold:
                self._hold(buffer)
            keep = self._apply(decision)
            buffer.resume(keep=keep, stop=self.end is not None)

    def _hold(self, buffer: FrameBuffer) -> None:
        """Keep this frame back; what stands before it goes first."""
        before = buffer.cut_before()
        self.bytes += len(before)
        self._put(memoryview(before))
        self._held.append(buffer.whole())

    def _apply(self, decision: Decision) -> bool:
        """Do what was decided; returns whether the frame goes on."""
        if decision.reply is not None and self.mate is not None:
            self.mate.inject(decision.reply)
        if decision.end is not None and self.end is None:
            self.end = decision.end
        if decision.close is not None:
            self.close_received = decision.close
            if decision.forward and not self.closed and self.sink is not None:
                self.release_held()  # this close is the answer, and they belong to it
                self.close_sent = decision.close
        if decision.event is not None:
            self.notify(decision.event)
        return decision.forward

    def _forward(self, out: memoryview) -> None:
        if self.replay is not None:
            self._keep_for_replay(self.replay, out)
        sink = self.sink
        if sink is None or self.closed:
            self.buffer.release(out if self.buffer.own_memory else None)
            return
        size = len(out)
        self.bytes += size
        sent = 0 if self.outbox else sink.send_nowait(out)
        if not self.buffer.own_memory:
            if sent < size:  # the scratch belongs to the next direction in a moment
                self.outbox.append(memoryview(bytes(out[sent:])))
        elif sent < size:
            self.outbox.append(out[sent:])
            self.buffer.release()
        else:
            self.buffer.release(out)

    def _keep_for_replay(self, replay: ReplayBuffer, out: memoryview) -> None:
        replay.append(out)
        if self.sink is not None:
            replay.enforce()

    def _broken_reason(self) -> str:
        return (self.source.broken_reason if self.source else "") or "end of stream without a close frame"

    # Sources and sinks, which may be exchanged

    def join(self, mate: Pump, *, source: Connection | None = None, sink: Connection | None = None) -> None:
        """Begin with these ends; ``mate`` is the other direction."""
        self.mate, self.source, self.sink = mate, source, sink

    def read_from(self, source: Connection | None, buffer: FrameBuffer | None = None) -> None:
        """Another source, with a frame buffer of its own; None: nothing is read until there is one."""
        self.source = source
        if buffer is not None:
            self._frames += self.buffer.scanner.frames
            self._messages += self.buffer.scanner.messages
            self.buffer = buffer
            self.end = None
            self.eof = False
            self.close_received = None
        self._held.clear()

    def write_to(self, sink: Connection | None) -> None:
        """Another sink: it is written all that was kept. None: keep what comes until there is one."""
        self.sink = sink
        self.close_sent = None
        if sink is None:
            self.outbox.clear()
            return
        if self.replay is not None and (frames := self.replay.replay()):
            self.bytes += len(frames)
            self._put(memoryview(frames))
        if self.outbox or self._paused:
            self.wake()

    def conduct(
        self, *, watch: frozenset[int], hold_bytes: int, message_bytes: int, cut_through: Callable[[], Decision] | None
    ) -> None:
        """How frames are treated from the next one on. ``cut_through`` decides about one too long to be stopped at."""
        self.buffer.scanner.set_rules(watch=watch, hold_bytes=hold_bytes, max_message_bytes=message_bytes)
        self._cut_through = cut_through

    def drop_replay(self) -> None:
        """Nothing will be said again."""
        if self.replay is not None:
            self.replay.release()
        self.replay = None

    def release_held(self) -> None:
        """The commit point: what was held back goes to the sink first."""
        held, self._held = self._held, []
        for frames in held:
            self.bytes += len(frames)
            self._put(memoryview(frames))

    def fail(self, end: End) -> None:
        """End the direction from outside, unless it has ended; its task does the rest."""
        if self.end is None:
            self.end = end
            self.wake()

    @property
    def at_boundary(self) -> bool:
        """See `Writer`."""
        return self.buffer.at_boundary

    @property
    def dried_up(self) -> bool:
        """See `Writer`."""
        return self.end is not None or self.source is None

    def written(self, data: memoryview) -> None:
        """See `Writer`."""
        self.buffer.release(data)

    @property
    def _writes_for_mate(self) -> bool:
        """The other direction has frames to be written, and no task of its own that could."""
        return self.mate is not None and self.mate.source is None and bool(self.mate.outbox)

    @property
    def full(self) -> bool:
        """Without a sink only so much is kept; then nothing more is read until there is one."""
        return self.sink is None and self.replay is not None and self.replay.full

    def wake(self) -> None:
        """Make the pump's task look again at what there is to do."""
        if self.source is not None:
            self.source.interrupt()
        elif self.mate is not None:
            self.mate.wake()

    def release(self) -> None:
        """The session is over: let go of everything that refers to others. What it counted stays."""
        self.filter, self.notify, self._cut_through = forward_all, nothing, None
        self.mate = self.source = self.sink = None

    # The task

    async def run(self) -> End:
        """Pump until the source ends and everything is written. Returns how it ended; cancelling it is safe."""
        while True:
            if self.outbox and (slow := await self.flush()):
                return slow
            if self.end is not None:
                return self.end
            if self._writes_for_mate:
                assert self.mate is not None
                if slow := await self.mate.flush():
                    return slow
            elif self.full:
                await self._wait_until_wanted()
            else:
                assert self.source is not None
                await self.source.drive(self)

    async def _wait_until_wanted(self) -> None:
        """Read nothing, until there is a sink or the source has hung up."""
        assert self.source is not None
        self._paused = True
        try:
            hung_up = await self.source.wait_hangup() is Signal.ENDED
        finally:
            self._paused = False
        if hung_up:
            self.eof = True
            self.end = self.end or End(self.side, Cause.VANISHED, detail=self._broken_reason())

    @property
    def reading(self) -> bool:
        """Whether the source is being read: silence means something only then."""
        return not self.flushing and not self._paused
