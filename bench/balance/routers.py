"""Who decides where a session goes: the router's real core under one of its policies, or the rule of the seed's router."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from bench.balance.world import Machine
from trio_router.core.config import RouterConfig
from trio_router.core.config.blocks import Balance
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import ReplicaRegistry, Slot
from trio_router.core.replicas.replica import Report
from trio_router.core.scheduling.queue import SlotRequest, Waiter, WaitQueue

#: Called with (session, replica) when a session's turn has come.
Place = Callable[[int, int], None]


class Router(Protocol):
    """Sessions by number, replicas by index. ``ask`` answers at once: a replica, True for "wait", or False for "go"."""

    place: Place
    tries_again: bool

    def ask(self, session: int, user: int, now: float) -> int | bool: ...

    def rejected(self, session: int, replica: int, now: float) -> None: ...

    def failed(self, session: int, replica: int, now: float, *, opened: bool) -> None: ...

    def opened(self, replica: int) -> None: ...

    def ended(self, session: int, replica: int, now: float, *, linger: bool) -> None: ...

    def gives_up(self, session: int) -> None: ...

    def probed(self, replica: int, machine: Machine, asked_at: float, now: float) -> None: ...

    def next_change(self, now: float) -> float: ...

    def look(self, now: float) -> None: ...


class Ours:
    """The core as it is; around it what `trio_router.scheduling.admission` does, without Trio."""

    tries_again = True

    def __init__(self, config: RouterConfig, balance: Balance, seed: int) -> None:
        self.place: Place = lambda session, replica: None
        self._config = config.model_copy(update={"balance": balance})
        self._registry = ReplicaRegistry(self._config, rng=random.Random(seed))
        self._registry.on_capacity = self._room
        self._index = {replica: i for i, replica in enumerate(self._registry.replicas)}
        self._line = WaitQueue()
        self._tickets: dict[int, Waiter] = {}
        self._sessions: dict[Waiter, int] = {}
        self._slots: dict[int, Slot] = {}
        self._now = 0.0

    @property
    def at_rest(self) -> bool:
        """Nobody waits and nothing is held."""
        return not (self._line.waiters or self._slots or self._tickets or any(r.held for r in self._registry.replicas))

    def ask(self, session: int, user: int, now: float) -> int | bool:
        """Stand in the queue and see. Who comes back after a failure has his old rank."""
        self._now = now
        waiter = self._tickets.get(session)
        if waiter is None:
            waiter = self._tickets[session] = self._line.new_waiter(SlotRequest(key=f"user:{user}"), now=now)
            self._sessions[waiter] = session
        self._line.join(waiter)
        self._settle(asking=waiter)
        if (slot := waiter.take()) is not None:
            self._slots[session] = slot
            self._registry.slot_connected(slot, now=now)
            return self._index[slot.replica]
        position = self._line.waiters.index(waiter) + 1
        hopeless = (
            not self._registry.fits(exclude=waiter.exclude) or len(waiter.exclude) >= self._config.limits.attempts
        )
        if hopeless or position > self._config.queue.length:
            self.gives_up(session)
            return False
        return True

    def rejected(self, session: int, replica: int, now: float) -> None:
        self._now = now
        self._registry.session_rejected(self._registry.replicas[replica], now=now)
        self._registry.release(self._slots.pop(session), now=now)

    def failed(self, session: int, replica: int, now: float, *, opened: bool) -> None:
        self._now = now
        record = self._registry.replicas[replica]
        self._registry.session_failed(record, "died", now=now, opened=opened)
        if opened:  # what comes back is a new session
            self._forget(session)
        else:
            self._tickets[session].exclude = (*self._tickets[session].exclude, record)
        self._registry.release(self._slots.pop(session), now=now)

    def opened(self, replica: int) -> None:
        self._registry.session_opened(self._registry.replicas[replica])

    def ended(self, session: int, replica: int, now: float, *, linger: bool) -> None:
        self._now = now
        self._forget(session)
        self._registry.session_ended(self._registry.replicas[replica])
        self._registry.release(self._slots.pop(session), now=now, linger=linger)

    def gives_up(self, session: int) -> None:
        self._line.leave(self._tickets[session])
        self._forget(session)

    def probed(self, replica: int, machine: Machine, asked_at: float, now: float) -> None:
        self._now = now
        record = self._registry.replicas[replica]
        if machine.alive:
            report = Report(asked_at, len(machine.busy) + machine.lingering, machine.capacity)
            self._registry.probe_succeeded(record, latency_ms=1.0, wall=now, now=now, report=report)
        else:
            self._registry.probe_failed(record, "refused", now=now)

    def next_change(self, now: float) -> float:
        return self._registry.next_change(now)

    def look(self, now: float) -> None:
        """Time alone may have made room."""
        self._now = now
        self._room()

    def _forget(self, session: int) -> None:
        self._sessions.pop(self._tickets.pop(session))

    def _room(self) -> None:
        if self._line.waiters:
            self._settle(asking=None)

    def _settle(self, *, asking: Waiter | None) -> None:
        for waiter in self._line.dispatch(self._registry, now=self._now):
            if waiter is not asking:
                slot, session = waiter.take(), self._sessions[waiter]
                assert slot is not None
                self._slots[session] = slot
                self._registry.slot_connected(slot, now=self._now)
                self.place(session, self._index[slot.replica])


class Seed:
    """The first healthy primary, otherwise the first healthy replica. No slots, no line, no second try."""

    tries_again = False

    def __init__(self, config: RouterConfig) -> None:
        self.place: Place = lambda session, replica: None
        self._registry = ReplicaRegistry(config)

    def ask(self, session: int, user: int, now: float) -> int | bool:
        healthy = [
            (not replica.endpoint.primary, index)
            for index, replica in enumerate(self._registry.replicas)
            if replica.health.status is ReplicaStatus.HEALTHY
        ]
        return min(healthy)[1] if healthy else False

    def rejected(self, session: int, replica: int, now: float) -> None:
        """The client is told, and that is all."""

    def failed(self, session: int, replica: int, now: float, *, opened: bool) -> None:
        """So it is here."""

    def opened(self, replica: int) -> None:
        """Not counted."""

    def ended(self, session: int, replica: int, now: float, *, linger: bool) -> None:
        """Not counted."""

    def gives_up(self, session: int) -> None:
        """Nobody waits."""

    def probed(self, replica: int, machine: Machine, asked_at: float, now: float) -> None:
        record = self._registry.replicas[replica]
        if machine.alive:
            self._registry.probe_succeeded(record, latency_ms=1.0, wall=now, now=now)
        else:
            self._registry.probe_failed(record, "refused", now=now)

    def next_change(self, now: float) -> float:
        return float("inf")

    def look(self, now: float) -> None:
        """Nothing changes by itself."""
