"""One task that runs all sessions' slow timers: pings, dead peers, late replies. For seconds, not milliseconds.

A timer task for each session would be a third task in its nursery. Here a session registers a callback and a time;
one task sleeps until the earliest of them.
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

#: Compact the heap when this many cancelled timers are in it.
CARRIED: Final = 1000

#: Called with Trio's time; returns when to call it again, or None for never.
Callback = Callable[[float], float | None]


class TimerHandle:
    """A timer. `cancel` drops the callback and everything that it refers to."""

    __slots__ = ("callback", "timers")

    def __init__(self, check: Callback, timers: Timers) -> None:
        self.callback: Callback | None = check
        self.timers: Timers | None = timers  # None once it has fired for the last time

    def set_made(self) -> None:
        """It is being made: nobody carries it."""
        self.timers = None

    def set_due(self, timers: Timers) -> None:
        """It will be made again."""
        self.timers = timers

    def cancel(self) -> None:
        """Do not call the callback, or not again. No effect after the last call."""
        if self.callback is not None:
            self.callback = None
            if self.timers is not None:
                self.timers.note_cancelled()


class Timers:
    """Calls each callback when it is due. One that raises is logged and not called again; the others go on.

    Nearly all timers are cancelled: a session that opens sets four and keeps one. A cancelled timer does not wake the
    task, and does not stay in the heap until it would have been due.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, TimerHandle]] = []
        self._cancelled = 0  # of the entries in the heap
        self._numbers = itertools.count()
        self._sleeping: trio.CancelScope | None = None
        self.broken = 0  # callbacks that raised

    def __len__(self) -> int:
        return len(self._due)

    def call_at(self, check: Callback, *, at: float) -> TimerHandle:
        """Call ``check`` at Trio's time ``at`` (seconds), and again at each time that it returns."""
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
        """Call what is due, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._sleeping:
                await trio.sleep_forever()
            self._sleeping = None
            self._look(trio.current_time())

    def _next(self) -> float:
        """When the first timer that is not cancelled is due."""
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
