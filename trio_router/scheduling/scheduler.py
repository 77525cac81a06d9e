"""The seam between sessions and whoever decides which of them gets a slot.

Today one router decides alone (`admission.Admission`). A scheduler that several routers share stands beside it here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import trio

from trio_router.core.replicas.registry import Slot
from trio_router.core.replicas.replica import Replica
from trio_router.core.scheduling.queue import Waiter
from trio_router.core.session.outcome import End
from trio_router.scheduling.identity import ClientIdentity

#: Tells a waiting client (position, depth, estimated seconds).
Tell = Callable[[int, int, float | None], None]

#: What a scheduler gives to a session: room for it on one replica, to be released exactly once.
Lease = Slot


class SessionEntry(ClientIdentity):
    """One session, as the scheduler sees it: its request, its rank, and how it is woken when its turn comes."""

    __slots__ = ("got_slot_at", "refusal", "tell", "turn", "waiter")

    def __init__(self) -> None:
        super().__init__()
        self.waiter: Waiter | None = None
        self.tell: Tell | None = None
        self.turn: trio.Event | None = None
        self.refusal: End | None = None  # why it need not wait any longer
        self.got_slot_at = 0.0

    def refused(self) -> End | None:
        """The refusal that ended its wait, if one did; told once."""
        refusal, self.refusal = self.refusal, None
        return refusal


class Scheduler(Protocol):
    """Gives leases to sessions, first come first served.

    What is decided is decided in one call: a lease that becomes free while somebody waits is taken in the same instant,
    no wake-up is lost, nobody is overtaken by somebody who could use the same replica.
    """

    def admit(self, entry: SessionEntry) -> bool:
        """Whether its client may have one session more; if so this one counts until the session is over."""
        ...

    def acquire_nowait(self, entry: SessionEntry, *, exclude: Collection[Replica]) -> Lease | End | None:
        """A lease if one is free for this session; the End if there is no sense in waiting; None: it would have to wait.

        A replica in ``exclude`` is not given. A session that comes back has its old rank.
        """
        ...

    async def acquire(self, entry: SessionEntry, *, exclude: Collection[Replica], tell: Tell) -> Lease | End:
        """A lease, waited for if need be; or why there is none. ``tell`` is called with each new position.

        A cancelled wait leaves nothing behind.
        """
        ...

    def release(self, entry: SessionEntry, lease: Lease, *, committed: bool, linger: bool) -> None:
        """Give a lease back; a second time nothing happens.

        ``committed``: the session had passed its commit point, so how long it took is worth an estimate. ``linger``: the
        replica may still be busy with it.
        """
        ...

    def positions(self, now: float) -> list[dict[str, Any]]:
        """Who waits, for `/status`: each position, its age, and what it waits for."""
        ...
