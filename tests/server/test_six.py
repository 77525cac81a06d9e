"""More clients than two one-session replicas have room for: nobody is sent away while a replica is idle."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trio

from tests.server.peers import BOUND_SECONDS, Peer, viewer
from tests.server.process import demo_replica, router_process
from tests.server.talk import Message, admitted, last_words, say


@contextlib.asynccontextmanager
async def six_viewers(port: int) -> AsyncIterator[list[Peer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(viewer(port)) for _ in range(6)]


async def test_six_clients_two_replicas_and_no_line(tmp_path: Path) -> None:
    """Two are served, one on each; nobody is sent away while a replica is idle."""
    answers: dict[Peer, Message | None] = {}

    async def ask(client: Peer) -> None:
        answers[client] = await admitted(client)

    with trio.fail_after(BOUND_SECONDS):
        async with demo_replica("--name", "one") as (_, url_one), demo_replica("--name", "two") as (_, url_two):
            block: dict[str, Any] = {"dialect": "fastvideo", "queue": {"length": 0}}
            async with (
                router_process(tmp_path, url_one, url_two, **block) as (_, port),
                six_viewers(port) as clients,
                trio.open_nursery() as nursery,
            ):
                for client in clients:
                    nursery.start_soon(ask, client)
    served = [answer["replica"] for answer in answers.values() if answer is not None]
    assert sorted(served) == ["one", "two"]
    assert [client.heard[0] for client, answer in answers.items() if answer is None] == [1013] * 4


async def test_refused_for_want_of_room_hears_a_retryable_error(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with (
            demo_replica() as (_, url),
            router_process(tmp_path, url, dialect="fastvideo", queue={"length": 0}) as (_, port),
            viewer(port) as one,
            viewer(port) as two,
        ):
            assert await admitted(one) is not None
            await say(two, "session_init_v2")
            words, closed = await last_words(two)
            assert closed[0] == 1013
            assert [(word["code"], word["retryable"]) for word in words] == [("gpu_unavailable", True)]


async def test_six_clients_two_replicas_and_a_line(tmp_path: Path) -> None:
    """With the wait queue all six are served, two at a time."""
    served: list[str] = []

    async def stay_a_moment(client: Peer) -> None:
        answer = await admitted(client)
        assert answer is not None
        served.append(answer["replica"])
        await client.close(1000)

    with trio.fail_after(BOUND_SECONDS):
        async with demo_replica("--name", "one") as (_, url_one), demo_replica("--name", "two") as (_, url_two):
            block: dict[str, Any] = {"dialect": "fastvideo"}
            async with (
                router_process(tmp_path, url_one, url_two, **block) as (_, port),
                six_viewers(port) as clients,
                trio.open_nursery() as nursery,
            ):
                for client in clients:
                    nursery.start_soon(stay_a_moment, client)
    assert len(served) == 6
    assert set(served) == {"one", "two"}
