"""What happens in a router, reported as it happens: one synchronous protocol, for logs, totals, metrics and programs.

A method is called at the moment of the event. It must return at once and must not raise. No other module writes log
lines about sessions and replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trio_router.core.session.outcome import FailedAttempt, Outcome
from trio_router.core.session.table import OpenSession

if TYPE_CHECKING:
    from trio_router.core.replicas.replica import Replica


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that never became a session. ``reason`` is a stable identifier, counted in ``/status``.

    ``client`` is its address, ``status`` the HTTP status that it was answered with (None: no answer could be sent).
    """

    reason: str
    client: str
    status: int | None = None
    path: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AdminChange:
    """Something that an operator ordered, and that was done. ``by``: the name of the token, or the signal.

    ``action`` is a stable word, ``target`` what it was done to (a replica's name, a session's id), ``details`` what else
    belongs to it, as JSON can hold it; no secrets.
    """

    by: str
    action: str
    target: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Events:
    """Base of all sinks: does nothing. Override the events of interest."""

    def session_opened(self, session: OpenSession) -> None:
        """A client was accepted."""

    def attempt_failed(self, session: OpenSession, attempt: FailedAttempt) -> None:
        """A replica did not take the session; another one may."""

    def session_committed(self, session: OpenSession) -> None:
        """The replica has committed itself: the session is streaming."""

    def session_ended(self, session: OpenSession, outcome: Outcome) -> None:
        """It is over; called exactly once for each session that was opened."""

    def replica_changed(self, replica: Replica, error: str | None) -> None:
        """Its status changed to ``replica.health.status``; ``error`` says why, if it is for the worse."""

    def probe_failed(self, replica: Replica, error: str) -> None:
        """One probe of the replica was bad; its status may be unchanged."""

    def replica_ejected(self, replica: Replica, error: str, *, seconds: float) -> None:
        """It answers probes but failed sessions, and gets no new ones for ``seconds``."""

    def replica_unread(self, replica: Replica, why: str) -> None:
        """It answers probes, but part of its report cannot be read. Reported once for each reason in a row."""

    def replica_refusing(self, replica: Replica) -> None:
        """It began, or stopped (see ``replica.refusing``), answering every upgrade with a 4xx that others do not give."""

    def replicas_usable(self, usable: bool) -> None:
        """False: no replica is usable any more; True: one is again."""

    def queue_changed(self, length: int) -> None:
        """The number of waiting sessions is now ``length``."""

    def refused(self, refusal: Refusal) -> None:
        """A connection did not become a session."""

    def admin_changed(self, change: AdminChange) -> None:
        """An operator changed something at run time."""


class EventFanout(Events):
    """Passes each event to the sinks that override it, in their order.

    A sink that raises is reported to ``on_error``, and the others are still called. Sinks are looked at once, when the
    fan-out is made: an event that no sink overrides costs a look-up.
    """

    def __init__(self, sinks: Sequence[Events] = (), *, on_error: Callable[[Events, Exception], None]) -> None:
        self.sinks = tuple(sinks)
        self._on_error = on_error
        self._listeners = {
            name: tuple((sink, getattr(sink, name)) for sink in self.sinks if _overrides(sink, name))
            for name in vars(Events)
            if not name.startswith("_")
        }

    def session_opened(self, session: OpenSession) -> None:
        """See `Events`, as all below."""
        self._tell("session_opened", session)

    def attempt_failed(self, session: OpenSession, attempt: FailedAttempt) -> None:
        self._tell("attempt_failed", session, attempt)

    def session_committed(self, session: OpenSession) -> None:
        self._tell("session_committed", session)

    def session_ended(self, session: OpenSession, outcome: Outcome) -> None:
        self._tell("session_ended", session, outcome)

    def replica_changed(self, replica: Replica, error: str | None) -> None:
        self._tell("replica_changed", replica, error)

    def probe_failed(self, replica: Replica, error: str) -> None:
        self._tell("probe_failed", replica, error)

    def replica_ejected(self, replica: Replica, error: str, *, seconds: float) -> None:
        self._tell("replica_ejected", replica, error, seconds=seconds)

    def replica_unread(self, replica: Replica, why: str) -> None:
        self._tell("replica_unread", replica, why)

    def replica_refusing(self, replica: Replica) -> None:
        self._tell("replica_refusing", replica)

    def replicas_usable(self, usable: bool) -> None:
        self._tell("replicas_usable", usable)

    def queue_changed(self, length: int) -> None:
        self._tell("queue_changed", length)

    def refused(self, refusal: Refusal) -> None:
        self._tell("refused", refusal)

    def admin_changed(self, change: AdminChange) -> None:
        self._tell("admin_changed", change)

    def _tell(self, name: str, *values: object, **named: object) -> None:
        for sink, listener in self._listeners[name]:
            try:
                listener(*values, **named)
            except Exception as exc:
                self._on_error(sink, exc)


def _overrides(sink: Events, name: str) -> bool:
    return getattr(getattr(sink, name), "__func__", None) is not getattr(Events, name)
