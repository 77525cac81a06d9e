"""What is counted as it happens: refusals, into the session table of sessions."""

from __future__ import annotations

from trio_router.core.events import Events, Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.table import SessionTable


class SuspectSessions(Events):
    """Has the sessions of a replica whose probe failed ask it for a sign of life."""

    def __init__(self, session_table: SessionTable) -> None:
        self._book = session_table

    def probe_failed(self, replica: Replica, error: str) -> None:
        """Ask each session; those of other replicas do nothing."""
        for session in self._book:
            session.probe_failed(replica)


class RefusalTotals(Events):
    """Counts refusals by their reason in ``book``, from where `/status` takes them."""

    def __init__(self, session_table: SessionTable) -> None:
        self._book = session_table

    def refused(self, refusal: Refusal) -> None:
        """Count it."""
        self._book.refuse(refusal.reason)
