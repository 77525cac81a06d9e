"""One session's relay: two legs, two pumps, and the rules of how they begin and end together.

The nursery holds exactly two tasks. *Upstream* pumps from the client; until there is a replica it keeps what the client
says. *Downstream* first obtains a replica leg from a `Provider`, then pumps from it; if the replica fails before it
has committed itself, it obtains another one, and the client notices nothing but time.

A pump returns how it ended. The first end decides what each side is told (`core.closing`) and gives the scope a
deadline, so that the closing handshake can finish in the other direction; nothing is cancelled at once.
"""

from __future__ import annotations

import sys
from typing import Final, Protocol

import trio

from .core.closing import farewell
from .core.config import LimitsConfig, TimeoutsConfig
from .core.dialects import Dialect
from .core.flow import Flow, Scratch
from .core.frames import WATCH_ALL, WATCH_CONTROL, FrameScanner
from .core.framing import MAX_HEADER_BYTES, TEXT, frame
from .core.outcome import Cause, End, Phase, Side
from .judge import Judge
from .keeper import Appointment, Check, Keeper
from .leg import Leg
from .pair import Pair
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
#: So much more is read behind a first message that is longer than ``replay_bytes``: enough to hear of the client's end.
MORE_BYTES: Final = 64 * 1024
#: For the last words of a session that crashed, if they cannot be written at once.
CRASH_SECONDS: Final = 1.0


class Relay:
    """Relays one session between ``client`` and the legs that a provider gives it. `run` it once.

    ``phase``, and the legs and counters in ``pair``, may be read at any time.
    """

    __slots__ = (
        "_appointments",
        "_keeper",
        "_placing",
        "_provider",
        "_scope",
        "_scratch",
        "dialect",
        "end",
        "ended_in",
        "judge",
        "limits",
        "pair",
        "phase",
        "timeouts",
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
        self.dialect = dialect
        self.timeouts = timeouts
        self.limits = limits
        self.phase = Phase.FIRST_MESSAGE if dialect.client_speaks_first else Phase.CONNECTING
        self.end: End | None = None  # the first end: the one that counts
        self.ended_in = self.phase
        self._scratch = scratch
        self._keeper = keeper
        self._appointments: list[Appointment] = []
        self._placing: trio.CancelScope | None = None
        self._scope: trio.CancelScope | None = None
        up = Pump(self._flow(Side.CLIENT), client, None, timeouts.slow_seconds)
        up.kept = bytearray()
        up.kept_limit = max(limits.replay_bytes, limits.client_message_bytes)
        down = Pump(self._flow(Side.REPLICA), None, client, timeouts.slow_seconds)
        self.pair = Pair(client, up, down)
        self.judge = Judge(self.pair, dialect, self._commit)

    def __repr__(self) -> str:
        return f"<Relay {self.phase} end={self.end} {self.pair.up} {self.pair.down}>"

    def _flow(self, side: Side) -> Flow:
        """A fresh direction before the commit point: every frame is looked at, and the client's are held whole."""
        from_client = side is Side.CLIENT
        limit = self.limits.client_message_bytes if from_client else self.limits.replica_message_bytes
        hold = limit + MAX_HEADER_BYTES if from_client else self.limits.hold_bytes
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
                if self.end is not None:  # it was stopped before it ran
                    self._scope.deadline = trio.current_time() + self.timeouts.close_seconds
                nursery.start_soon(self._upstream, name="upstream")
                nursery.start_soon(self._downstream, name="downstream")
        finally:
            try:
                if self.end is None:
                    await self._break_off(crashed=isinstance(sys.exception(), Exception))  # noqa: ASYNC102  shields itself
            finally:
                for appointment in self._appointments:
                    appointment.cancel()
                self.pair.answer_closes(but=Side.ROUTER)  # whose close was never answered is answered now
                await self.pair.aclose()  # noqa: ASYNC102  waits for nobody, and bounds itself
                self.judge.dismiss()
        assert self.end is not None
        return self.end

    async def _break_off(self, *, crashed: bool) -> None:
        """Cancelled, or a bug of ours: say what can be written at once. After a crash there is a little time for it."""
        self.stop(End(Side.ROUTER, Cause.CRASHED if crashed else Cause.CANCELLED))
        if crashed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CRASH_SECONDS):
                await self.pair.flush()

    async def _upstream(self) -> None:
        end = await self.pair.up.run()
        while self._can_move(end):  # the replica does not read: another one may
            self.pair.lose(self.pair.down, end)
            end = await self.pair.up.run()
        await self._ended(end, self.pair.client)

    async def _downstream(self) -> None:
        end = await self._serve()
        await self._ended(end, self.pair.replica)

    async def _serve(self) -> End:
        """Obtain a replica, pump from it, and again while it can be moved."""
        while self.end is None:
            found = await self._place()
            if isinstance(found, End):
                return found
            self._attach(found)
            end = await self.pair.down.run()
            if not self._can_move(end):
                return self._named(end)
            await self._detach(end)
        return self.end

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
        self.pair.replica = leg
        self.phase = Phase.OPENING
        self.pair.up.flow.scanner.watch = WATCH_CONTROL  # pings too: they are counted
        self.pair.up.kept_limit = self.limits.replay_bytes
        self.pair.down.flow = self._flow(Side.REPLICA)
        self.pair.down.opening = True
        self.pair.down.source = leg
        self.pair.up.attach(leg)
        if self.dialect.replica_must_reply:
            by = trio.current_time() + self.timeouts.first_reply_seconds
            self._meet(lambda _: self._check_reply(leg), by)

    async def _detach(self, end: End) -> None:
        """The attempt failed: listen to the client as before it."""
        assert self.pair.replica is not None
        self.pair.up.detach()
        self.pair.up.flow.scanner.watch = WATCH_ALL
        self.limit_kept()
        self.pair.down.source = None
        self.phase = Phase.CONNECTING
        leg, self.pair.replica = self.pair.replica, None
        self._provider.attempt_failed(end)
        await leg.aclose()

    def _can_move(self, end: End) -> bool:
        return self.pair.movable and end.side is Side.REPLICA and end.cause in MOVABLE

    def _commit(self) -> None:
        """The commit point: from here on the session stays where it is, and frames are no longer looked at."""
        self.phase = Phase.STREAMING
        self.pair.down.opening = False
        self.pair.down.flow.scanner.watch = self.dialect.watch
        self.pair.up.kept = None
        self.pair.up.flow.scanner.hold_bytes = self.limits.hold_bytes
        for appointment in self._appointments[1:]:
            appointment.cancel()  # replies that were waited for
        del self._appointments[1:]
        self._provider.committed()

    # Ending

    def _named(self, end: End) -> End:
        """The end of a stream that was announced is no failure."""
        if self.judge.completed and end.side is Side.REPLICA and end.cause is Cause.VANISHED:
            return End(end.side, Cause.COMPLETED, end.close, end.detail)
        return end

    async def _ended(self, end: End, source: Leg | None) -> None:
        """The direction from ``source`` has ended, or there is none: say what is to be said, and let it be written."""
        self.stop(end)
        await self.pair.flush()
        if end.cause in OFFENCES and source is not None and source.side is end.side:
            verdict_on_its_way = self.pair.down.parted if source is self.pair.client else self.pair.up.parted
            if verdict_on_its_way:  # it is not while a frame is being cut through to the offender
                await source.hear_out()

    def stop(self, end: End) -> None:
        """End the session, unless it is ending already. Returns at once; `run` returns when both sides have been told."""
        if self.end is not None:
            self.pair.answer_closes(but=end.side)
            return
        self.end = end
        self.ended_in = self.phase
        self.pair.up.kept = None
        self.pair.up.wake()
        if self._scope is not None:
            self._scope.deadline = trio.current_time() + self.timeouts.close_seconds
        self.pair.say_farewell(farewell(end, other_told=self.pair.replica is not None), self.dialect, end.retry_after)
        if self._placing is not None:
            self._placing.cancel()

    def limit_kept(self) -> None:
        """Keep no more than what has been said, or ``replay_bytes``; then read no more until there is a replica."""
        up = self.pair.up
        up.kept_limit = max(self.limits.replay_bytes, len(up.kept or b"") + MORE_BYTES)
        # A longer frame would be too much to be said again anyway: it need not be held until it is whole.
        up.flow.scanner.hold_bytes = max(self.limits.hold_bytes, self.limits.replay_bytes) + MAX_HEADER_BYTES

    def tell_place(self, position: int, depth: int, estimate: float | None) -> None:
        """Tell the waiting client its place, in its dialect's words."""
        words = self.dialect.queue_status(position, depth, estimate)
        if words is not None:
            self.pair.down.say(frame(TEXT, words))

    async def hear(self, patience: float) -> None:
        """Until the client's first message is there, or for so many seconds."""
        heard = self.judge.first_message
        assert heard is not None
        self._meet(lambda _: heard.set(), trio.current_time() + patience)
        await heard.wait()
        self.judge.first_message = None

    # Appointments

    def _meet(self, check: Check, at: float) -> None:
        self._appointments.append(self._keeper.add(check, at=at))

    def _check(self, now: float) -> float | None:
        """Returns when to ask again; None when there is nothing left to look after."""
        return self.pair.check(now, self.timeouts) if self.end is None else None

    def _check_reply(self, leg: Leg) -> None:
        """A replica that has said nothing that commits it loses the session."""
        if leg is self.pair.replica and not self.judge.committed and self.end is None:
            said = f"no reply within {self.timeouts.first_reply_seconds:g} s"
            self.pair.lose(self.pair.down, End(Side.REPLICA, Cause.SILENT, detail=said))
