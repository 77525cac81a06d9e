"""What is counted as it happens: refusals, into the book of sessions."""

from __future__ import annotations

from .book import SessionBook
from .events import Events, Refusal


class RefusalTotals(Events):
    """Counts refusals by their reason in ``book``, from where `/status` takes them."""

    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def refused(self, refusal: Refusal) -> None:
        """Count it."""
        self._book.refuse(refusal.reason)
