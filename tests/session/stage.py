"""Whole sessions on virtual time: the real admission, placement, relay and registry between memory streams.

Only the sockets are played: `Stage.client` is a client's far end, `Actor` a replica that the dialler reaches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from tests.session.ends import ASSIGNED, INIT, FarEnd, Message
from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.dialects import Dialect
from trio_router.core.errors import DialError
from trio_router.core.http.head import RequestHead, parse_head
from trio_router.core.http.upgrade import Upgrade
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica, Report
from trio_router.core.session.outcome import Outcome, Side
from trio_router.http.handshake import HeadStream
from trio_router.net.connection import StreamConnection
from trio_router.replicas.connector import Connected
from trio_router.session.context import Services, make_services
from trio_router.session.session import Arrival, Session


class Actor:
    """A replica, as the dialler meets it. `refuse` makes the next dials fail; `accepted` gives the others in order."""

    def __init__(self, record: Replica) -> None:
        self.record = record
        self.dials: list[float] = []
        self._answers: list[DialError] = []
        self._answer: DialError | None = None
        self.held_up: trio.Event | None = None  # dials wait for it, if there is one
        self._send, self._receive = trio.open_memory_channel[FarEnd](1000)

    def refuse(self, *errors: DialError) -> None:
        self._answers += errors

    def answer_all(self, error: DialError | None) -> None:
        """Fail every dial like this from now on; None: accept again."""
        self._answer = error

    async def accepted(self) -> FarEnd:
        """The next session that was dialled here."""
        return await self._receive.receive()

    @property
    def unseen(self) -> int:
        """Sessions that were dialled here and nobody has looked at."""
        return self._receive.statistics().current_buffer_used

    async def admit(self, said: Message = INIT) -> FarEnd:
        """Accept the next session, hear what it says, and commit to it."""
        far = await self.accepted()
        await far.hears(said)
        await far.say(ASSIGNED)
        return far

    def dialled(self) -> Connected:
        self.dials.append(trio.current_time())
        if self._answers:
            raise self._answers.pop(0)
        if self._answer is not None:
            raise self._answer
        near, far = trio.testing.memory_stream_pair()
        self._send.send_nowait(FarEnd(far, masks=False))
        return Connected(StreamConnection(near, Side.REPLICA), None, [])


class _Connector:
    def __init__(self, actors: dict[str, Actor]) -> None:
        self._actors = actors

    async def connect(self, endpoint: ReplicaEndpoint, upgrade: Upgrade) -> Connected:
        await trio.lowlevel.checkpoint()
        actor = self._actors[endpoint.url]
        if actor.held_up is not None:
            await actor.held_up.wait()
        return actor.dialled()


class Stage:
    """A router without sockets and probes. ``actors`` in the order of the configuration."""

    def __init__(
        self, config: RouterConfig, nursery: trio.Nursery, dialects: Mapping[str, Dialect] | None = None
    ) -> None:
        services = make_services(config, dialects=dialects)
        self.config = config
        self.actors = [Actor(replica) for replica in services.registry.replicas]
        connector: Any = _Connector({actor.record.url: actor for actor in self.actors})
        self.services: Services = dataclasses.replace(services, connector=connector)
        self.nursery = nursery
        self.sessions: list[Session] = []

    @property
    def registry(self) -> ReplicaRegistry:
        return self.services.registry

    def report(self, actor: Actor, *, good: bool = True, **said: Any) -> None:
        """One probe of a replica, now. ``said`` are the fields of its report."""
        now = trio.current_time()
        if not good:
            self.registry.probe_failed(actor.record, "timeout", now=now)
            return
        report = Report(now, **said) if said else None
        self.registry.probe_succeeded(actor.record, latency_ms=1.0, wall=now, now=now, report=report)

    async def come(
        self, *, address: str = "10.0.0.1", target: str = "/v1/stream", **headers: str
    ) -> tuple[FarEnd, bytes]:
        """A client connects. Returns its end and the head of the router's answer."""
        near, far = trio.testing.memory_stream_pair()
        lines = [f"GET {target} HTTP/1.1", "host: router", "connection: upgrade", "upgrade: websocket"]
        lines += ["sec-websocket-version: 13", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await far.send_all("\r\n".join([*lines, "", ""]).encode())
        head = HeadStream(near, limit=10_000)
        request = parse_head(await head.read_head())
        assert isinstance(request, RequestHead)
        stream = next(stream for stream in self.config.streams if stream.path == request.path)
        session = Session(self.services, Arrival(near, head, request, address, "http"), stream)
        self.sessions.append(session)
        self.nursery.start_soon(session.run)
        client = FarEnd(far, masks=True)
        return client, await client.read_head()

    async def client(self, said: Message | str | None = INIT, **request: str) -> FarEnd:
        """A client connects and says its first words."""
        client, head = await self.come(**request)
        assert head.startswith(b"HTTP/1.1 101 ")
        if said is not None:
            await client.say(said)
        await self.settled()  # or those who come next might overtake it
        return client

    async def served(self, actor: Actor, **request: str) -> tuple[FarEnd, FarEnd]:
        """A client and its replica's end, past the commit point."""
        client = await self.client(**request)
        replica = await actor.admit()
        await client.hears(ASSIGNED)
        return client, replica

    async def settled(self) -> None:
        """Until every task waits for something, at this very instant."""
        await trio.testing.wait_all_tasks_blocked()

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, outcome in self.services.session_table.recent]

    def at_rest(self) -> bool:
        """Nothing is held, waited for or open."""
        taken = any(replica.held for replica in self.registry.replicas)
        held = self.services.relay_parts.unplaced.held
        return not (taken or held or len(self.services.admission.queue) or self.services.session_table.open)


@asynccontextmanager
async def staged(
    replicas: int | Sequence[ReplicaEndpoint] = 1,
    *,
    healthy: bool = True,
    dialects: Mapping[str, Dialect] | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """A stage with replicas ``http://r0`` … of one session each; ends all that runs on it, and all must be given back."""
    endpoints = (
        replicas if isinstance(replicas, Sequence) else [ReplicaEndpoint(f"http://r{i}") for i in range(replicas)]
    )
    config = RouterConfig(replicas=tuple(endpoints), **settings)
    async with trio.open_nursery() as nursery:
        stage = Stage(config, nursery, dialects)
        # In virtual time nothing takes so long: what hangs fails at once.
        with stage.services.poller, trio.fail_after(10_000):
            nursery.start_soon(stage.services.timers.run)
            nursery.start_soon(stage.services.admission.run)
            if healthy:
                for actor in stage.actors:
                    stage.report(actor)
            yield stage
            nursery.cancel_scope.cancel()
    assert stage.at_rest(), stage.registry
