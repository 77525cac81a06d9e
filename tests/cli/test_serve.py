"""The first door: ``trio-router serve``, really started, signalled and looked at from outside."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from tests.server.peers import BOUND_SECONDS, Closed, Peer, replica, viewer
from tests.server.process import router_process
from tests.server.raw import END, dialled, upgrade_request

STOPS = [signal.SIGTERM, signal.SIGINT]


@contextlib.asynccontextmanager
async def three_sessions(port: int) -> AsyncIterator[list[Peer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(viewer(port)) for _ in range(3)]


async def readiness(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code


async def closes_of(clients: list[Peer]) -> list[Closed]:
    """How each was closed, waited for side by side."""
    heard: list[Closed] = []

    async def wait(client: Peer) -> None:
        heard.append(await client.ended())

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(wait, client)
    return heard


@pytest.mark.parametrize("number", STOPS)
async def test_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    shutdown = {"drain_seconds": 1.0, "spread_seconds": 0.2}
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url, shutdown=shutdown) as (router, port):
            async with three_sessions(port) as clients:
                servers = [await back.accepted() for _ in clients]
                assert await readiness(port) == 200
                drained_at = trio.current_time()
                router.signal(number)
                await router.event("router is draining")
                assert await readiness(port) == 503
                async with dialled(port) as late:
                    await late.send(upgrade_request())
                    answer = await late.until(END)
                    assert answer.startswith(b"HTTP/1.1 503 ")
                    assert b"retry-after" in answer.lower()
                for client, server in zip(clients, servers, strict=True):  # nobody is cut yet
                    await client.ping(b"still there")
                    await server.send("still here")
                    assert await client.recv() == "still here"
                assert await closes_of(clients) == [(1012, "router is restarting")] * 3
                assert trio.current_time() - drained_at >= 1.0
                assert await closes_of(servers) == [(1001, "router is restarting")] * 3
            assert await router.exit_status() == 0
            assert not [line for line in router.lines if "Traceback" in line]


async def test_drain_ends_early_when_the_last_session_does(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with (
            replica() as back,
            router_process(tmp_path, back.url, shutdown={"drain_seconds": 3600}) as (router, port),
        ):
            async with viewer(port) as client:
                router.signal(signal.SIGTERM)
                await router.event("router is draining")
                await client.close(1000)
            assert await router.exit_status() == 0


@pytest.mark.parametrize("number", STOPS)
async def test_signal_without_sessions_ends(tmp_path: Path, number: signal.Signals) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url) as (router, _):
            router.signal(number)
            assert await router.exit_status() == 0


@pytest.mark.parametrize("number", STOPS)
async def test_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with (
            replica() as back,
            router_process(tmp_path, back.url, shutdown={"drain_seconds": 3600}) as (router, port),
        ):
            async with three_sessions(port) as clients:
                router.signal(signal.SIGTERM)
                await router.event("router is draining")
                router.signal(number)
                heard = await closes_of(clients)
                assert {code for code, _ in heard} <= {1001, 1006, 1012}
            await router.exit_status()
            assert not [line for line in router.lines if "Traceback" in line]


async def test_one_line_when_a_session_opens_and_one_when_it_ends(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url) as (router, port):
            async with viewer(port) as client:
                await client.send("hello")
                server = await back.accepted()
                await server.send("hello yourself")
                await client.recv()
                await client.close(4001, "quota")
            ended = await router.event("session ended")
            opened = await router.event("session opened")
            assert opened["session"] == ended["session"]
            expected = {
                "client": "127.0.0.1",
                "replica": back.url.removeprefix("http://"),
                "ended_by": "client",
                "phase": "streaming",
                "cause": "closed",
                "close_from_client": "4001 quota",
                "close_to_replica": "4001 quota",
                "close_from_replica": "4001 quota",
                "close_to_client": "4001 quota",
                "messages_up": 1,
                "messages_down": 1,
            }
            assert {key: ended[key] for key in expected} == expected
            assert ended["bytes_up"] > 0
            assert ended["seconds"] >= 0
            assert all(json.loads(line) for line in router.lines), "JSON where there is no terminal"
