"""A thousand sessions open at once through a router process; each still works, and nothing is left when they close."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from websockets.frames import Opcode

from tests.server.process import router_process, script
from tests.server.raw import Raw, frame, upgraded

SESSIONS = 1000


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """The processes that are started inherit it: the router needs two descriptors a session."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * SESSIONS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} files may be open here")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def open_sessions(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        body: dict[str, Any] = (await http.get(f"http://127.0.0.1:{port}/status")).json()
    assert len(body["sessions"]) == body["router"]["open_sessions"] == body["replicas"][0]["open_sessions"]
    return body["replicas"][0]["open_sessions"] or 0


async def echo_once(client: Raw, number: int) -> None:
    message = f"session {number}".encode()
    await client.send(frame(Opcode.TEXT, message, mask=True))
    echo = frame(Opcode.TEXT, message, mask=False)
    assert await client.exactly(len(echo)) == echo


async def close(client: Raw) -> None:
    await client.send(frame(Opcode.CLOSE, b"\x03\xe8", mask=True))
    assert await client.to_the_end() == frame(Opcode.CLOSE, b"\x03\xe8", mask=False)


async def test_a_thousand_sessions_at_once(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with trio.fail_after(90):
        async with script("server_echo.py") as (_, url), router_process(tmp_path, url) as (router, port):
            before = router.rss_mib
            async with contextlib.AsyncExitStack() as stack:
                started = trio.current_time()
                clients = [(await stack.enter_async_context(upgraded(port)))[0] for _ in range(SESSIONS)]
                opened = trio.current_time()
                assert await open_sessions(port) == SESSIONS
                idle = router.rss_mib
                async with trio.open_nursery() as nursery:
                    for number, client in enumerate(clients):
                        nursery.start_soon(echo_once, client, number)
                async with trio.open_nursery() as nursery:
                    for client in clients:
                        nursery.start_soon(close, client)
            await router.event("session ended", count=SESSIONS)
            assert await open_sessions(port) == 0
            kib = (idle - before) * 1024 / SESSIONS
            record_testsuite_property("opened_in_seconds", round(opened - started, 2))
            record_testsuite_property("kib_per_session", round(kib, 1))
            assert kib < 100, "a buffer of its own for each session would show here"
