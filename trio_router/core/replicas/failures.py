"""Whose fault failed sessions may be: failures in a row, and which clients saw them.

What a client sends can make a replica fail. So a failure that the client may have caused counts against the replica
only when a second client has seen one too (Envoy's outlier detection has no such rule; there one client is enough).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: So many different addresses are kept for each replica; two are enough for every decision.
WITNESSES: Final = 4


@dataclass(slots=True)
class FailureStreak:
    """Failures since the last success. ``certain`` ones cannot have been the client's doing."""

    certain: int = 0
    by_clients: int = 0
    clients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.certain or self.by_clients)

    @property
    def count(self) -> int:
        """How many of them count against the replica: those of one client alone do not."""
        return self.certain + (self.by_clients if len(self.clients) > 1 else 0)

    def add(self, client: str | None) -> int:
        """One more; ``client`` is the address of the one who may have caused it. Returns by how much `count` grew."""
        before = self.count
        if client is None:
            self.certain += 1
        else:
            self.by_clients += 1
            self.clients = last_few(self.clients, client, WITNESSES)
        return self.count - before

    def clear(self) -> None:
        """A success."""
        self.certain = self.by_clients = 0
        self.clients = ()


def last_few(clients: tuple[str, ...], client: str, most: int) -> tuple[str, ...]:
    """Different clients, the latest last, ``most`` of them."""
    return (*(other for other in clients if other != client), client)[-most:]
