"""The router under test, inside the test's own Trio."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import trio

from tests.server.peers import BOUND_SECONDS, Peer, Replica, viewer
from trio_router import ReplicaEndpoint, ReplicaStatus, Router, RouterConfig, open_router
from trio_router.replicas.probes import HttpGet


def config_for(*urls: str, **settings: Any) -> RouterConfig:
    """Opaque unless told otherwise, on a free port of the loopback."""
    endpoints = tuple(ReplicaEndpoint(url) for url in urls)
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "dialect": "opaque"}
    return RouterConfig(**({"replicas": endpoints} | defaults | settings))


@contextlib.asynccontextmanager
async def running(
    *urls: str, healthy: bool = True, http_get: HttpGet | None = None, **settings: Any
) -> AsyncIterator[Router]:
    """A running router, for at most `BOUND_SECONDS`; begins when all its replicas are healthy, if ``healthy``."""
    with trio.fail_after(BOUND_SECONDS):
        async with open_router(config_for(*urls, **settings), http_get=http_get) as router:
            if healthy:
                await eventually(lambda: all(is_healthy(router, i) for i in range(len(router.registry.replicas))))
            yield router


def is_healthy(router: Router, index: int) -> bool:
    return router.registry.replicas[index].health.status is ReplicaStatus.HEALTHY


async def eventually(check: Callable[[], bool]) -> None:
    """Until it is so. What is waited for is told by no event, and nothing depends on how often it is asked."""
    with trio.fail_after(BOUND_SECONDS):
        while not check():  # noqa: ASYNC110  # see above
            await trio.sleep(0.002)


def outcomes(router: Router) -> dict[str, int]:
    """Ended sessions by ``side.phase.cause``."""
    return dict(router.services.session_table.outcomes)


async def all_closed(router: Router) -> None:
    await eventually(lambda: not router.services.session_table.open)


@contextlib.asynccontextmanager
async def session(router: Router, back: Replica, **options: Any) -> AsyncIterator[tuple[Peer, Peer]]:
    """(client, replica), connected through the router (opaque: the replica's end exists at once)."""
    async with viewer(router.port, **options) as client:
        yield client, await back.accepted()


async def get(router: Router, path: str, *, port: int | None = None, **options: Any) -> httpx.Response:
    """One request to the router's own pages."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://127.0.0.1:{port or router.port}{path}", **options)


async def always_well(url: str, *, timeout: float) -> tuple[float | None, str | None]:
    """An ``http_get`` for replicas that are believed to be healthy, whatever they are."""
    return 1.0, None


@contextlib.contextmanager
def refusing_port() -> Iterator[str]:
    """The URL of a port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
