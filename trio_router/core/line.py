"""The waiting line: sessions that were accepted while no slot was free, first come first served.

It is fair in that nobody is given a slot that somebody before him could have used; who waits for a preset that is
busy does not hold up those behind him who want another. It keeps order and counts; who waits how is `admission`'s.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from trio_router.core.registry import ReplicaRegistry, Slot
from trio_router.core.replica import Replica

#: How many past sessions an estimate is made from.
REMEMBERED_LENGTHS: Final = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session needs from a replica, and what it is known by.

    ``client`` is what ``per_client`` counts; ``key`` is the affinity key; ``prefer`` the URL of a replica that it names.
    """

    client: str = ""
    key: str | None = None
    preset: str | None = None
    balance: str | None = None
    prefer: str | None = None


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the line. ``number`` is its rank for good: who comes back after a rejection is where he was."""

    number: int
    wish: Wish
    joined_at: float
    exclude: Collection[Replica] = ()
    slot: Slot | None = None
    waited: float = 0.0  # seconds in the line, before the last time that it got a slot
    told: tuple[int, int] | None = None  # the last (position, depth) that the client was told
    told_at: float = -math.inf

    def take(self) -> Slot | None:
        """The slot that it was given, if it was; whoever takes it must release it."""
        slot, self.slot = self.slot, None
        return slot


@dataclass(slots=True)
class WaitingLine:
    """Tickets in the order of their numbers."""

    tickets: list[Ticket] = field(default_factory=list)
    _lengths: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LENGTHS))
    _last_number: int = 0

    def __len__(self) -> int:
        return len(self.tickets)

    def ticket(self, wish: Wish, *, now: float) -> Ticket:
        """A new rank behind all others; not in the line yet."""
        self._last_number += 1
        return Ticket(self._last_number, wish, now)

    def join(self, ticket: Ticket) -> None:
        """Stand where the number says."""
        bisect.insort(self.tickets, ticket, key=lambda other: other.number)

    def leave(self, ticket: Ticket) -> None:
        """Give up the place; nothing happens without one."""
        if ticket in self.tickets:
            self.tickets.remove(ticket)

    def settle(self, registry: ReplicaRegistry, *, now: float) -> list[Ticket]:
        """Give every free slot to the first who can use it. Returns the tickets that got one; they have left the line."""
        served: list[Ticket] = []
        room, own = registry.room(now), registry.room_for_keys(now)
        for ticket in self.tickets:
            if not (room or own):
                break
            wish = ticket.wish
            if not room and wish.key not in own:
                continue
            ticket.slot = registry.reserve(
                now=now,
                key=wish.key,
                preset=wish.preset,
                exclude=ticket.exclude,
                prefer=wish.prefer,
                balance=wish.balance,
            )
            if ticket.slot is not None:
                served.append(ticket)
                room, own = registry.room(now), registry.room_for_keys(now)
        if served:
            self.tickets = [ticket for ticket in self.tickets if ticket.slot is None]
        return served

    def places(self) -> list[tuple[int, Ticket]]:
        """(position from 1, ticket) of all who wait."""
        return list(enumerate(self.tickets, start=1))

    # How long it may take

    def remember(self, seconds: float) -> None:
        """A slot was held for so long."""
        self._lengths.append(seconds)

    def estimate(self, position: int, slots: int) -> float | None:
        """Seconds until ``position`` has its turn when ``slots`` slots are in use; None while nothing is known.

        With n slots and sessions of mean length m, one ends every m / n seconds on average.
        """
        if not self._lengths or slots <= 0:
            return None
        return position * (sum(self._lengths) / len(self._lengths)) / slots
