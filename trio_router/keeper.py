"""One task that looks after all sessions' slow clocks: pings, dead peers, late replies.

A timer for each session would be a third task in its nursery. Here a session says when it wants to be looked at next;
one task sleeps until the earliest of these times.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

import trio

#: Called with Trio's time; returns when to be called again, or None for never.
Check = Callable[[float], float | None]


class Appointment:
    """A check that will be made; `cancel` forgets it, and with it all that the check refers to."""

    __slots__ = ("check",)

    def __init__(self, check: Check) -> None:
        self.check: Check | None = check

    def cancel(self) -> None:
        """Never make it."""
        self.check = None


class Keeper:
    """Makes each check when it is due. A check must not raise."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Appointment]] = []
        self._numbers = itertools.count()
        self._sleeping: trio.CancelScope | None = None

    def add(self, check: Check, *, at: float) -> Appointment:
        """Call ``check`` at Trio's time ``at``, and on as it asks for."""
        appointment = Appointment(check)
        heapq.heappush(self._due, (at, next(self._numbers), appointment))
        if self._sleeping is not None and at < self._sleeping.deadline:
            self._sleeping.deadline = at
        return appointment

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._due[0][0] if self._due else math.inf) as self._sleeping:
                await trio.sleep_forever()
            self._sleeping = None
            self._look(trio.current_time())

    def _look(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number, appointment = heapq.heappop(self._due)
            again = appointment.check(now) if appointment.check is not None else None
            if again is not None:
                heapq.heappush(self._due, (max(again, now + 0.001), number, appointment))
