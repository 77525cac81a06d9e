"""A pump: moves the frames of one direction from its source to its sink, and is the only one to write there.

A frame comes in at `Pump.buffer_updated` (called by the source connection) and goes out in `Pump._forward`, through
``sink.send_nowait``, in the same call. Only when the sink does not take it at once is the pump's task woken, to wait.

Whoever else has something for the sink asks its pump: `inject` puts frames in at the next boundary, `send_close` the last
ones. Both return at once. A pump is the only author of its ``end``; others call `fail`.
"""

from __future__ import annotations

from typing import Final

from trio_router.core.relay.filter import FORWARD, Decision
from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import CLOSE, MESSAGE_TOO_BIG
from trio_router.net.connection import Signal
from trio_router.relay.direction import Direction

#: Pings and pongs in one read: each is looked at, and nobody needs so many.
CONTROLS_PER_READ: Final = 1000
#: Of a replica's frames, so many of the largest that are looked at may be held back until the commit point.
HELD_FRAMES: Final = 16


class Pump(Direction):
    """Moves the frames of one direction."""

    __slots__ = ()

    # The path of a frame

    @property
    def sizehint(self) -> int:
        """At most so many bytes are wanted now."""
        return self.buffer.body_left if self._close_waits else self.buffer.sizehint

    @property
    def missing(self) -> int:
        """So many bytes must come before anything can go on; 0 if any byte may help."""
        return self.buffer.missing

    def get_buffer(self) -> memoryview:
        """Where the source puts what it reads. While a close waits for the end of a frame, nothing after that is read."""
        room = self.buffer.get_buffer()
        return room if not self._closing or not self._close_waits else room[: self.buffer.body_left]

    def buffer_updated(self, n: int) -> Signal | None:
        """The source put ``n`` bytes into the room: forward what may go. 0 is the end of the stream."""
        buffer = self.buffer
        if not n:
            self._vanished()
            return Signal.ENDED
        buffer.feed(n)
        if buffer.event is not None:
            try:
                self._inspect(buffer)
            except BaseException:
                self._forward_before(buffer)
                raise
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

    def _forward_before(self, buffer: FrameBuffer) -> None:
        """The filter failed at a frame: what stands before it goes on, or the last frames would end up inside one."""
        if buffer.event is not None:
            buffer.resume(keep=False, stop=True)
        out = buffer.take()
        if out:
            self._forward(out)

    def _hold(self, buffer: FrameBuffer) -> None:
        """Keep this frame back; what stands before it goes first."""
        before = buffer.cut_before()
        if self.closed:
            return
        self._send(before)
        frame = buffer.whole()
        self._held = (*self._held, frame)
        self._held_bytes += len(frame)
        if self._held_bytes > HELD_FRAMES * buffer.scanner.hold_bytes and self.end is None:
            self.end = End(self.side, Cause.TOO_BIG, detail="too much was said before the commit point")

    def _apply(self, decision: Decision) -> bool:
        """Do what was decided; returns whether the frame goes on."""
        if decision is FORWARD:
            return not self._closing
        if decision.reply is not None and self.mate is not None:
            self.mate.inject(decision.reply)
        if decision.end is not None and self.end is None:
            self.end = decision.end
        forward = decision.forward and not self._closing
        if decision.close is not None:
            self.close_received = decision.close
            if forward and self.sink is not None:
                self.release_held()
                self.close_sent = decision.close
        if decision.event is not None:
            self.notify(decision.event)
        return forward

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
            self._vanished()

    @property
    def reading(self) -> bool:
        """Whether the source is being read: silence means something only then."""
        if self.mate is not None and self.mate.source is None and self.mate.flushing:
            return False  # its task writes for the other direction
        return not self.flushing and not self._paused
