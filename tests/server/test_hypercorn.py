"""The second door: hypercorn's own command serves the pages, the stream listens beside it, both end together."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.process import Running, config_file, process


@contextlib.asynccontextmanager
async def hypercorn(folder: Path, url: str, **block: object) -> AsyncIterator[tuple[Running, int, int]]:
    """hypercorn's process, its own port, and the stream's."""
    environ = {"TRIO_ROUTER_CONFIG": str(config_file(folder, url, **block))}
    async with process(*COMMAND, environ=environ) as server:
        stream_port: int = (await server.event("router is listening"))["port"]
        await server.event("replica is healthy")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", await server.line("Running on"))
        assert found is not None
        yield server, int(found[1]), stream_port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_pages_stream_and_shutdown(tmp_path: Path, number: signal.Signals) -> None:
    shutdown = {"drain_seconds": 0.3, "spread_seconds": 0.2}
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, hypercorn(tmp_path, back.url, shutdown=shutdown) as (server, port, stream_port):
            assert port != stream_port
            async with viewer(stream_port) as client:
                end = await back.accepted()
                await client.send("hello")
                assert await end.recv() == "hello"
                async with httpx.AsyncClient(trust_env=False) as http:
                    for one in (port, stream_port):
                        status = (await http.get(f"http://127.0.0.1:{one}/status")).json()
                        assert status["router"]["open_sessions"] == 1
                        assert status["replicas"][0]["status"] == "healthy"
                        assert (await http.get(f"http://127.0.0.1:{one}/readyz")).status_code == 200
                server.signal(number)
                assert await client.ended() == (1012, "router is restarting")
                assert await end.ended() == (1001, "router is restarting")
            assert await server.exit_status() == 0
            assert not [line for line in server.lines if "Traceback" in line]


COMMAND = ("-m", "hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0", "trio_router.asgi:app")


async def failed_start(environ: dict[str, str]) -> list[str]:
    """What a start says that comes to nothing. hypercorn 0.18 forgets its worker's exit status, so that is not asked."""
    with trio.fail_after(BOUND_SECONDS):
        async with process(*COMMAND, environ=environ) as server:
            await server.exit_status()
    return server.lines


async def test_wrong_configuration_is_said_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("router: {replicas: [], prot: 1}\n")
    lines = await failed_start({"TRIO_ROUTER_CONFIG": str(path)})
    assert not [line for line in lines if "Traceback" in line], lines
    assert [line for line in lines if "router.prot" in line], lines
    assert [line for line in lines if "router.replicas" in line], lines


async def test_taken_stream_port_is_no_half_start(tmp_path: Path) -> None:
    """hypercorn goes on without an app that fails in its lifespan, unless it is told properly."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = config_file(tmp_path, "http://127.0.0.1:1", port=taken.getsockname()[1])
        lines = await failed_start({"TRIO_ROUTER_CONFIG": str(path)})
    assert [line for line in lines if "Address already in use" in line], lines


async def test_no_configuration_is_said() -> None:
    lines = await failed_start({"TRIO_ROUTER_CONFIG": ""})
    assert [line for line in lines if "name a file in TRIO_ROUTER_CONFIG" in line], lines
