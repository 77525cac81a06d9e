"""A client that reads slowly, or not at all, while its replica pushes 500 MB: the router's memory stays flat."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import trio
from websockets.frames import Opcode

from tests.server.process import Running, router_process, script
from tests.server.raw import END, Raw, frame, upgrade_request

Record = Callable[[str, object], None]  # pytest's: lands in the JUnit report

FRAME_BYTES = 64 * 1024
FRAMES = 8000  # 500 MiB
#: The session's own bound is `hold_bytes` (1 MiB) and a constant; the rest is for the allocator.
GROWTH_MIB = 8.0


async def push(port: int, frames: int = FRAMES) -> Raw:
    """A client with a small window, to whom the replica has begun to push."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    await sock.connect(("127.0.0.1", port))
    client = Raw(trio.SocketStream(sock))
    await client.send(upgrade_request())
    assert (await client.until(END)).startswith(b"HTTP/1.1 101 ")
    await client.send(frame(Opcode.TEXT, f"push {frames} {FRAME_BYTES}".encode(), mask=True))
    return client


async def warm_up(router: Running, port: int) -> float:
    """Push a little first, so that what is allocated once is there; returns the memory in MiB."""
    client = await push(port, frames=100)
    await client.exactly(100 * (FRAME_BYTES + 10))
    await client.stream.aclose()
    await router.event("session ended")
    return router.rss_mib


async def test_client_that_reads_slowly(tmp_path: Path, record_testsuite_property: Record) -> None:
    with trio.fail_after(60):
        async with script("server_echo.py") as (_, url), router_process(tmp_path, url) as (router, port):
            before = await warm_up(router, port)
            client = await push(port)
            highest, left, reads = before, FRAMES * (FRAME_BYTES + 10), 0
            while left:
                left -= len(await client.stream.receive_some(min(left, 32 * 1024)))
                reads += 1
                if reads % 50 == 0:  # looking costs more than reading: this is what makes it slow
                    highest = max(highest, router.rss_mib)
            await client.stream.aclose()
            ended = await router.event("session ended", count=2)
            assert ended["bytes_down"] >= FRAMES * (FRAME_BYTES + 10)
            record_testsuite_property("slow_reader_growth_mib", round(highest - before, 1))
            assert highest - before < GROWTH_MIB


async def test_client_that_does_not_read(tmp_path: Path, record_testsuite_property: Record) -> None:
    """After ``slow_seconds`` it is given up: the replica is told, so that its GPU is free again."""
    timeouts = {"slow_seconds": 1.5, "close_seconds": 0.5}
    with trio.fail_after(60):
        async with (
            script("server_echo.py") as (replica, url),
            router_process(tmp_path, url, timeouts=timeouts) as (router, port),
        ):
            before = await warm_up(router, port)
            client = await push(port)
            highest = before
            while len([line for line in router.lines if "session ended" in line]) < 2:
                highest = max(highest, router.rss_mib)
                await trio.sleep(0.01)  # the pace of the measurement
            ended = await router.event("session ended", count=2)
            assert (ended["ended_by"], ended["cause"]) == ("client", "slow")
            assert ended["close_to_client"] == "1008 client reads too slowly"
            await replica.line("closed 1001 client is stuck")
            assert ended["bytes_down"] < 64 * 1024 * 1024, "the replica was slowed down too"
            record_testsuite_property("no_reader_growth_mib", round(highest - before, 1))
            assert highest - before < GROWTH_MIB
            await client.stream.aclose()


async def test_stuck_client_harms_no_other(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with script("server_echo.py") as (_, url), router_process(tmp_path, url) as (_, port):
            stuck = await push(port)
            other = await push(port, frames=1000)
            await other.exactly(1000 * (FRAME_BYTES + 10))
            await stuck.stream.aclose()
            await other.stream.aclose()
