"""One session's relay: two connections, two pumps, and the rules of how they begin and end together.

The nursery holds exactly two tasks. *To the replica* pumps from the client; until there is a replica it keeps what the
client says. *To the client* first obtains an attempt from a `Connector`, then pumps from its replica; if the replica fails
before it has committed itself, it obtains another one, and the client notices nothing but time.

A pump returns how it ended. The first end decides what each side is told (`core.closing`) and gives the scope a
deadline, so that the closing handshake can finish in the other direction; nothing is cancelled at once.
"""

from __future__ import annotations

import sys
from typing import Final

import trio

from trio_router.core.dialects import Conversation, Dialect
from trio_router.core.relay.filter import FilterEvent, FrameFilter
from trio_router.core.relay.timing import Timing
from trio_router.core.session.closing import close_plan
from trio_router.core.session.outcome import Cause, End, Phase, Side
from trio_router.core.session.state import SessionEvent, SessionState
from trio_router.core.websocket.frames import TEXT
from trio_router.net.connection import Connection
from trio_router.relay.attempt import Attempt, Connector
from trio_router.relay.first_message import FirstMessageWait, read_in_pieces
from trio_router.relay.pair import Pair, message_frame
from trio_router.relay.pump import Pump
from trio_router.relay.rules import RelayParts, frame_buffer, make_pumps
from trio_router.relay.watchdog import Watchdog

#: Ends of an attempt after which another replica may be tried unseen. A close frame that got this far is an answer.
MOVABLE: Final = frozenset(
    {Cause.VANISHED, Cause.REJECTED, Cause.SILENT, Cause.DEAD, Cause.SLOW, Cause.PROTOCOL_ERROR, Cause.TOO_BIG}
)
#: Ends after which the offender may still be sending: read on, or the reset that answers unread bytes could overtake
#: the close frame (RFC 6455 section 7.1.1).
OFFENCES: Final = frozenset({Cause.PROTOCOL_ERROR, Cause.INVALID_TEXT, Cause.TOO_BIG})
#: For the last frames of a session that crashed, if they cannot be written at once.
CRASH_SECONDS: Final = 1.0


class Relay:
    """Relays one session between ``client`` and the attempts that a connector gives it. `run` it once.

    ``state``, ``timing``, and the connections and counters in ``pair``, may be read at any time.
    """

    __slots__ = (
        "_attempt",
        "_connecting",
        "_connector",
        "_dialect",
        "_filter",
        "_first_message",
        "_moved",
        "_parts",
        "_rules",
        "_scope",
        "_watchdog",
        "conversation",
        "pair",
        "state",
        "timing",
    )

    def __init__(self, client: Connection, dialect: Dialect, conversation: Conversation, parts: RelayParts) -> None:
        self.conversation = conversation
        self.state = SessionState()
        self.timing = Timing(trio.current_time())
        self._dialect = dialect
        self._parts = parts
        self._rules = parts.rules_for(dialect)
        self._moved = False  # an attempt has failed
        self._filter = FrameFilter(self.state, conversation)
        to_replica, to_client = make_pumps(parts, self._filter, self._on_event)
        self.pair = Pair(client, to_replica, to_client, self._filter)
        self._apply_conduct()
        self._watchdog = Watchdog(self.state, self.pair, dialect, parts)
        self._connector: Connector | None = None
        self._attempt: Attempt | None = None
        self._connecting: trio.CancelScope | None = None
        self._first_message = FirstMessageWait() if dialect.client_speaks_first else None
        self._scope: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Relay {self.state} {self.pair.to_replica} {self.pair.to_client}>"

    @property
    def phase(self) -> Phase:
        """How far the session is."""
        return self.state.phase

    # Phases: the only place that enters one

    def _enter(self, event: SessionEvent) -> None:
        before = self.state.conduct
        self.state.enter(event)
        if self.state.conduct is not before:
            self._apply_conduct()

    def _apply_conduct(self) -> None:
        self._rules.apply(self.state.conduct, self.pair, self._filter)

    # Running

    async def run(self, connector: Connector) -> End:
        """Relay until both directions have ended, or the first end is ``close_seconds`` ago. Closes both connections."""
        self._connector = connector
        self._watchdog.start()
        if self._first_message is not None:
            self._enter(SessionEvent.ACCEPT)
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                if self.state.end is not None:  # it was stopped before it ran
                    self._close_within(nursery.cancel_scope)
                nursery.start_soon(self._pump_to_replica, name="to replica")
                nursery.start_soon(self._pump_to_client, name="to client")
        finally:
            try:
                if self.state.end is None:
                    await self._break_off(crashed=isinstance(sys.exception(), Exception))  # noqa: ASYNC102  shields itself
            finally:
                self._watchdog.stop()
                self.pair.answer_closes(but=Side.ROUTER)  # whose close was never answered is answered now
                await self.pair.aclose()  # noqa: ASYNC102  waits for nobody, and bounds itself
                self.pair.release()
        assert self.state.end is not None
        return self.state.end

    def _close_within(self, scope: trio.CancelScope, *, at_once: bool = False) -> None:
        """Give the closing handshakes their time; or none, where no close frame is sent."""
        scope.deadline = trio.current_time() + (0.0 if at_once else self._parts.timeouts.close_seconds)

    async def _break_off(self, *, crashed: bool) -> None:
        """Cancelled, or a bug of ours: say what can be written at once. After a crash there is a little time for it."""
        self.stop(End(Side.ROUTER, Cause.CRASHED if crashed else Cause.CANCELLED))
        if crashed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CRASH_SECONDS):
                await self.pair.flush(first=self.pair.to_client)

    async def _pump_to_replica(self) -> None:
        pump = self.pair.to_replica
        end = await pump.run()
        while self._can_move(end):  # the replica does not read: another one may
            self.pair.to_client.fail(end)
            end = await pump.run()
        await self._ended(end, self.pair.client, first=pump)

    async def _pump_to_client(self) -> None:
        end = await self._serve()
        await self._ended(end, self.pair.replica, first=self.pair.to_client)

    async def _serve(self) -> End:
        """Obtain a replica, pump from it, and again while the session can be moved."""
        if self._first_message is not None and (problem := await self._read_first_message(self._first_message)):
            return self.state.end or problem
        while self.state.end is None:
            found = await self._connect()
            if isinstance(found, End):
                return found
            self._attach(found)
            end = await self.pair.to_client.run()
            if not self._can_move(end):
                return self._named(end)
            await self._detach(found, end)
        return self.state.end

    async def _read_first_message(self, awaited: FirstMessageWait) -> End | None:
        """Wait for it, and hear from the connector whether it can be served. An End: why not."""
        assert self._connector is not None
        try:
            problem = await awaited.wait(
                self._parts.timers, self._parts.timeouts.first_message_seconds, self._connector
            )
        finally:
            self._first_message = None
        replay = self.pair.to_replica.replay
        message = await read_in_pieces(replay) if replay is not None else None
        if message is None:
            return problem
        parsed = self.conversation.parse_first_message(message[1], text=message[0] == TEXT)
        if parsed.problem is not None:
            return End(Side.CLIENT, Cause.INVALID, detail=parsed.problem)
        return self._connector.accept(parsed)

    async def _connect(self) -> Attempt | End:
        """An attempt, or why there is none; an end on the client's side stops the search."""
        assert self._connector is not None
        found: Attempt | End | None = None
        with trio.CancelScope() as self._connecting:
            found = await self._connector.connect(self)
        self._connecting = None
        if self.state.end is None:
            assert found is not None
            return found
        if isinstance(found, Attempt):
            await found.connection.aclose()
        return self.state.end

    def _attach(self, attempt: Attempt) -> None:
        pair = self.pair
        self._attempt = attempt
        self.timing.connected(trio.current_time())
        pair.set_replica(attempt.connection)
        # A pump begins with a frame buffer of its own: only a second replica needs another one.
        another = frame_buffer(self._parts, Side.REPLICA) if self._moved else None
        pair.to_client.read_from(attempt.connection, another)
        self._enter(SessionEvent.CONNECT)
        pair.to_replica.write_to(attempt.connection)
        if self._dialect.replica_must_reply:
            self._watchdog.expect_reply(attempt)

    async def _detach(self, attempt: Attempt, end: End) -> None:
        """The attempt failed: listen to the client as before it."""
        assert self._connector is not None
        pair = self.pair
        pair.to_replica.write_to(None)
        pair.to_client.read_from(None)
        self._moved = True
        pair.set_replica(None)
        self._attempt = None
        self._watchdog.forget_attempt()
        try:
            self._enter(SessionEvent.SEEK)
            self._connector.attempt_failed(attempt, end)
        finally:
            await attempt.connection.aclose()  # noqa: ASYNC102  waits for nobody, and bounds itself

    def _can_move(self, end: End) -> bool:
        return self.pair.movable and end.side is Side.REPLICA and end.cause in MOVABLE

    def _on_event(self, event: FilterEvent) -> None:
        """What a frame means for the session."""
        now = trio.current_time()
        if event is FilterEvent.COMMIT:
            self._commit(now)
        elif event is FilterEvent.FIRST_MESSAGE:
            if self._first_message is not None and self.state.phase is Phase.FIRST_MESSAGE:
                self.state.hear()
                self._apply_conduct()
                self._first_message.came()
        elif event is FilterEvent.FIRST_MEDIA:
            self.timing.media(now)
            self._apply_conduct()
        elif self._attempt is not None:
            self._attempt.note_reply(now)

    def _commit(self, now: float) -> None:
        """The commit point: from here on the session stays where it is, and frames are no longer looked at."""
        assert self._connector is not None
        assert self._attempt is not None
        self.timing.committed(now, media=not self._filter.awaits_media)
        self._enter(SessionEvent.COMMIT)
        self.pair.to_client.release_held()
        self._watchdog.forget_attempt()
        self._attempt.forget_answer()
        self._connector.committed(self._attempt)

    # Told by the connector

    def seeking(self) -> None:
        """See `Progress`."""
        if self.state.phase is not Phase.WAITING:
            self._enter(SessionEvent.SEEK)

    def dialling(self) -> None:
        """See `Progress`."""
        self.timing.picked(trio.current_time())
        self._enter(SessionEvent.DIAL)

    def position(self, position: int, depth: int, estimate: float | None) -> None:
        """See `Progress`: the waiting client is told, in its dialect."""
        message = message_frame(lambda: self.conversation.queue_status(position, depth, estimate))
        if message is not None:
            self.pair.to_client.inject(message)

    # Ending

    def _named(self, end: End) -> End:
        """The end as it counts: that of a stream which was announced is no failure."""
        if end.side is not Side.REPLICA:
            return end
        if end.cause is Cause.VANISHED and end.close is None and self.conversation.may_end:
            return End(end.side, Cause.COMPLETED, detail=end.detail)
        if end.close is not None and end.cause is not Cause.CLOSED:  # it cannot be moved, so it is the answer
            return End(end.side, Cause.CLOSED, end.close)
        return end

    async def _ended(self, end: End, source: Connection | None, *, first: Pump) -> None:
        """The direction from ``source`` has ended, or there is none: say what is to be said, and let it be written.

        What this task alone writes comes ``first``: the other side may be stuck.
        """
        self.stop(end)
        await self.pair.flush(first=first)
        if end.cause in OFFENCES and source is not None and source.side is end.side:
            back = self.pair.to_client if source is self.pair.client else self.pair.to_replica
            if back.closed:  # it is not while a frame is being cut through to the offender
                await source.linger_until_eof()

    def stop(self, end: End) -> None:
        """End the session, unless it is ending already. Returns at once; `run` returns when both sides have been told."""
        if not self.state.finish(end):
            self.pair.answer_closes(but=end.side)
            return
        self.pair.to_replica.drop_replay()
        self.pair.to_replica.wake()
        plan = close_plan(end, other_told=self.pair.was_closed(against=end.side))
        if self._scope is not None:
            self._close_within(self._scope, at_once=plan.drop_client)
        self.pair.close(plan, self.conversation, end.retry_after)
        if self._first_message is not None:
            self._first_message.came()
        if self._connecting is not None:
            self._connecting.cancel()

    def suspect_replica(self) -> None:
        """Its probe failed: ping it, and look soon whether it has answered with anything."""
        if self._attempt is not None and self._connector is not None and self.state.end is None:
            self._watchdog.suspect(self._attempt, self._connector)
