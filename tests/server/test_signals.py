"""Signals: which kill nobody, how long a drain under hypercorn lasts, and what a second one does there."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import psutil
import pytest
import trio

import trio_router
from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.process import config_file, process, router_process
from tests.server.test_hypercorn import hypercorn

#: Above the five seconds after which quart-trio ends what runs in its nursery.
DRAIN_SECONDS = 7.0
CUSTOMARY = [signal.SIGUSR1]


@pytest.mark.parametrize("number", CUSTOMARY)
async def test_a_customary_signal_ends_no_session(tmp_path: Path, number: signal.Signals) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url) as (router, port):
            async with viewer(port) as client:
                server = await back.accepted()
                for count in (1, 2):
                    router.signal(number)
                    told = await router.event("signal is not supported", count=count)
                    assert (told["signal"], told["level"]) == (number.name, "warning")
                await client.send("hello")
                assert await server.recv() == "hello"
            router.signal(signal.SIGTERM)
            assert await router.exit_status() == 0


def worker_of(parent: int) -> psutil.Process:
    """The process that the app runs in."""
    (found,) = [child for child in psutil.Process(parent).children() if "spawn_main" in " ".join(child.cmdline())]
    return found


async def test_customary_signals_do_not_end_hypercorns_worker(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, hypercorn(tmp_path, back.url) as (server, _, port):
            async with viewer(port) as client:
                end = await back.accepted()
                for count, number in enumerate(CUSTOMARY, 1):
                    worker_of(server.process.pid).send_signal(number)
                    assert (await server.event("signal is not supported", count=count))["signal"] == number.name
                await client.send("hello")
                assert await end.recv() == "hello"
            server.signal(signal.SIGTERM)
            assert await server.exit_status() == 0


async def test_sighup_reloads_hypercorns_worker(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, hypercorn(tmp_path, back.url) as (server, _, port):
            async with viewer(port) as client:
                end = await back.accepted()
                worker_of(server.process.pid).send_signal(signal.SIGHUP)
                told = await server.event("changed by an operator")
                assert (told["by"], told["action"], told["diff"]) == ("SIGHUP", "reloaded", [])
                await client.send("hello")
                assert await end.recv() == "hello"
            server.signal(signal.SIGTERM)
            assert await server.exit_status() == 0


async def test_a_drain_under_hypercorn_lasts_as_long_as_configured(tmp_path: Path) -> None:
    shutdown = {"drain_seconds": DRAIN_SECONDS, "spread_seconds": 0}
    with trio.fail_after(BOUND_SECONDS + DRAIN_SECONDS):
        async with replica() as back, hypercorn(tmp_path, back.url, shutdown=shutdown) as (server, _, port):
            async with viewer(port) as client:
                end = await back.accepted()
                server.signal(signal.SIGTERM)
                await server.event("router is draining")
                begun = trio.current_time()
                assert await client.ended() == (1012, "router is restarting")
                assert await end.ended() == (1001, "router is restarting")
                assert trio.current_time() - begun >= DRAIN_SECONDS - 0.5
            assert await server.exit_status() == 0
            assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.parametrize("to_worker", [False, True])
async def test_a_second_signal_ends_it_at_once_under_hypercorn_too(tmp_path: Path, to_worker: bool) -> None:
    """To hypercorn's parent process (``kill``), or to all of its processes (Ctrl-C, a supervisor)."""
    with trio.fail_after(BOUND_SECONDS):
        async with (
            replica() as back,
            hypercorn(tmp_path, back.url, shutdown={"drain_seconds": 3600}) as (server, _, port),
            viewer(port) as client,
        ):
            await back.accepted()
            worker = worker_of(server.process.pid)
            server.signal(signal.SIGTERM)
            await server.event("router is draining")
            if to_worker:
                worker.send_signal(signal.SIGTERM)
            else:
                await trio.sleep(1.5)  # hypercorn has one flag for all its signals, which is taken back after a second
                server.signal(signal.SIGTERM)
            assert (await client.ended())[0] in (1001, 1006, 1012)
            await server.event("router is ending at once")
            assert await server.exit_status() == 0
            assert not [line for line in server.lines if "Traceback" in line]


async def test_a_signal_to_hypercorns_worker_alone_drains_it_and_hypercorn_starts_another(tmp_path: Path) -> None:
    shutdown = {"drain_seconds": 0.2, "spread_seconds": 0}
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, hypercorn(tmp_path, back.url, shutdown=shutdown) as (server, _, port):
            async with viewer(port) as client:
                await back.accepted()
                worker_of(server.process.pid).send_signal(signal.SIGTERM)
                assert await client.ended() == (1012, "router is restarting")
            await server.event("router has ended")
            await server.event("replica is healthy", count=2)
            async with viewer((await server.event("router is listening", count=2))["port"]):
                await back.accepted()
            server.signal(signal.SIGTERM)
            assert await server.exit_status() == 0


async def test_a_line_at_the_start_and_one_at_the_end(tmp_path: Path) -> None:
    """What runs here, of which file, and with how many files: the soft limit is raised to the hard one."""
    path = config_file(tmp_path, "http://127.0.0.1:1", dialect="fastvideo")
    start = "import os, resource, sys; _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    start += "resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))\n"
    start += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    with trio.fail_after(BOUND_SECONDS):
        async with process("-c", start, "-m", "trio_router", "serve", "--config", str(path)) as router:
            told = await router.event("router is listening")
            expected = {
                "version": trio_router.__version__,
                "config": str(path),
                "replicas": ["127.0.0.1:1"],
                "dialect": "fastvideo",
                "tls": False,
                "host": "127.0.0.1",
            }
            assert {key: told[key] for key in expected} == expected
            raised = re.fullmatch(r"(\d+) \(raised from 200\)", told["open_files"])
            assert raised is not None
            assert psutil.Process(router.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == int(raised[1]) > 200
            router.signal(signal.SIGTERM)
            ended = await router.event("router has ended")
            assert ended["sessions"] == 0
            assert ended["seconds"] >= 0
            assert await router.exit_status() == 0
