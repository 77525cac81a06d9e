"""Who gets a slot now, who waits, who is sent away: the `scheduling.Scheduler` of one router.

Decisions are made in one go, whenever a slot may have become free (`ReplicaRegistry.on_capacity`), never by a task that
had to be woken first: so a slot that is freed while somebody waits is taken in the same instant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any, Final

import trio

from trio_router.core.config import RouterConfig
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica
from trio_router.core.scheduling.queue import Waiter, WaitQueue
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.operations.logging import get_logger
from trio_router.scheduling.identity import Identities
from trio_router.scheduling.outage import OutageWatch
from trio_router.scheduling.scheduler import Lease, SessionEntry, Tell

log = get_logger("trio_router.scheduling.admission")

#: How soon after a turn of the queue that broke the next one is tried.
BROKEN_SECONDS: Final = 1.0
#: A client is told its place at most this often.
TELL_SECONDS: Final = 1.0


class Admission:
    """Gives slots to sessions. `run` must be running while anybody waits."""

    def __init__(self, config: RouterConfig, registry: ReplicaRegistry, identities: Identities) -> None:
        self._config = config
        self._registry = registry
        self._identities = identities
        self.queue = WaitQueue()
        self._outages = OutageWatch(registry, config.queue)
        self._waiting: dict[Waiter, SessionEntry] = {}
        self.broken_turns = 0
        self._changed = trio.Event()  # set when `run` should look again
        registry.on_capacity = self._dispatch
        registry.on_loss = self._look_again

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by its ``queue`` from now on; who waits already keeps the ``timeout_seconds`` of then."""
        self._config = config
        self._outages.reconfigure(config.queue)
        self._look_again()

    def admit(self, entry: SessionEntry) -> bool:
        """See `scheduling.Scheduler.admit`."""
        return self._identities.admit(entry)

    def release(self, entry: SessionEntry, lease: Lease, *, committed: bool, linger: bool) -> None:
        """See `scheduling.Scheduler.release`."""
        if committed and not lease.released:
            self.session_ended(entry)
        self._registry.release(lease, now=trio.current_time(), linger=linger)

    def committed(self, entry: SessionEntry) -> None:
        """The session is past its commit point: it will not be in the queue again."""
        entry.waiter = entry.tell = entry.turn = None

    def session_ended(self, entry: SessionEntry) -> None:
        """A session that had opened gives its slot back: a length for the estimates."""
        self.queue.remember(trio.current_time() - entry.got_slot_at)

    # Slots

    def acquire_nowait(self, entry: SessionEntry, *, exclude: Collection[Replica]) -> Lease | End | None:
        """See `scheduling.Scheduler.acquire_nowait`."""
        now = trio.current_time()
        known = self._identities.known(entry)
        if known != entry.slot_request.prefer:
            entry.slot_request = dataclasses.replace(entry.slot_request, prefer=known)
        waiter = entry.waiter = entry.waiter or self.queue.new_waiter(entry.slot_request, now=now)
        waiter.slot_request, waiter.exclude = entry.slot_request, exclude
        self.queue.join(waiter)
        self._dispatch()
        if (slot := waiter.take()) is not None:
            entry.got_slot_at = now
            return slot
        position = self.queue.waiters.index(waiter) + 1
        self.queue.leave(waiter)
        return self._cannot_be_served(entry, position, exclude, now)

    def _cannot_be_served(
        self, entry: SessionEntry, position: int, exclude: Collection[Replica], now: float
    ) -> End | None:
        preset = entry.slot_request.preset
        if not self._registry.serves_anywhere(preset):
            return End(Side.CLIENT, Cause.PRESET, detail=f"no replica serves preset {preset!r}")
        if self._outages.given_up_at(preset, exclude, now) <= now:
            return self._none_left(preset, exclude)
        if position > self._config.queue.length:
            return End(Side.ROUTER, Cause.QUEUE_FULL, retry_after=self._retry_after(position))
        return None

    def _none_left(self, preset: str | None, exclude: Collection[Replica]) -> End:
        """No replica is to be waited for: either none is there, or this session has tried those that are."""
        if exclude and self._registry.unusable_since(trio.current_time(), preset=preset) is None:
            detail = "every replica that is there was tried"
            return End(Side.REPLICA, Cause.REJECTED, detail=detail, retry_after=self._retry_after(1))
        return End(Side.ROUTER, Cause.NO_REPLICA)

    def when_hopeless(self, entry: SessionEntry, callback: Callable[[End], None]) -> Callable[[], None]:
        """Call ``callback`` once, as soon as such a session would be told that no replica is there: now, if it is so now.

        Returns a function that forgets it; it may be called at any time, and again.
        """
        now = trio.current_time()
        forget = self._outages.watch(entry, callback, now)
        if self._outages.given_up_at(entry.slot_request.preset, (), now) < math.inf:
            self._look_again()
        return forget

    async def acquire(self, entry: SessionEntry, *, exclude: Collection[Replica], tell: Tell) -> Lease | End:
        """See `scheduling.Scheduler.acquire`."""
        found = self.acquire_nowait(entry, exclude=exclude)
        if found is not None:
            return found
        waiter = entry.waiter
        assert waiter is not None
        entry.tell, entry.turn, entry.refusal = tell, trio.Event(), None
        waiter.told = None
        self.queue.join(waiter)
        self._waiting[waiter] = entry
        began = trio.current_time()
        self._tell(waiter, self.queue.waiters.index(waiter) + 1, began)
        self._changed.set()
        try:
            with trio.move_on_at(began + self._config.queue.timeout_seconds - waiter.waited):
                await entry.turn.wait()
            slot = waiter.take()
        finally:
            waiter.waited += trio.current_time() - began
            self.queue.leave(waiter)
            del self._waiting[waiter]
            self._changed.set()
            if (unwanted := waiter.take()) is not None:  # its turn came in the moment in which it was cancelled
                self._registry.release(unwanted, now=trio.current_time())
        if slot is None:
            if (refusal := entry.refused()) is not None:
                return refusal
            waited = f"waited {self._config.queue.timeout_seconds:g} s"
            return End(Side.ROUTER, Cause.QUEUE_TIMEOUT, detail=waited, retry_after=self._retry_after(1))
        entry.got_slot_at = trio.current_time()
        return slot

    def _dispatch(self) -> None:
        """Give each free slot to the first waiter that can use it, and wake its task."""
        if not self.queue.waiters:
            return
        if self._waiting:
            self._changed.set()
        for waiter in self.queue.dispatch(self._registry, now=trio.current_time()):
            entry = self._waiting.get(waiter)
            if entry is not None and entry.turn is not None:
                entry.turn.set()

    def _look_again(self) -> None:
        if self._waiting or self._outages:
            self._changed.set()

    def _refuse(self, now: float) -> float:
        """Send away who waits for nothing. Returns when the next one will have to go, as things are now."""
        due = self._outages.tell(now)
        given_up: dict[tuple[str | None, tuple[Replica, ...]], float] = {}  # the same for most of them
        for waiter, entry in list(self._waiting.items()):
            if entry.turn is None or entry.turn.is_set():
                continue
            kind = waiter.slot_request.preset, tuple(waiter.exclude)
            if kind not in given_up:
                given_up[kind] = self._outages.given_up_at(*kind, now)
            if (at := given_up[kind]) <= now:
                entry.refusal = self._none_left(waiter.slot_request.preset, waiter.exclude)
                self.queue.leave(waiter)
                entry.turn.set()
            else:
                due = min(due, at)
        return due

    # Telling

    async def run(self) -> None:
        """Until cancelled: tell who waits how it goes, see to slots that become free by the passing of time, and end waits
        for replicas that do not come.

        A turn that raises is logged, counted and tried again: slots are given away meanwhile as they become free.
        """
        while True:
            try:
                self._dispatch()
                self._changed = trio.Event()
                now = trio.current_time()
                next_turn = min(self._refuse(now), self._tell_all(now), self._next_change(now))
            except Exception:
                self.broken_turns += 1
                log.exception("a turn of the wait queue is broken", broken_turns=self.broken_turns)
                await trio.sleep(BROKEN_SECONDS)
                continue
            with trio.move_on_at(next_turn):
                await self._changed.wait()

    def _next_change(self, now: float) -> float:
        return self._registry.next_change(now) if self._waiting else math.inf

    def _tell_all(self, now: float) -> float:
        """Tell all who have not been told yet. Returns when the next one may be told."""
        return min((self._tell(waiter, position, now) for position, waiter in self.queue.positions()), default=math.inf)

    def _tell(self, waiter: Waiter, position: int, now: float) -> float:
        """Send one waiter its position, unless already sent or sent less than `TELL_SECONDS` ago. Returns when to try again."""
        told = (position, len(self.queue))
        if waiter.told == told:
            return math.inf
        if now < waiter.told_at + TELL_SECONDS:
            return waiter.told_at + TELL_SECONDS
        waiter.told, waiter.told_at = told, now
        tell = self._waiting[waiter].tell
        assert tell is not None
        tell(*told, self._estimate(position))
        return math.inf

    def _estimate(self, position: int) -> float | None:
        in_use = sum(replica.taken for replica in self._registry.replicas)
        return self.queue.estimate(position, in_use)

    def _retry_after(self, position: int) -> float:
        """When another try is worth it: as estimated, but between a second and five minutes."""
        return round(min(300.0, max(1.0, self._estimate(position) or 5.0)), 1)

    def positions(self, now: float) -> list[dict[str, Any]]:
        """See `scheduling.Scheduler.positions`."""
        return [
            {
                "position": position,
                "waiting_seconds": round(now - waiter.joined_at, 1),
                "key": waiter.slot_request.key,
                "preset": waiter.slot_request.preset,
                "estimated_wait_seconds": self._estimate(position),
            }
            for position, waiter in self.queue.positions()
        ]

    places = positions
