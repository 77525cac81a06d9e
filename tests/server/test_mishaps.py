"""Moments that are easily missed: a stop during a handshake, a choice made before there is a replica, a broken stderr."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from click.testing import CliRunner
from websockets.http11 import Request
from websockets.sync.server import ServerConnection

from tests.server.peers import BOUND_SECONDS, Peer, in_thread, replica, viewer
from tests.server.process import config_file, process
from tests.server.router import all_closed, eventually, outcomes, running
from trio_router import ReplicaEndpoint, Router
from trio_router.cli.main import main
from trio_router.core.config import LogConfig
from trio_router.core.session.outcome import Cause, Phase
from trio_router.operations.logging import configure_logs


@pytest.mark.parametrize("known", [["b", "a"], None])
async def test_who_waited_in_the_queue_gets_what_it_was_told_before(known: list[str] | None) -> None:
    """It is told its sub-protocol before there is a replica to choose: so the replica is left no choice."""
    async with replica(subprotocols=known) as back:
        endpoint = ReplicaEndpoint(back.url, max_sessions=1)
        async with running(replicas=[endpoint]) as router, viewer(router.port, subprotocols=["a"]) as first:
            before = await back.accepted()
            async with viewer(router.port, subprotocols=["a", "b"]) as client:
                assert client.ws.subprotocol == "a"
                await eventually(lambda: list(router.services.session_table)[-1].phase is Phase.WAITING)
                await first.close(1000)
                await before.ended()
                server = await back.accepted()
                assert server.ws.request is not None
                assert server.ws.request.headers.get_all("Sec-WebSocket-Protocol") == ["a"]
                assert server.ws.subprotocol == ("a" if known else None)
                await client.send("hello")
                assert await server.recv() == "hello"


async def test_who_offered_nothing_and_waited_is_told_nothing() -> None:
    async with replica(subprotocols=["a"], select_subprotocol=lambda *_: None) as back:
        endpoint = ReplicaEndpoint(back.url, max_sessions=1)
        async with running(replicas=[endpoint]) as router, viewer(router.port) as first:
            await back.accepted()
            async with viewer(router.port) as client:
                assert client.ws.subprotocol is None
                await first.close(1000)
                server = await back.accepted()
                assert server.ws.request is not None
                assert "Sec-WebSocket-Protocol" not in server.ws.request.headers


class SlowHandshake:
    """A replica's answer that waits for the test."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()  # for the replica's own thread

    def answer(self, _: ServerConnection, request: Request) -> None:
        self.asked.set()
        assert self.go_on.wait(BOUND_SECONDS)


async def hear_the_end(router: Router, heard: list[Any]) -> None:
    """A client that only listens how its session ends."""
    async with viewer(router.port) as client:
        heard.append(await client.ended())


async def test_a_session_that_is_stopped_in_its_handshake_is_told_so() -> None:
    slow = SlowHandshake()
    async with replica(answer=slow.answer) as back, running(back.url) as router:
        heard: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear_the_end, router, heard)
            assert await in_thread(slow.asked.wait, BOUND_SECONDS)
            (found,) = router.services.session_table
            assert found.phase is Phase.HANDSHAKE
            found.stop(Cause.DRAINED)
            slow.go_on.set()
            server: Peer = await back.accepted()
            assert await server.ended() in ((1006, ""), (1001, "router is restarting"))
        assert heard == [(1012, "router is restarting")]
        await all_closed(router)
        assert outcomes(router) == {"router.handshake.drained": 1}
        assert router.registry.replicas[0].held == 0
        assert router.registry.replicas[0].failures_total == 0


async def test_a_drain_does_not_wait_for_a_slow_handshake() -> None:
    slow = SlowHandshake()
    shutdown = {"drain_seconds": 0, "spread_seconds": 0}
    heard: list[Any] = []
    async with (
        replica(answer=slow.answer) as back,
        running(back.url, shutdown=shutdown) as router,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hear_the_end, router, heard)
        assert await in_thread(slow.asked.wait, BOUND_SECONDS)
        router.drain()
        (found,) = router.services.session_table
        await eventually(lambda: found._stopped is not None)  # type: ignore[attr-defined]
        slow.go_on.set()
    assert heard == [(1012, "router is restarting")]


# What stands around it


async def test_a_host_that_is_no_name_is_one_line(tmp_path: Path) -> None:
    path = config_file(tmp_path, "http://127.0.0.1:1", host="a..b")
    with trio.fail_after(BOUND_SECONDS):
        async with process("-m", "trio_router", "serve", "--config", str(path)) as router:
            assert await router.exit_status() == 1
            await eventually(lambda: bool(router.lines))
    (line,) = router.lines
    assert line.startswith("Error: cannot listen on a..b:0: ")


def test_a_variable_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = config_file(tmp_path, "http://127.0.0.1:1")
    done = CliRunner().invoke(main, ["serve", "--config", str(path)], env={"TRIO_ROUTER_PORT": "abc"})
    assert done.exit_code == 2
    assert "TRIO_ROUTER_PORT: " in done.output
    assert "router.port" not in done.output


@pytest.mark.parametrize("port", ["70000", "-1", "65536"])
def test_the_demos_port_is_checked(port: str) -> None:
    done = CliRunner().invoke(main, ["demo", "--port", port])
    assert done.exit_code == 2
    assert done.output.startswith("Usage: ")
    assert f"{port} is not in the range" in done.output


class Broken(io.StringIO):
    """A standard error whose reader has gone."""

    def __init__(self, error: Exception, *, terminal: bool) -> None:
        super().__init__()
        self.error = error
        self.terminal = terminal
        self.tried = 0

    def write(self, _: str) -> int:
        self.tried += 1
        raise self.error

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def _own_logs() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("_own_logs")
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file")]
)
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(
    error: Exception, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Broken(error, terminal=terminal)
    monkeypatch.setattr("sys.stderr", stderr)
    writer = configure_logs(LogConfig(level="debug"))
    log = structlog.get_logger("test")
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("words", value=1)
    try:
        raise LookupError("mine")
    except LookupError:
        log.exception("words")
    assert writer.flush()
    assert stderr.tried >= 6
