"""A replica on uvicorn, which is what FastVideo's run on: its limits, its pings and its refusals as the client sees them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from websockets.exceptions import InvalidStatus

from tests.server.peers import BOUND_SECONDS, viewer
from tests.server.process import router_process, script
from tests.server.router import eventually, running

MIB = 1024 * 1024


async def test_replica_on_uvicorn(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with script("server_uvicorn.py") as (_, url), router_process(tmp_path, url) as (_router, port):
            async with viewer(port) as client:
                large = os.urandom(15 * MIB)
                await client.send(large)
                assert await client.recv() == large
                await client.send(os.urandom(17 * MIB))
                assert (await client.ended())[0] == 1009, "its own limit is 16 MiB; the router's is higher"
            async with viewer(port) as client:
                await client.send("close 4001 quota")
                assert await client.ended() == (4001, "quota")
            async with viewer(port) as client:
                assert await client.close(4123, "bye") == (4123, "bye")
            with pytest.raises(InvalidStatus) as caught:
                async with viewer(port, path="/v1/stream?refuse"):
                    pass
            assert caught.value.response.status_code == 403


async def test_its_pings_are_answered_by_the_client() -> None:
    """uvicorn drops a connection whose pong is 0.2 s late here; through the router it lives as long as the client does."""
    async with (
        script("server_uvicorn.py") as (_, url),
        running(url) as router,
        viewer(router.port) as client,
    ):
        found = next(iter(router.services.session_table))
        await eventually(lambda: min(flow.frames for flow in found.traffic()) >= 5)  # its pings, and their pongs
        await client.send("still here")
        assert await client.recv() == "still here"
