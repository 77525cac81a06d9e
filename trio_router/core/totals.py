"""What is counted as it happens: refusals, into the book of sessions."""

from __future__ import annotations

from .book import SessionBook
from .events import Events, Refusal
from .replica import Replica


class SuspectSessions(Events):
    """Has the sessions of a replica whose probe failed ask it for a sign of life."""

    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def probe_failed(self, replica: Replica, error: str) -> None:
        """Ask each session; those of other replicas do nothing."""
        for session in self._book:
            session.probe_failed(replica)


class RefusalTotals(Events):
    """Counts refusals by their reason in ``book``, from where `/status` takes them."""

    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def refused(self, refusal: Refusal) -> None:
        """Count it."""
        self._book.refuse(refusal.reason)
