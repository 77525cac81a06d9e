"""The log as a sink of events: one line per change of a session or replica, none for single probes, dials or frames."""

from __future__ import annotations

from collections.abc import Sequence

from trio_router.core.events import AdminChange, EventFanout, Events, Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Outcome
from trio_router.core.session.table import OpenSession
from trio_router.operations.logging import get_logger

log = get_logger("trio_router.events")


class EventLog(Events):
    """Writes events to the log. Methods that are not overridden write nothing."""

    def session_opened(self, session: OpenSession) -> None:
        """One info line. The replica is known only if it was dialled before the client was answered."""
        if log.writes_info:
            who = {"client": session.client, "client_port": session.port}
            log.info("session opened", session=session.id, replica=session.replica, **who)

    def session_ended(self, session: OpenSession, outcome: Outcome) -> None:
        """One info line with the fields of its outcome."""
        if log.writes_info:
            who = {"client": session.client, "client_port": session.port}
            log.info("session ended", session=session.id, key=session.key, **who, **outcome.fields())

    def replica_changed(self, replica: Replica, error: str | None) -> None:
        """Info for a change to the better, else a warning."""
        level = log.info if error is None else log.warning
        level(f"replica is {replica.health.status}", url=replica.url, error=error, **_slots(replica))

    def replica_ejected(self, replica: Replica, error: str, *, seconds: float) -> None:
        """One warning line."""
        log.warning("replica is ejected", url=replica.url, seconds=round(seconds, 1), error=error, **_slots(replica))

    def replica_unread(self, replica: Replica, why: str) -> None:
        """One warning line."""
        log.warning("a report of a replica cannot be read", replica=replica.label, url=replica.url, why=why)

    def replica_refusing(self, replica: Replica) -> None:
        """A warning when it begins, an info line when it ends."""
        if replica.refusing:
            log.warning(
                "replica refuses every client", url=replica.url, error=replica.health.last_error, **_slots(replica)
            )
        else:
            log.info("replica accepts clients again", url=replica.url, **_slots(replica))

    def replicas_usable(self, usable: bool) -> None:
        """A warning when clients begin to be refused for want of a replica, an info line when that ends."""
        if usable:
            log.info("a replica is usable again")
        else:
            log.warning("no replica is usable")

    def refused(self, refusal: Refusal) -> None:
        """One info line for each."""
        said = {"status": refusal.status, "path": refusal.path, "detail": refusal.detail or None}
        known = {key: value for key, value in said.items() if value is not None}
        log.info("refused", reason=refusal.reason, client=refusal.client, **known)

    def admin_changed(self, change: AdminChange) -> None:
        """One info line for each, with the name of the token that ordered it."""
        log.info("changed by an operator", by=change.by, action=change.action, target=change.target, **change.details)


def fan_out(sinks: Sequence[Events]) -> EventFanout:
    """The log and all ``sinks``, in this order. A sink that raises is logged with its traceback; the others are called."""
    return EventFanout((EventLog(), *sinks), on_error=_failed)


def _failed(sink: Events, exc: Exception) -> None:
    log.error("an event sink failed", sink=type(sink).__qualname__, exc_info=exc)


def _slots(replica: Replica) -> dict[str, object]:
    reported = replica.report.busy if replica.report is not None else None
    return {"replica": replica.label, "capacity": replica.full_capacity, "held": replica.held, "reported": reported}
