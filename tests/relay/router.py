"""A router, or one session of it, on real loopback sockets; replicas whose far ends a test plays itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode
from websockets.utils import accept_key

from tests.relay.far import ASSIGNED, INIT, FarEnd
from trio_router import ReplicaEndpoint, ReplicaRegistry, Router, RouterConfig, open_router

#: Far above what anything here needs: it turns a hang into a failure.
BOUND_SECONDS = 20.0
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: router.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def read_head(stream: trio.abc.Stream) -> bytes:
    """Up to the empty line, byte by byte so that nothing behind it is lost; shorter if the stream ends."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = bytes(await stream.receive_some(1))
        if not byte:
            return head
        head += byte
    return head


class Replicas:
    """Servers that answer upgrades; their far ends come out of `accepted`, in order."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._ends: list[trio.SocketStream] = []
        self._send, self._receive = trio.open_memory_channel[FarEnd](100)

    async def accepted(self) -> FarEnd:
        return await self._receive.receive()

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        """Another replica."""
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        async with trio.open_nursery() as nursery, listener:
            self.urls.append(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
            task_status.started()
            while True:
                nursery.start_soon(self._greet, await listener.accept())

    async def _greet(self, stream: trio.SocketStream) -> None:
        self._ends.append(stream)
        try:
            head = await read_head(stream)
            key = next(
                line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
            )
            await stream.send_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
            )
        except (trio.BrokenResourceError, StopIteration):
            return  # the router hung up
        self._send.send_nowait(FarEnd(stream, masks=False))

    async def forget(self) -> None:
        """Close what was accepted, and what still will be of the dials that were made."""
        await wait_all_tasks_blocked()
        for stream in self._ends:
            await trio.aclose_forcefully(stream)
        self._ends.clear()
        while self._receive.statistics().current_buffer_used:
            self._receive.receive_nowait()


@asynccontextmanager
async def replica_servers(count: int) -> AsyncIterator[Replicas]:
    """Run them."""
    replicas = Replicas()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(replicas.serve)
        yield replicas
        await replicas.forget()
        nursery.cancel_scope.cancel()


def config_for(replicas: Replicas, **settings: Any) -> RouterConfig:
    """On a free port of the loopback."""
    endpoints = tuple(map(ReplicaEndpoint, replicas.urls))
    return RouterConfig(**({"host": "127.0.0.1", "port": 0, "replicas": endpoints} | settings))


def healthy(config: RouterConfig) -> ReplicaRegistry:
    """A registry that has heard of all its replicas already."""
    registry = ReplicaRegistry(config)
    for replica in registry.replicas:
        registry.probe_succeeded(replica, latency_ms=1.0, wall=0.0, now=trio.current_time())
    return registry


async def well(url: str, *, timeout: float) -> tuple[float | None, str | None]:
    """An ``http_get`` without a network."""
    return 1.0, None


class Stage:
    """A running router."""

    def __init__(self, router: Router, replicas: Replicas) -> None:
        self.router = router
        self.replicas = replicas
        self._clients: list[trio.SocketStream] = []

    async def connection(self) -> trio.SocketStream:
        """Any connection to the router's port; closed with the stage."""
        self._clients.append(await trio.open_tcp_stream("127.0.0.1", self.router.port or 0))
        return self._clients[-1]

    async def forget(self) -> None:
        """Close all clients."""
        for stream in self._clients:
            await trio.aclose_forcefully(stream)

    async def client(self, *, behind: bytes = b"") -> FarEnd:
        """A client that was accepted; it sends ``behind`` in one piece with its request."""
        stream = await self.connection()
        await stream.send_all(UPGRADE + behind)
        head = await read_head(stream)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return FarEnd(stream, masks=True)

    async def session(self) -> tuple[FarEnd, FarEnd]:
        """A client and its replica, past the commit point."""
        client = await self.client()
        await client.text(INIT)
        replica = await self.replicas.accepted()
        await replica.hears(Opcode.TEXT, INIT)
        await replica.text(ASSIGNED)
        await client.hears(Opcode.TEXT, ASSIGNED)
        return client, replica

    async def settled(self, *, open_sessions: int) -> None:
        """Until so many sessions are open. No event tells it, and nothing depends on how often it is asked."""
        while len(self.router.services.session_table.open) != open_sessions:  # noqa: ASYNC110
            await trio.sleep(0.002)


@asynccontextmanager
async def staged(replicas: int = 1, *, urls: Sequence[str] = (), **settings: Any) -> AsyncIterator[Stage]:
    """A router in front of healthy replicas, and of what is at ``urls``. It is cancelled before its clients leave."""
    with trio.fail_after(BOUND_SECONDS):
        async with replica_servers(replicas) as servers:
            servers.urls += urls
            config = config_for(servers, **settings)
            async with open_router(config, registry=healthy(config), http_get=well) as router:
                stage = Stage(router, servers)
                yield stage
            await stage.forget()


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
