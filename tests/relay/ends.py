"""A relay between memory streams, and a provider that gives out what a test offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from websockets.frames import Opcode

from tests.relay.far import ASSIGNED, INIT, FarEnd
from trio_router.core.config import LimitsConfig, ReplicaEndpoint, TimeoutsConfig
from trio_router.core.dialects import Dialect, FirstMessage, make_dialect
from trio_router.core.replicas.registry import Slot
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import End, Side
from trio_router.core.websocket.budget import ByteBudget
from trio_router.core.websocket.buffer import Scratch
from trio_router.net.connection import Connection, StreamConnection
from trio_router.net.timers import Timers
from trio_router.relay import Attempt, Progress, Relay
from trio_router.relay.rules import RelayParts

Pair = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]


class Offers:
    """A `Connector` that gives out what it is offered, in order, and notes what it is told."""

    def __init__(self) -> None:
        self.failed: list[End] = []
        self.commits = 0
        self.asked_at: list[float] = []
        self.first: list[FirstMessage] = []
        self.unhealthy = False
        self.hopeless: Callable[[End], Any] | None = None
        self._send, self._receive = trio.open_memory_channel[Attempt | End | Exception](10)

    def accept(self, message: FirstMessage) -> End | None:
        self.first.append(message)
        return None

    def when_hopeless(self, callback: Callable[[End], Any]) -> Callable[[], None]:
        self.hopeless = callback

        def forget() -> None:
            self.hopeless = None

        return forget

    async def connect(self, progress: Progress) -> Attempt | End:
        self.asked_at.append(trio.current_time())
        progress.seeking()
        progress.dialling()
        found = await self._receive.receive()
        if isinstance(found, Exception):
            raise found
        return found

    def attempt_failed(self, attempt: Attempt, end: End) -> None:
        self.failed.append(end)

    def committed(self, attempt: Attempt) -> None:
        self.commits += 1

    def is_unhealthy(self, attempt: Attempt) -> bool:
        return self.unhealthy

    def offer(self, found: Connection | End | Exception) -> None:
        if isinstance(found, Connection):
            self._send.send_nowait(Attempt(Slot(Replica(ReplicaEndpoint("http://replica")), 1), found))
        else:
            self._send.send_nowait(found)

    @property
    def left(self) -> int:
        """Offers that were not taken."""
        return self._receive.statistics().current_buffer_used


def connected(side: Side, pair: Pair = trio.testing.memory_stream_pair) -> tuple[Connection, FarEnd]:
    """A connection and its far end."""
    near, far = pair()
    return StreamConnection(near, side), FarEnd(far, masks=side is Side.CLIENT)


class Scene:
    """One relay that runs, its client's far end, and how it ended (``ended_at``: Trio's time)."""

    def __init__(
        self,
        dialect: str | Dialect,
        pair: Pair,
        client: tuple[Connection, FarEnd] | None,
        timeouts: Mapping[str, float],
        limits: Mapping[str, int],
    ) -> None:
        self.offers = Offers()
        self.timers = Timers()
        self.end: End | None = None
        self.crash: Exception | None = None
        self.ended_at = -1.0
        self._pair = pair
        self._over = trio.Event()
        connection, self.client = client or connected(Side.CLIENT, pair)
        known = make_dialect(dialect) if isinstance(dialect, str) else dialect
        parts = RelayParts(
            TimeoutsConfig.model_validate(timeouts),
            LimitsConfig.model_validate(limits),
            Scratch(),
            self.timers,
            ByteBudget(2**30),
        )
        self.relay = Relay(connection, known, known.open(), parts)

    async def run(self) -> None:
        try:
            self.end = await self.relay.run(self.offers)
        except Exception as exc:
            self.crash = exc
        finally:
            self.ended_at = trio.current_time()
            self._over.set()

    def replica(self) -> FarEnd:
        """Offer another replica; returns its far end."""
        connection, far = connected(Side.REPLICA, self._pair)
        self.offers.offer(connection)
        return far

    async def opened(self) -> FarEnd:
        """Say the first words of a session, past the commit point."""
        replica = self.replica()
        await self.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        await replica.text(ASSIGNED)
        await self.client.hears(Opcode.TEXT, ASSIGNED)
        assert self.offers.commits == 1
        return replica

    async def over(self) -> End:
        """How it ended; waits for it."""
        await self._over.wait()
        assert self.end is not None, self.crash
        return self.end

    async def crashed(self) -> Exception:
        """With what it crashed; waits for it."""
        await self._over.wait()
        assert self.crash is not None, self.end
        return self.crash


@asynccontextmanager
async def relaying(
    dialect: str | Dialect = "fastvideo",
    *,
    pair: Pair = trio.testing.memory_stream_pair,
    client: tuple[Connection, FarEnd] | None = None,
    timeouts: Mapping[str, float] | None = None,
    limits: Mapping[str, int] | None = None,
) -> AsyncIterator[Scene]:
    """A relay that runs until the block ends; for at most a day of virtual time, so that nothing hangs."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 86_400
        scene = Scene(dialect, pair, client, timeouts or {}, limits or {})
        nursery.start_soon(scene.timers.run)
        nursery.start_soon(scene.run)
        yield scene
        nursery.cancel_scope.cancel()
    if nursery.cancel_scope.cancelled_caught and trio.current_time() >= nursery.cancel_scope.deadline:
        raise trio.TooSlowError


def ended(end: End) -> tuple[str, str]:
    """(side, cause)."""
    return str(end.side), str(end.cause)
