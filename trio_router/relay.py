"""One session's relay: two legs, two pumps, and the rules of how they begin and end together.

The nursery holds exactly two tasks. *Upstream* pumps from the client; until there is a replica it keeps what the client
says. *Downstream* first obtains a replica leg from a `Provider`, then pumps from it; if the replica fails before it
has committed itself, it obtains another one, and the client notices nothing but time.

A pump returns how it ended. The first end decides what each side is told (`core.closing`) and gives the scope a
deadline, so that the closing handshake can finish in the other direction; nothing is cancelled at once.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Final, Protocol

import trio

from .core.closing import Apology, Farewell, farewell
from .core.config import LimitsConfig, TimeoutsConfig
from .core.dialects import Dialect, Verdict
from .core.flow import Flow, Scratch
from .core.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    WATCH_ALL,
    WATCH_NOTHING,
    Frame,
    FrameScanner,
    close_payload,
    frame,
    parse_close,
)
from .core.liveness import Verdict as Pulse
from .core.outcome import Cause, CloseInfo, End, Phase, Side, Traffic
from .keeper import Appointment, Check, Keeper
from .leg import Leg
from .pump import Pump


class Provider(Protocol):
    """Where a relay gets replicas from. It owns the slots; `close` of a leg is the relay's business."""

    async def next_leg(self, relay: Relay) -> Leg | End:
        """Another replica leg, handshake done; or why there is none."""
        ...

    def attempt_failed(self, end: End) -> None:
        """The last leg was lost before it committed itself."""
        ...

    def committed(self) -> None:
        """The last leg is past the commit point."""
        ...


#: Ends of an attempt after which another replica may be tried unseen. A close frame that got this far is an answer.
MOVABLE: Final = frozenset(
    {Cause.VANISHED, Cause.REJECTED, Cause.SILENT, Cause.DEAD, Cause.SLOW, Cause.PROTOCOL_ERROR, Cause.TOO_BIG}
)
#: Ends after which the offender may still be sending: read on, or the reset that answers unread bytes could overtake
#: the close frame (RFC 6455 section 7.1.1).
OFFENCES: Final = frozenset({Cause.PROTOCOL_ERROR, Cause.TOO_BIG})
#: For the last words of a session that crashed, if they cannot be written at once.
CRASH_SECONDS: Final = 1.0
#: What a replica's words before the commit point say about it.
_LOST: Final = {Verdict.REFUSED: Cause.REJECTED, Verdict.FAILED: Cause.VANISHED}


class Relay:
    """Relays one session between ``client`` and the legs that a provider gives it. `run` it once.

    ``phase`` and the counters may be read at any time.
    """

    __slots__ = (
        "_appointments",
        "_keeper",
        "_placing",
        "_provider",
        "_scope",
        "_scratch",
        "_secret",
        "client",
        "committed",
        "completed",
        "dialect",
        "down",
        "end",
        "ended_in",
        "first_message",
        "limits",
        "phase",
        "replica",
        "timeouts",
        "up",
    )

    def __init__(
        self,
        client: Leg,
        dialect: Dialect,
        *,
        timeouts: TimeoutsConfig,
        limits: LimitsConfig,
        scratch: Scratch,
        keeper: Keeper,
    ) -> None:
        self.client = client
        self.replica: Leg | None = None
        self.dialect = dialect
        self.timeouts = timeouts
        self.limits = limits
        self.phase = Phase.FIRST_MESSAGE if dialect.client_speaks_first else Phase.CONNECTING
        self.committed = False
        self.completed = False
        self.end: End | None = None  # the first end: the one that counts
        self.ended_in = self.phase
        self.first_message: trio.Event | None = trio.Event() if dialect.client_speaks_first else None
        self._scratch = scratch
        self._secret = os.urandom(8)  # in the router's own pings, so that their pongs are known
        self._keeper = keeper
        self._appointments: list[Appointment] = []
        self._placing: trio.CancelScope | None = None
        self._scope: trio.CancelScope | None = None
        self.up = Pump(self._flow(Side.CLIENT), client, None, self._judge_up, timeouts.slow_seconds)
        self.up.kept = bytearray()
        self.up.kept_limit = max(limits.replay_bytes, limits.client_message_bytes)
        self.down = Pump(self._flow(Side.REPLICA), None, client, self._judge_down, timeouts.slow_seconds)
        self.up.mate = self.down
        self.down.mate = self.up

    def __repr__(self) -> str:
        return f"<Relay {self.phase} end={self.end} up={self.up} down={self.down}>"

    def _flow(self, side: Side) -> Flow:
        """A fresh direction before the commit point: every frame is looked at, and the client's are held whole."""
        from_client = side is Side.CLIENT
        limit = self.limits.client_message_bytes if from_client else self.limits.replica_message_bytes
        hold = limit + 14 if from_client else self.limits.hold_bytes
        scanner = FrameScanner(masked=from_client, hold_bytes=hold, max_message_bytes=limit, watch=WATCH_ALL)
        return Flow(side, scanner, self._scratch)

    # Running

    async def run(self, provider: Provider) -> End:
        """Relay until both directions have ended, or the first end is ``close_seconds`` ago. Closes both legs."""
        self._provider = provider
        self._meet(self._check, trio.current_time() + self.timeouts.ping_interval_seconds)
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._upstream, name="upstream")
                nursery.start_soon(self._downstream, name="downstream")
        finally:
            try:
                if self.end is None:
                    await self._break_off(crashed=isinstance(sys.exception(), Exception))
            finally:
                for appointment in self._appointments:
                    appointment.cancel()
                await self._close_legs()
        assert self.end is not None
        return self.end

    async def _break_off(self, *, crashed: bool) -> None:
        """Cancelled, or a bug of ours: say what can be written at once. After a crash there is a little time for it."""
        self.stop(End(Side.ROUTER, Cause.CRASHED if crashed else Cause.CANCELLED))
        if crashed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CRASH_SECONDS):
                await self.up.flush()
                await self.down.flush()

    async def _upstream(self) -> None:
        end = await self.up.run()
        while self._can_move(end):  # the replica does not read: another one may
            self._lose(self.down, end)
            end = await self.up.run()
        await self._ended(end, self.client)

    async def _downstream(self) -> None:
        end = await self._serve()
        await self._ended(end, self.replica)

    async def _serve(self) -> End:
        """Obtain a replica, pump from it, and again while it can be moved."""
        while True:
            found = await self._place()
            if isinstance(found, End):
                return found
            self._attach(found)
            end = await self.down.run()
            if not self._can_move(end):
                return self._named(end)
            await self._detach(end)

    async def _place(self) -> Leg | End:
        """A replica leg, or why there is none; an end on the client's side stops the search."""
        found: Leg | End | None = None
        with trio.CancelScope() as self._placing:
            found = await self._provider.next_leg(self)
        self._placing = None
        if self.end is None:
            assert found is not None
            return found
        if isinstance(found, Leg):
            await found.aclose()
        return self.end

    def _attach(self, leg: Leg) -> None:
        self.replica = leg
        self.phase = Phase.OPENING
        self.up.flow.scanner.watch = WATCH_NOTHING
        self.up.kept_limit = self.limits.replay_bytes
        self.down.flow = self._flow(Side.REPLICA)
        self.down.opening = True
        self.down.source = leg
        self.up.attach(leg)
        if self.dialect.replica_must_reply:
            by = trio.current_time() + self.timeouts.first_reply_seconds
            self._meet(lambda _: self._check_reply(leg), by)

    async def _detach(self, end: End) -> None:
        """The attempt failed: listen to the client as before it."""
        assert self.replica is not None
        self.up.detach()
        self.up.flow.scanner.watch = WATCH_ALL
        self.up.kept_limit = max(self.limits.replay_bytes, self.limits.client_message_bytes)
        self.down.source = None
        self.phase = Phase.CONNECTING
        leg, self.replica = self.replica, None
        self._provider.attempt_failed(end)
        await leg.aclose()

    def _can_move(self, end: End) -> bool:
        return (
            self.end is None
            and not self.committed
            and end.side is Side.REPLICA
            and end.cause in MOVABLE
            and self.up.kept is not None
        )

    def _commit(self) -> None:
        """The commit point: from here on the session stays where it is, and frames are no longer looked at."""
        self.committed = True
        self.phase = Phase.STREAMING
        self.down.opening = False
        self.down.flow.scanner.watch = self.dialect.watch
        self.up.kept = None
        self.up.flow.scanner.hold_bytes = self.limits.hold_bytes
        for appointment in self._appointments[1:]:
            appointment.cancel()  # replies that were waited for
        del self._appointments[1:]
        self._provider.committed()

    # Judging frames

    def _judge_up(self, found: Frame | None) -> bool:
        assert found is not None
        flow = self.up.flow
        if found.opcode == CLOSE:
            info = CloseInfo(*parse_close(flow.payload()))
            self.client.close_got = info
            flow.end = End(Side.CLIENT, Cause.CLOSED, info)
            if self.replica is not None and not self.up.parted:
                self.replica.close_sent = info
            return self.replica is not None
        if found.opcode == PONG:
            return self.replica is not None and flow.payload() != self._secret
        if self.replica is None and found.opcode == PING:
            self.down.say(frame(PONG, flow.payload()))
            return False
        if found.fin and self.first_message is not None:
            self.first_message.set()
        return True

    def _judge_down(self, found: Frame | None) -> bool:
        if found is None:
            self._commit()
            return True
        flow = self.down.flow
        if found.opcode == CLOSE:
            return self._judge_close(CloseInfo(*parse_close(flow.payload())))
        if found.opcode == PONG and flow.payload() == self._secret:
            return False
        if not self.committed:
            verdict = self.dialect.opening(found, flow.payload())
            if verdict in _LOST:
                flow.end = End(Side.REPLICA, _LOST[verdict], detail=flow.payload()[:200].decode(errors="replace"))
                return False
            if verdict is Verdict.COMMIT:
                self._commit()
        if found.opcode == TEXT and found.fin:
            self.completed = self.completed or self.dialect.completes(flow.payload())
        return True

    def _judge_close(self, info: CloseInfo) -> bool:
        assert self.replica is not None
        self.replica.close_got = info
        if not self.committed and self.end is None and self.up.kept is not None and self.dialect.refuses(info):
            cause = Cause.REJECTED if info.code in (1012, 1013) else Cause.VANISHED
            self.down.flow.end = End(Side.REPLICA, cause, info, detail=f"closed with {info}")
            return False
        self.down.flow.end = End(Side.REPLICA, Cause.CLOSED, info)
        if not self.down.parted:
            self.client.close_sent = info
        return True

    # Ending

    def _named(self, end: End) -> End:
        """The end of a stream that was announced is no failure."""
        if self.completed and end.side is Side.REPLICA and end.cause is Cause.VANISHED:
            return End(end.side, Cause.COMPLETED, end.close, end.detail)
        return end

    async def _ended(self, end: End, source: Leg | None) -> None:
        """The direction from ``source`` has ended, or there is none: say what is to be said, and let it be written."""
        self.stop(end)
        await self.up.flush()
        await self.down.flush()
        if end.cause in OFFENCES and source is not None and source.side is end.side:
            verdict_on_its_way = self.down.parted if source is self.client else self.up.parted
            if verdict_on_its_way:  # it is not while a frame is being cut through to the offender
                await source.hear_out()

    def stop(self, end: End) -> None:
        """End the session, unless it is ending already. Returns at once; `run` returns when both sides have been told."""
        if self.end is not None:
            self._late(end)
            return
        self.end = end
        self.ended_in = self.phase
        self.up.kept = None
        self.up.wake()
        if self._scope is not None:
            self._scope.deadline = trio.current_time() + self.timeouts.close_seconds
        self._bid(farewell(end, other_told=self.replica is not None))
        if self._placing is not None:
            self._placing.cancel()

    def _late(self, end: End) -> None:
        """The second direction ended as well. Who closed and got no answer from the other side gets it from here."""
        for leg, pump in ((self.client, self.down), (self.replica, self.up)):
            if leg is not None and leg.close_got is not None and leg.close_sent is None and end.side is not leg.side:
                self._close(leg, pump, leg.close_got, None)

    def _bid(self, words: Farewell) -> None:
        if words.to_client is not None:
            sorry = None
            if words.apology is not None and not self.down.flow.between_fragments:
                sorry = self._apologise(words.apology)
            self._close(self.client, self.down, words.to_client, sorry)
        if words.to_replica is not None and self.replica is not None:
            self._close(self.replica, self.up, words.to_replica, None)

    def _apologise(self, words: Apology) -> bytes | None:
        after = self.end.retry_after if self.end is not None else None
        extra = {} if after is None else {"retry_after_seconds": after}
        return self.dialect.error(words.code, words.message, retryable=words.retryable, **extra)

    def _close(self, leg: Leg, pump: Pump, info: CloseInfo, sorry: bytes | None) -> None:
        if leg.close_sent is not None or leg.gone:
            return
        mask = os.urandom(4) if leg.side is Side.REPLICA else None
        words = [frame(TEXT, sorry, mask=mask)] if sorry is not None else []
        pump.part([*words, frame(CLOSE, close_payload(info.code, info.reason), mask=mask)])
        leg.close_sent = info

    async def _close_legs(self) -> None:
        await self.client.aclose()
        if self.replica is not None:
            await self.replica.aclose()

    def tell_place(self, position: int, depth: int, estimate: float | None) -> None:
        """Tell the waiting client its place, in its dialect's words."""
        words = self.dialect.queue_status(position, depth, estimate)
        if words is not None:
            self.down.say(frame(TEXT, words))

    # Liveness

    def _meet(self, check: Check, at: float) -> None:
        self._appointments.append(self._keeper.add(check, at=at))

    def _check(self, now: float) -> float | None:
        """Ping who is silent, give up who is dead. Returns when to ask again; None when there is nothing left to do."""
        due = math.inf
        for leg, reader, writer in ((self.client, self.up, self.down), (self.replica, self.down, self.up)):
            if leg is not None and self.end is None:
                due = min(due, self._check_leg(leg, reader, writer, now))
        return due if self.end is None else None

    def _check_reply(self, leg: Leg) -> None:
        """A replica that has said nothing that commits it loses the session."""
        if leg is self.replica and not self.committed and self.end is None:
            said = f"no reply within {self.timeouts.first_reply_seconds:g} s"
            self._lose(self.down, End(Side.REPLICA, Cause.SILENT, detail=said))

    def _check_leg(self, leg: Leg, reader: Pump, writer: Pump, now: float) -> float:
        if not reader.reading:
            leg.pulse.heard_at = now  # nobody listened
        verdict = leg.pulse.check(now, self.timeouts)
        if verdict is Pulse.PING:
            writer.say(frame(PING, self._secret, mask=os.urandom(4) if leg.side is Side.REPLICA else None))
        elif verdict is Pulse.DEAD:
            self._lose(reader, End(leg.side, Cause.DEAD, detail="no frame, and no answer to pings"))
        return leg.pulse.due(self.timeouts)

    def _lose(self, pump: Pump, end: End) -> None:
        """End a direction from outside; its task does the rest."""
        if pump.flow.end is None:
            pump.flow.end = end
            pump.wake()

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(upstream, downstream) so far."""
        up, down = self.up, self.down
        return (
            Traffic(up.bytes, up.flow.scanner.frames, up.flow.scanner.messages),
            Traffic(down.bytes, down.flow.scanner.frames, down.flow.scanner.messages),
        )
