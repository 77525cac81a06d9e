"""The second door: hypercorn's own command serves the pages, the stream listens beside it, both end together."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio
from real_peers import BOUND_SECONDS, replica, viewer
from real_process import Running, config_file, process


@contextlib.asynccontextmanager
async def hypercorn(folder: Path, url: str, **block: object) -> AsyncIterator[tuple[Running, int, int]]:
    """hypercorn's process, its own port, and the stream's."""
    environ = {"TRIO_ROUTER_CONFIG": str(config_file(folder, url, **block))}
    arguments = ("-m", "hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0", "trio_router.asgi:app")
    async with process(*arguments, environ=environ) as server:
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


async def test_wrong_configuration_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("router: {replicas: [], prot: 1}\n")
    arguments = ("-m", "hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0", "trio_router.asgi:app")
    with trio.fail_after(BOUND_SECONDS):
        async with process(*arguments, environ={"TRIO_ROUTER_CONFIG": str(path)}) as server:
            assert await server.exit_status() != 0
    assert not [line for line in server.lines if "Traceback" in line], server.lines
    assert [line for line in server.lines if "router.prot" in line]
