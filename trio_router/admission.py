"""Who gets a slot now, who waits, who is sent away.

Decisions are made in one go, whenever a slot may have become free (`ReplicaRegistry.on_room`), never by a task that
had to be woken first: so a slot that is freed while somebody waits is taken in the same instant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any, Final

import trio

from trio_router.core.config import RouterConfig
from trio_router.core.line import Ticket, WaitingLine
from trio_router.core.outcome import Cause, End, Side
from trio_router.core.registry import ReplicaRegistry, Slot
from trio_router.core.replica import Replica
from trio_router.identity import Guest, Identities

#: A client is told its place at most this often.
TELL_SECONDS: Final = 1.0

#: Tells a waiting client (position, depth, estimated seconds).
Tell = Callable[[int, int, float | None], None]


class Visit(Guest):
    """One session, as the admission sees it: its wish, its rank, and how it is woken when its turn comes."""

    __slots__ = ("got_slot_at", "tell", "ticket", "turn")

    def __init__(self) -> None:
        super().__init__()
        self.ticket: Ticket | None = None
        self.tell: Tell | None = None
        self.turn: trio.Event | None = None
        self.got_slot_at = 0.0


class Admission:
    """Gives slots to sessions. `run` must be running while anybody waits."""

    def __init__(self, config: RouterConfig, registry: ReplicaRegistry, identities: Identities) -> None:
        self._config = config
        self._registry = registry
        self._identities = identities
        self.line = WaitingLine()
        self._waiting: dict[Ticket, Visit] = {}
        self._changed = trio.Event()  # set when `run` should look again
        registry.on_room = self._settle

    def committed(self, visit: Visit) -> None:
        """The session is past its commit point: it will not be in the line again."""
        visit.ticket = visit.tell = visit.turn = None

    def session_ended(self, visit: Visit) -> None:
        """A session that had opened gives its slot back: a length for the estimates."""
        self.line.remember(trio.current_time() - visit.got_slot_at)

    # Slots

    def slot_nowait(self, visit: Visit, *, exclude: Collection[Replica]) -> Slot | End | None:
        """A slot if one is free for this session; the End if there is no sense in waiting; None: it would have to wait."""
        now = trio.current_time()
        known = self._identities.known(visit)
        if known != visit.wish.prefer:
            visit.wish = dataclasses.replace(visit.wish, prefer=known)
        ticket = visit.ticket = visit.ticket or self.line.ticket(visit.wish, now=now)
        ticket.wish, ticket.exclude = visit.wish, exclude
        self.line.join(ticket)
        self._settle()
        if (slot := ticket.take()) is not None:
            visit.got_slot_at = now
            return slot
        position = self.line.tickets.index(ticket) + 1
        self.line.leave(ticket)
        return self._hopeless(visit, position, exclude, now)

    def _hopeless(self, visit: Visit, position: int, exclude: Collection[Replica], now: float) -> End | None:
        if not self._registry.serves_anywhere(visit.wish.preset):
            return End(Side.CLIENT, Cause.PRESET, detail=f"no replica serves preset {visit.wish.preset!r}")
        if not self._registry.fits(preset=visit.wish.preset, exclude=exclude):
            return End(Side.ROUTER, Cause.NO_REPLICA)
        if position > self._config.queue.length:
            return End(Side.ROUTER, Cause.LINE_FULL, retry_after=self._retry_after(position))
        return None

    async def slot(self, visit: Visit, *, exclude: Collection[Replica], tell: Tell) -> Slot | End:
        """A slot, waited for in the line if need be; or why there is none. ``tell`` is called with each new place."""
        found = self.slot_nowait(visit, exclude=exclude)
        if found is not None:
            return found
        ticket = visit.ticket
        assert ticket is not None
        visit.tell, visit.turn = tell, trio.Event()
        ticket.told = None
        self.line.join(ticket)
        self._waiting[ticket] = visit
        began = trio.current_time()
        self._tell(ticket, self.line.tickets.index(ticket) + 1, began)
        self._changed.set()
        try:
            with trio.move_on_at(began + self._config.queue.timeout_seconds - ticket.waited):
                await visit.turn.wait()
            slot = ticket.take()
        finally:
            ticket.waited += trio.current_time() - began
            self.line.leave(ticket)
            del self._waiting[ticket]
            self._changed.set()
            if (unwanted := ticket.take()) is not None:  # its turn came in the moment in which it was cancelled
                self._registry.release(unwanted, now=trio.current_time())
        if slot is None:
            waited = f"waited {self._config.queue.timeout_seconds:g} s"
            return End(Side.ROUTER, Cause.LINE_TIMEOUT, detail=waited, retry_after=self._retry_after(1))
        visit.got_slot_at = trio.current_time()
        return slot

    def _settle(self) -> None:
        """Give what is free to whoever is first, and wake him."""
        if not self.line.tickets:
            return
        if self._waiting:
            self._changed.set()
        for ticket in self.line.settle(self._registry, now=trio.current_time()):
            visit = self._waiting.get(ticket)
            if visit is not None and visit.turn is not None:
                visit.turn.set()

    # Telling

    async def run(self) -> None:
        """Until cancelled: tell who waits how it goes, and see to slots that become free by the passing of time."""
        while True:
            self._settle()
            self._changed = trio.Event()
            now = trio.current_time()
            with trio.move_on_at(min(self._tell_all(now), self._next_change(now))):
                await self._changed.wait()

    def _next_change(self, now: float) -> float:
        return self._registry.next_change(now) if self._waiting else math.inf

    def _tell_all(self, now: float) -> float:
        """Tell all who have not been told yet. Returns when the next one may be told."""
        return min((self._tell(ticket, place, now) for place, ticket in self.line.places()), default=math.inf)

    def _tell(self, ticket: Ticket, position: int, now: float) -> float:
        """Tell one, unless he knows, or was told something a moment ago. Returns when to try again."""
        place = (position, len(self.line))
        if ticket.told == place:
            return math.inf
        if now < ticket.told_at + TELL_SECONDS:
            return ticket.told_at + TELL_SECONDS
        ticket.told, ticket.told_at = place, now
        tell = self._waiting[ticket].tell
        assert tell is not None
        tell(*place, self._estimate(position))
        return math.inf

    def _estimate(self, position: int) -> float | None:
        in_use = sum(replica.taken for replica in self._registry.replicas)
        return self.line.estimate(position, in_use)

    def _retry_after(self, position: int) -> float:
        """When another try is worth it: as estimated, but between a second and five minutes."""
        return round(min(300.0, max(1.0, self._estimate(position) or 5.0)), 1)

    def places(self, now: float) -> list[dict[str, Any]]:
        """The line for `/status`: each place, its age, and what it waits for."""
        return [
            {
                "position": position,
                "waiting_seconds": round(now - ticket.joined_at, 1),
                "key": ticket.wish.key,
                "preset": ticket.wish.preset,
                "estimated_wait_seconds": self._estimate(position),
            }
            for position, ticket in self.line.places()
        ]
