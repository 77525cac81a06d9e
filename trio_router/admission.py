"""Who gets a slot now, who waits, who is sent away."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import trio

from .core.config import RouterConfig
from .core.head import RequestHead
from .core.outcome import Cause, End, Side
from .core.registry import ReplicaRegistry, Slot
from .core.replica import Replica
from .relay import Relay


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session needs from a replica, and what it is known by."""

    client: str = ""
    key: str | None = None
    client_id: str | None = None
    preset: str | None = None
    balance: str | None = None


class Admission:
    """Gives slots to sessions."""

    def __init__(self, config: RouterConfig, registry: ReplicaRegistry) -> None:
        self._config = config
        self._registry = registry

    def wish(self, request: RequestHead, *, client: str, balance: str | None) -> Wish:
        """What is known of a session before it says anything."""
        return Wish(client=client, balance=balance)

    async def slot(self, wish: Wish, *, exclude: Collection[Replica], relay: Relay | None) -> Slot | End:
        """A slot on a fitting replica, or why there is none."""
        now = trio.current_time()
        slot = self._registry.reserve(now=now, key=wish.key, preset=wish.preset, exclude=exclude, balance=wish.balance)
        if slot is not None:
            return slot
        if self._registry.fits(now=now, preset=wish.preset, exclude=exclude):
            return End(Side.ROUTER, Cause.REJECTED, detail="every replica is full")
        return End(Side.ROUTER, Cause.NO_REPLICA)

    def placed(self, wish: Wish, replica: Replica) -> None:
        """The session is past its commit point there."""

    def left(self, wish: Wish) -> None:
        """The session is over."""

    def places(self, now: float) -> list[dict[str, object]]:
        """The waiting line, for `/status`."""
        return []

    async def run(self) -> None:
        """Look after the line until cancelled."""
        await trio.sleep_forever()
