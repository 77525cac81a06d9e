"""The liveness of one session: who is pinged, who is dead, whose first reply is late, and whose failed probe is a suspicion.

All of it by timers, none of it by tasks. A watchdog ends a direction by `Pump.fail`; the direction's task does the rest.
"""

from __future__ import annotations

import trio

from trio_router.core.dialects import Dialect
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.core.session.state import SessionState
from trio_router.net.timers import TimerHandle
from trio_router.relay.attempt import Attempt, Connector
from trio_router.relay.pair import Pair
from trio_router.relay.rules import RelayParts


class Watchdog:
    """Watches both connections of ``pair`` from `start` to `stop`."""

    __slots__ = ("_dialect", "_keepalive", "_pair", "_parts", "_reply", "_state", "_suspicion")

    def __init__(self, state: SessionState, pair: Pair, dialect: Dialect, parts: RelayParts) -> None:
        self._state = state
        self._pair = pair
        self._dialect = dialect
        self._parts = parts
        self._keepalive: TimerHandle | None = None
        self._reply: TimerHandle | None = None  # the attempt's first reply is waited for
        self._suspicion: TimerHandle | None = None  # a sign of life of the attempt's replica is waited for

    def start(self) -> None:
        """Ping who is silent from now on."""
        due = trio.current_time() + self._parts.timeouts.ping_interval_seconds
        self._keepalive = self._parts.timers.call_at(self._check, at=due)

    def stop(self) -> None:
        """Nothing is looked at any more."""
        self.forget_attempt()
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    def expect_reply(self, attempt: Attempt) -> None:
        """A replica that says nothing loses the session; each message that does not commit it gives it time anew."""
        attempt.note_reply(trio.current_time())
        due = attempt.spoke_at + self._reply_seconds
        self._reply = self._parts.timers.call_at(lambda now: self._check_reply(attempt, now), at=due)

    def suspect(self, attempt: Attempt, connector: Connector) -> None:
        """A probe of the attempt's replica failed: ping it, and look soon whether it has answered with anything."""
        if self._suspicion is not None:
            return
        since = trio.current_time()
        self._pair.ping_replica()
        due = since + self._parts.timeouts.suspect_seconds
        self._suspicion = self._parts.timers.call_at(lambda _: self._check_suspect(attempt, connector, since), at=due)

    def forget_attempt(self) -> None:
        """The attempt failed, or is committed: its reply and its suspicion are not waited for any more."""
        for timer in (self._reply, self._suspicion):
            if timer is not None:
                timer.cancel()
        self._reply = self._suspicion = None

    @property
    def _reply_seconds(self) -> float:
        return self._dialect.first_reply_seconds or self._parts.timeouts.first_reply_seconds

    def _check(self, now: float) -> float | None:
        """Returns when to ask again; None when there is nothing left to look after."""
        if self._state.end is not None:
            return None
        client = replica = self._parts.timeouts
        if self._dialect.dead_peer_seconds is not None:
            replica = client.model_copy(update={"dead_peer_seconds": self._dialect.dead_peer_seconds})
        return self._pair.check(now, client, replica)

    def _check_reply(self, attempt: Attempt, now: float) -> float | None:
        if self._state.end is not None:
            return None
        due = attempt.spoke_at + self._reply_seconds
        if now < due:
            return due
        detail = f"no reply within {self._reply_seconds:g} s"
        self._pair.to_client.fail(End(Side.REPLICA, Cause.SILENT, detail=detail))
        return None

    def _check_suspect(self, attempt: Attempt, connector: Connector, since: float) -> None:
        """A replica whose probes fail and that has given no frame since it was pinged is dead."""
        self._suspicion = None
        if self._state.end is not None or not self._pair.to_client.reading:
            return
        if attempt.connection.keepalive.last_received_at <= since and connector.is_unhealthy(attempt):
            self._pair.to_client.fail(
                End(Side.REPLICA, Cause.DEAD, detail="probes fail, and no frame came after a ping")
            )
