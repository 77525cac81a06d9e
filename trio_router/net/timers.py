"""One task that looks after all sessions' slow clocks: pings, dead peers, late replies.

A timer for each session would be a third task in its nursery. Here a session says when it wants to be looked at next;
one task sleeps until the earliest of these times.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final

import trio

from trio_router.operations.logging import get_logger

log = get_logger("trio_router.net.timers")

#: So many cancelled timers are carried along before they are sorted out.
CARRIED: Final = 1000

#: Called with Trio's time; returns when to be called again, or None for never.
Callback = Callable[[float], float | None]


class TimerHandle:
    """A check that will be made; `cancel` forgets it, and with it all that the check refers to."""

    __slots__ = ("callback", "timers")

    def __init__(self, check: Callback, timers: Timers) -> None:
        self.callback: Callback | None = check
        self.timers: Timers | None = timers  # None once it is made

    def set_made(self) -> None:
        """It is being made: nobody carries it."""
        self.timers = None

    def set_due(self, timers: Timers) -> None:
        """It will be made again."""
        self.timers = timers

    def cancel(self) -> None:
        """Never make it, or not again."""
        if self.callback is not None:
            self.callback = None
            if self.timers is not None:
                self.timers.note_cancelled()


class Timers:
    """Makes each check when it is due. One that raises is logged and not made again; the others are.

    Nearly all timers are cancelled: a session that opens makes four, and keeps one. Those must neither wake the
    task when they would have been due, nor be carried along until then.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, TimerHandle]] = []
        self._cancelled = 0  # of them
        self._numbers = itertools.count()
        self._sleeping: trio.CancelScope | None = None
        self.broken = 0  # checks that raised

    def __len__(self) -> int:
        return len(self._due)

    def call_at(self, check: Callback, *, at: float) -> TimerHandle:
        """Call ``callback`` at Trio's time ``at``, and on as it asks for."""
        handle = TimerHandle(check, self)
        heapq.heappush(self._due, (at, next(self._numbers), handle))
        if self._sleeping is not None and at < self._sleeping.deadline:
            self._sleeping.deadline = at
        return handle

    def note_cancelled(self) -> None:
        """A timer was cancelled."""
        self._cancelled += 1
        if self._cancelled > CARRIED and 2 * self._cancelled > len(self._due):
            self._due = [entry for entry in self._due if entry[2].callback is not None]
            heapq.heapify(self._due)
            self._cancelled = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._sleeping:
                await trio.sleep_forever()
            self._sleeping = None
            self._look(trio.current_time())

    def _next(self) -> float:
        """When the first timer that still holds is due."""
        while self._due and self._due[0][2].callback is None:
            heapq.heappop(self._due)
            self._cancelled -= 1
        return self._due[0][0] if self._due else math.inf

    def _look(self, now: float) -> None:
        while self._next() <= now:
            _, number, handle = heapq.heappop(self._due)
            handle.set_made()
            again = self._make(handle.callback, now) if handle.callback is not None else None
            if again is not None and handle.callback is not None:
                handle.set_due(self)
                heapq.heappush(self._due, (max(again, now + 0.001), number, handle))

    def _make(self, check: Callback, now: float) -> float | None:
        try:
            return check(now)
        except Exception:
            self.broken += 1
            log.exception("a check is broken", check=getattr(check, "__qualname__", repr(check)), broken=self.broken)
            return None
