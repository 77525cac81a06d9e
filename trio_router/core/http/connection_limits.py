"""How many connections may be open that are no session (yet): of one port, and of one client address there."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: For one address, once only the reserve of descriptors is left: whoever asks how the router is needs one or two.
SCARCE_PER_ADDRESS: Final = 8

TOO_MANY: Final = "too_many_connections"
TOO_MANY_OF_ADDRESS: Final = "too_many_connections_of_address"


class Doorkeeper:
    """Counts connections from when they are accepted until they are closed or become a session."""

    __slots__ = ("_by_address", "_limit", "_per_address", "open")

    def __init__(self, limit: int, per_address: int) -> None:
        self.open = 0
        self._limit = limit
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Doorkeeper open={self.open} of {self._limit}, addresses={len(self._by_address)}>"

    def enter(self, address: str, *, scarce: bool = False) -> str | None:
        """Count one connection more; `leave` must follow. Or the reason why it may not come in, and nothing is counted.

        ``scarce``: descriptors are running out, so one address gets a few at most.
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
        """One connection is closed, or a session now."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
