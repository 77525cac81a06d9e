"""Two routers, one after the other, in front of the same replicas: who comes back lands where he was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio_websocket import wrap_client_stream

from tests.scheduling.real import Viewer, eventually, routing, start_replica
from trio_router import Router

SECRET = "0123456789abcdef"


@asynccontextmanager
async def visiting(
    router: Router, *, query: str = "", cookie: str | None = None
) -> AsyncIterator[tuple[Viewer, str | None]]:
    """A client that sends a cookie; and the one that it was handed."""
    stream = await trio.open_tcp_stream("127.0.0.1", router.port or 0)
    headers = [(b"cookie", cookie.encode())] if cookie else []
    async with stream, trio.open_nursery() as nursery:
        socket = await wrap_client_stream(nursery, stream, "router", f"/v1/stream?{query}", extra_headers=headers)
        given = dict(socket.handshake_headers).get(b"set-cookie")
        yield Viewer(socket), given.decode().partition(";")[0] if given else None
        nursery.cancel_scope.cancel()


async def entry(router: Router, **asked: Any) -> tuple[str, str | None]:
    """Come, be served, go. Who served, and the cookie."""
    async with visiting(router, **asked) as (viewer, cookie):
        assert await viewer.join()
        assert viewer.replica is not None
    await eventually(lambda: not router.services.session_table.open)
    await eventually(lambda: all(replica.taken == 0 for replica in router.registry.replicas))
    return viewer.replica, cookie


async def test_hash_and_cookies_survive_a_restart_of_the_router(nursery: trio.Nursery) -> None:
    urls = [(await start_replica(nursery, f"r{n}"))[0] for n in range(6)]
    hashed: dict[str, Any] = {"balance": "hash", "affinity": {"keys": ("query:user",)}}
    names = [f"user={n}" for n in range(10)]
    homes = []
    for _ in range(2):
        async with routing(*urls, **hashed) as router:
            homes.append([(await entry(router, query=name))[0] for name in names])
    assert homes[0] == homes[1]
    assert len(set(homes[0])) > 1

    signed: dict[str, Any] = {"affinity": {"cookie": "route", "secret": SECRET}}
    async with routing(*urls, **signed) as router:
        given = [await entry(router) for _ in range(6)]
    async with routing(*urls, **signed) as router:
        for replica, cookie in given:
            assert (await entry(router, cookie=cookie))[0] == replica
    nursery.cancel_scope.cancel()
