"""Limits for open connections that are not a session (yet): on one port, and from one client address."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: Limit per address once only the reserve of descriptors is left: a health check needs one or two.
SCARCE_PER_ADDRESS: Final = 8

TOO_MANY: Final = "too_many_connections"
TOO_MANY_OF_ADDRESS: Final = "too_many_connections_of_address"


class ConnectionLimits:
    """Counts connections from their acceptance until they are closed or become a session."""

    __slots__ = ("_by_address", "_limit", "_per_address", "open")

    def __init__(self, limit: int, per_address: int) -> None:
        self.open = 0
        self._limit = limit
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<ConnectionLimits open={self.open} of {self._limit}, addresses={len(self._by_address)}>"

    def enter(self, address: str, *, scarce: bool = False) -> str | None:
        """Count one more connection; `leave` must follow. If a limit is reached, return the reason and count nothing.

        ``scarce``: descriptors are running out, so the limit per address is `SCARCE_PER_ADDRESS` at most.
        """
        per_address = min(self._per_address, SCARCE_PER_ADDRESS) if scarce else self._per_address
        mine = self._by_address.get(address, 0)
        if mine >= per_address:
            return TOO_MANY_OF_ADDRESS
        if self.open >= self._limit:
            return TOO_MANY
        self._by_address[address] = mine + 1
        self.open += 1
        return None

    def leave(self, address: str) -> None:
        """A counted connection was closed, or became a session."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
