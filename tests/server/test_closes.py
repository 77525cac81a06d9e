"""Close codes and reasons go through as they are, whoever closes; a connection that vanishes becomes the close that says so."""

from __future__ import annotations

import pytest

from tests.server.peers import Closed, replica
from tests.server.router import all_closed, outcomes, running, session

CLOSES: list[Closed] = [
    (1000, ""),
    (1000, "thank you"),
    (1001, "tab closed"),
    (1003, "no such preset"),
    (1011, "out of memory"),
    (1013, "come back later"),
    (4001, "quota ✓"),
    (4999, "x" * 123),
]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_close_of_client_reaches_replica(code: int, reason: str) -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.send("hello")
        assert await server.recv() == "hello"
        assert await client.close(code, reason) == (code, reason)
        assert await server.ended() == (code, reason)
        await all_closed(router)
        assert outcomes(router) == {"client.opening.closed": 1}


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_close_of_replica_reaches_client(code: int, reason: str) -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await server.send("hello")  # the commit point: before it a 1013 would move the session elsewhere
        assert await client.recv() == "hello"
        assert await server.close(code, reason) == (code, reason)
        assert await client.ended() == (code, reason)
        await all_closed(router)
        assert outcomes(router) == {"replica.streaming.closed": 1}


async def test_empty_close_of_client() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        assert await client.close_empty() == (1005, "")
        assert await server.ended() == (1005, "")


async def test_empty_close_of_replica() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        assert await server.close_empty() == (1005, "")
        assert await client.ended() == (1005, "")


async def test_messages_before_a_close_are_not_lost() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        for number in range(100):
            await server.send(f"message {number}")
        await server.close(4001, "done")
        messages, closed = await client.rest()
        assert messages == [f"message {number}" for number in range(100)]
        assert closed == (4001, "done")


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
async def test_vanished_client_frees_the_replica(reset: bool) -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await server.send("hello")
        assert await client.recv() == "hello"
        client.vanish(reset=reset)
        assert await server.ended() == (1001, "client is gone")
        await all_closed(router)
        assert outcomes(router) == {"client.streaming.vanished": 1}


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
async def test_vanished_replica_is_1011_for_the_client(reset: bool) -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await server.send("hello")
        assert await client.recv() == "hello"
        server.vanish(reset=reset)
        assert await client.rest() == ([], (1011, "worker_failed"))  # opaque: no error frame
        await all_closed(router)
        assert outcomes(router) == {"replica.streaming.vanished": 1}
