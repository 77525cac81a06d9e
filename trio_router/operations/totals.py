"""Sinks of events that update the session table: refusals are counted, and failed probes are passed to its sessions."""

from __future__ import annotations

from trio_router.core.events import Events, Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.table import SessionTable


class SuspectSessions(Events):
    """Passes a replica's failed probe to its sessions, which then ping it."""

    def __init__(self, session_table: SessionTable) -> None:
        self._book = session_table

    def probe_failed(self, replica: Replica, error: str) -> None:
        """Call `OpenSession.probe_failed` of each session; those of other replicas do nothing."""
        for session in self._book:
            session.probe_failed(replica)


class RefusalTotals(Events):
    """Counts refusals by reason in the session table, which `/status` reads."""

    def __init__(self, session_table: SessionTable) -> None:
        self._book = session_table

    def refused(self, refusal: Refusal) -> None:
        """Count one refusal under its reason."""
        self._book.refuse(refusal.reason)
