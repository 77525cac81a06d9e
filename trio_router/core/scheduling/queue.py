"""The wait queue: sessions that were accepted while no slot was free, first come first served.

Fair: no waiter gets a slot that an earlier one could have used; a waiter for a busy preset does not delay those after
it that want another. This module keeps order and counts; how a session waits belongs to `scheduling.admission`.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from trio_router.core.replicas.registry import ReplicaRegistry, Slot
from trio_router.core.replicas.replica import Replica

#: Number of past sessions that an estimate is based on.
REMEMBERED_LENGTHS: Final = 50


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """What a session needs from a replica, and what it is known by.

    ``client`` is what ``per_client`` counts; ``key`` is the affinity key; ``prefer`` the URL of a replica that it names.
    """

    client: str = ""
    key: str | None = None
    preset: str | None = None
    balance: str | None = None
    prefer: str | None = None


@dataclass(eq=False, slots=True)
class Waiter:
    """A position in the queue. ``number`` never changes, so a rejected session keeps its position."""

    number: int
    slot_request: SlotRequest
    joined_at: float
    exclude: Collection[Replica] = ()
    slot: Slot | None = None
    waited: float = 0.0  # seconds in the queue, before the last time that it got a slot
    told: tuple[int, int] | None = None  # the last (position, depth) that was sent to the client
    told_at: float = -math.inf

    def take(self) -> Slot | None:
        """The slot that was assigned, or None; the caller must release it."""
        slot, self.slot = self.slot, None
        return slot


@dataclass(slots=True)
class WaitQueue:
    """Waiters in the order of their numbers."""

    waiters: list[Waiter] = field(default_factory=list)
    _lengths: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LENGTHS))
    _last_number: int = 0

    def __len__(self) -> int:
        return len(self.waiters)

    def new_waiter(self, slot_request: SlotRequest, *, now: float) -> Waiter:
        """A waiter with a number higher than all others; not in the queue yet."""
        self._last_number += 1
        return Waiter(self._last_number, slot_request, now)

    def join(self, waiter: Waiter) -> None:
        """Enter the queue at the position that its number gives."""
        bisect.insort(self.waiters, waiter, key=lambda other: other.number)

    def leave(self, waiter: Waiter) -> None:
        """Leave the queue; no effect if it is not in it."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def dispatch(self, registry: ReplicaRegistry, *, now: float) -> list[Waiter]:
        """Give every free slot to the first waiter that can use it. Returns those waiters; they have left the queue."""
        served: list[Waiter] = []
        has_capacity = registry.has_capacity(now)
        own: set[str] | None = None  # whose own slots linger: asked for only where nothing else is free
        for waiter in self.waiters:
            slot_request = waiter.slot_request
            if not has_capacity:
                if own is None:
                    own = registry.keys_with_capacity(now)
                if not own:
                    break
                if slot_request.key not in own:
                    continue
            waiter.slot = registry.reserve(
                now=now,
                key=slot_request.key,
                preset=slot_request.preset,
                exclude=waiter.exclude,
                prefer=slot_request.prefer,
                balance=slot_request.balance,
            )
            if waiter.slot is not None:
                served.append(waiter)
                has_capacity, own = registry.has_capacity(now), None
        if served:
            self.waiters = [waiter for waiter in self.waiters if waiter.slot is None]
        return served

    def positions(self) -> list[tuple[int, Waiter]]:
        """(position from 1, waiter) of all that wait."""
        return list(enumerate(self.waiters, start=1))

    # How long it may take

    def remember(self, seconds: float) -> None:
        """Record that a slot was held for this many seconds."""
        self._lengths.append(seconds)

    def estimate(self, position: int, slots: int) -> float | None:
        """Seconds until ``position`` has its turn when ``slots`` slots are in use; None while nothing is known.

        With n slots and sessions of mean length m, one ends every m / n seconds on average.
        """
        if not self._lengths or slots <= 0:
            return None
        return position * (sum(self._lengths) / len(self._lengths)) / slots
