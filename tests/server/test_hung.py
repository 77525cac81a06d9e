"""Who is slow stays, who is stuck does not; and many ends at once keep nobody else waiting."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from websockets.frames import Opcode

from tests.server.peers import viewer
from tests.server.process import demo_replica, script
from tests.server.raw import END, Raw, frame, upgrade_request, upgraded
from tests.server.router import all_closed, is_healthy, outcomes, running
from tests.server.talk import last_words, open_session, say
from trio_router import Router

SESSIONS = 500


async def test_a_viewer_is_told_that_its_replica_hangs_as_soon_as_the_probes_have_shown_it() -> None:
    """Long before ``dead_peer_seconds``: the test is bounded by a third of them."""
    probes: dict[str, Any] = {"health_check_interval_seconds": 0.1, "health_check_timeout_seconds": 0.3}
    async with (
        demo_replica("--step-seconds", "30") as (hung, url),
        running(url, dialect="fastvideo", timeouts={"suspect_seconds": 0.5}, **probes) as router,
        viewer(router.port) as client,
    ):
        await open_session(client)
        await say(client, "segment_prompt_source", prompt="a fox")
        hung.signal(signal.SIGSTOP)
        words, closed = await last_words(client)
        assert not is_healthy(router, 0), "the probes come first"
        assert (words[-1]["code"], words[-1]["retryable"]) == ("worker_failed", True)
        assert closed == (1011, "worker_failed")
        await all_closed(router)
        assert outcomes(router) == {"replica.streaming.dead": 1}


async def test_a_client_that_reads_steadily_but_slowly_stays_and_one_that_stops_is_cut() -> None:
    """It answers no ping: that lies behind all that it has not read."""
    timeouts = {"slow_seconds": 1.5, "dead_peer_seconds": 2.0, "ping_interval_seconds": 0.5, "close_seconds": 0.5}
    async with script("server_echo.py") as (_, url), running(url, timeouts=timeouts) as router:
        client = await pushed_at(router)
        began = trio.current_time()
        while trio.current_time() < began + 2 * timeouts["dead_peer_seconds"]:
            await client.stream.receive_some(20_000)
            await trio.sleep(0.05)  # the reader's pace, 400 kB/s; nothing else depends on it
        assert outcomes(router) == {}
        await all_closed(router)  # it reads nothing any more
        (label,) = outcomes(router)
        assert label in ("client.opening.slow", "client.streaming.slow", "client.streaming.dead")
        await client.stream.aclose()


async def pushed_at(router: Router) -> Raw:
    """A client with a small window, to whom 500 MB are being pushed."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    await sock.connect(("127.0.0.1", router.port))
    client = Raw(trio.SocketStream(sock))
    await client.send(upgrade_request())
    assert (await client.until(END)).startswith(b"HTTP/1.1 101 ")
    await client.send(frame(Opcode.TEXT, b"push 8000 65536", mask=True))
    return client


@pytest.fixture
def many_files() -> Iterator[None]:
    """Three descriptors a session."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * SESSIONS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} files may be open here")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_when_many_sessions_end_at_once_others_are_served_between_the_ends() -> None:
    """Their clients reset. What is counted is how many sessions were left whenever an echo came back."""
    async with (
        script("server_echo.py") as (_, url),
        running(url) as router,
        contextlib.AsyncExitStack() as stack,
    ):
        open_sessions = router.services.session_table.open
        clients = [(await stack.enter_async_context(upgraded(router.port)))[0] for _ in range(SESSIONS)]
        bystander, _ = await stack.enter_async_context(upgraded(router.port))
        await echo(bystander)
        for client in clients:
            client.reset()
        left: list[int] = []
        while len(open_sessions) > 1:
            await echo(bystander)
            left.append(len(open_sessions) - 1)
        between = {count for count in left if 0 < count < SESSIONS}
        assert len(between) >= 5, left
        await echo(bystander)


async def echo(client: Raw) -> None:
    await client.send(frame(Opcode.TEXT, b"hello", mask=True))
    expected = frame(Opcode.TEXT, b"hello", mask=False)
    assert await client.exactly(len(expected)) == expected
