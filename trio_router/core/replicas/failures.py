"""Whose fault failed sessions may be: failures in a row, and which clients caused them.

What a client sends can make a replica fail. So a failure that the client may have caused counts against the replica
only when it happened to a second client too (in Envoy's outlier detection one client is enough).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Number of different addresses that are kept for each replica; two are enough for every decision.
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
        """The number of failures that count against the replica: those of one client alone do not."""
        return self.certain + (self.by_clients if len(self.clients) > 1 else 0)

    def add(self, client: str | None) -> int:
        """Add a failure; ``client`` is the address of the client that may have caused it. Returns the growth of `count`."""
        before = self.count
        if client is None:
            self.certain += 1
        else:
            self.by_clients += 1
            self.clients = last_few(self.clients, client, WITNESSES)
        return self.count - before

    def clear(self) -> None:
        """A success: reset the streak."""
        self.certain = self.by_clients = 0
        self.clients = ()


def last_few(clients: tuple[str, ...], client: str, most: int) -> tuple[str, ...]:
    """The last ``most`` different clients, the latest last."""
    return (*(other for other in clients if other != client), client)[-most:]
