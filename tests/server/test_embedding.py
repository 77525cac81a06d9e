"""The third door: a router inside somebody's own Trio program; leaving it leaves nothing behind."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import httpx
import psutil
import pytest
import trio
from quart import Blueprint

from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.process import process
from tests.server.router import config_for, eventually, get, running, session
from trio_router import Events, Router, open_router, serve_router
from trio_router import Replica as BackEnd


def open_files() -> int:
    found: int = psutil.Process().num_fds()
    return found


def refuses(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port or 0)) != 0


async def test_nursery_start_gives_a_router_that_listens() -> None:
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with trio.open_nursery() as nursery:
                router = await nursery.start(serve_router, config_for(back.url))
                assert isinstance(router, Router)
                assert router.port
                await eventually(lambda: router.ready()[0])
                async with session(router, back) as (client, server):
                    await client.send("hello")
                    assert await server.recv() == "hello"
                    nursery.cancel_scope.cancel()
        assert refuses(router.port)


async def test_cancelling_with_open_sessions_leaves_nothing() -> None:
    async with replica() as back, contextlib.AsyncExitStack() as clients:
        await trio.to_thread.run_sync(lambda: httpx.get(back.url + "/health"))  # its thread has opened all it opens
        await trio.testing.wait_all_tasks_blocked()
        files, tasks = open_files(), trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config_for(back.url)) as router:
                await eventually(lambda: router.ready()[0])
                ends = []
                for _ in range(5):
                    client = await clients.enter_async_context(viewer(router.port))
                    server = await back.accepted()
                    await client.send("hello")
                    await server.recv()
                    ends += [client, server]
                assert len(router.services.session_table.open) == 5
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert len(router.services.session_table.open) == 0
        assert [found.held for found in router.registry.replicas] == [0]
        assert router.services.poller.waiting == 0
        heard = [await end.ended() for end in ends]
        assert set(heard) <= {(1001, "router is stopping"), (1006, "")}, "cut at once, but told if there was time"
        for end in ends:
            end.ws.close_socket()
        await eventually(lambda: open_files() <= files)


async def test_error_in_the_block_is_the_callers_own() -> None:
    async with replica() as back:
        with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="mine"), flatten_subgroups=True):
            async with open_router(config_for(back.url)):
                raise LookupError("mine")


async def test_port_in_use_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = config_for("http://127.0.0.1:1", port=taken.getsockname()[1])
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="in use"), flatten_subgroups=True):
            async with open_router(config):
                pytest.fail("it cannot have started")


async def test_drain_from_python() -> None:
    shutdown = {"drain_seconds": 0.2, "spread_seconds": 0}
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with trio.open_nursery() as nursery:
                router: Router = await nursery.start(serve_router, config_for(back.url, shutdown=shutdown))
                await eventually(lambda: router.ready()[0])
                async with session(router, back) as (client, server):
                    router.drain()
                    assert await client.ended() == (1012, "router is restarting")
                    assert (await server.ended())[0] == 1001
            assert refuses(router.port), "serve_router has returned by itself"


async def test_two_routers_in_one_program() -> None:
    async with replica() as back, running(back.url) as one, running(back.url) as two:
        assert one.port != two.port
        async with session(one, back) as (a, a_end), session(two, back) as (b, b_end):
            await a.send("to one")
            await b.send("to two")
            assert await a_end.recv() == "to one"
            assert await b_end.recv() == "to two"
            assert [len(router.services.session_table.open) for router in (one, two)] == [1, 1]


async def test_pages_of_the_embedder() -> None:
    mine = Blueprint("mine", __name__)

    @mine.get("/mine")
    async def page() -> dict[str, str]:
        return {"it": "is mine"}

    with trio.fail_after(BOUND_SECONDS):
        async with open_router(config_for("http://127.0.0.1:1"), blueprints=[mine]) as router:
            assert (await get(router, "/mine")).json() == {"it": "is mine"}


async def test_sinks_of_the_embedder_are_told_of_replicas_and_one_that_raises_disturbs_nobody() -> None:
    class Broken(Events):
        def replica_changed(self, replica: BackEnd, error: str | None) -> None:
            raise ValueError("the embedder's bug")

    class Sink(Events):
        told: tuple[str, ...] = ()

        def replica_changed(self, replica: BackEnd, error: str | None) -> None:
            self.told += (f"{replica.url} is {replica.health.status}",)

    sink = Sink()
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config_for(back.url), events=[Broken(), sink]) as router:
                await eventually(lambda: router.ready()[0])
                async with session(router, back):
                    pass
    assert sink.told == (f"{back.url} is healthy",)


PROGRAM = """
import trio, sys
from trio_router import ReplicaEndpoint, RouterConfig, open_router

async def main():
    before = trio.lowlevel.current_statistics().tasks_living
    config = RouterConfig(host="127.0.0.1", port=0, replicas=[ReplicaEndpoint(sys.argv[1])])
    async with open_router(config) as router:
        print("port", router.port, flush=True)
        with trio.move_on_after(0.1):
            await trio.sleep_forever()
    print("left", trio.lowlevel.current_statistics().tasks_living - before, flush=True)

trio.run(main)
"""


async def test_a_program_of_its_own_ends_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, process("-X", "dev", "-W", "error", str(path), back.url) as program:
            await program.line("left 0")
            assert await program.exit_status() == 0
    assert not [line for line in program.lines if "Warning" in line or "Traceback" in line], program.lines
