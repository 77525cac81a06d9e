"""Who is refused before there is a session: counted by reason, one line each; and how many may stand before the door."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trio
import trustme
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.process import router_process
from tests.server.raw import END, Raw, dialled, upgrade_request
from tests.server.router import always_well, eventually, get, running, session
from trio_router import ReplicaEndpoint, Router, RouterConfig, StatusBody
from trio_router.core.errors import DialError
from trio_router.core.http.upgrade import Upgrade
from trio_router.net.poller import Poller
from trio_router.net.timers import Timers
from trio_router.replicas import connector as upstream
from trio_router.replicas.connector import ReplicaConnector
from trio_router.server import listener

ANYWHERE = "http://replica.test"
GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: router.test" + END


def refused(router: Router) -> dict[str, int]:
    return router.status()["router"]["refused"]


async def answer(router: Router, request: bytes, *, port: int | None = None) -> bytes:
    """The status line and all that follows it."""
    async with dialled(port or router.port) as client:
        await client.send(request)
        return await client.to_the_end()


@contextlib.asynccontextmanager
async def from_address(address: str, port: int | None) -> AsyncIterator[Raw]:
    """A connection of another client."""
    async with await trio.open_tcp_stream("127.0.0.1", port or 0, local_address=address) as stream:
        yield Raw(stream)


@pytest.mark.parametrize(
    ("request_", "status", "expected"),
    [
        (upgrade_request("/nowhere"), b"404", {"reason": "unknown_path", "status": 404, "path": "/nowhere"}),
        (b"no HTTP" + END, b"400", {"reason": "bad_request", "status": 400}),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1" + END, b"431", {"reason": "head_too_large", "status": 431}),
    ],
)
async def test_a_refusal_is_one_line_and_counted(request_: bytes, status: bytes, expected: dict[str, Any]) -> None:
    async with running(ANYWHERE, http_get=always_well, limits={"header_bytes": 4096}) as router:
        with capture_logs() as logs:
            assert (await answer(router, request_)).startswith(b"HTTP/1.1 " + status)
        lines = [entry for entry in logs if entry["event"] == "refused"]
        assert lines == [{"event": "refused", "log_level": "info", "client": "127.0.0.1", **expected}]
        assert refused(router) == {expected["reason"]: 1}


async def test_who_comes_while_the_router_is_full_or_drains_is_counted() -> None:
    async with (
        replica() as back,
        running(back.url, limits={"max_sessions": 1}) as router,
        session(router, back) as (client, _),
    ):
        assert (await answer(router, upgrade_request())).startswith(b"HTTP/1.1 503 ")
        assert refused(router) == {"max_sessions": 1}
        router.drain()
        assert (await answer(router, upgrade_request())).startswith(b"HTTP/1.1 503 ")
        assert refused(router) == {"max_sessions": 1, "draining": 1}
        await client.close(1000)


async def test_a_failed_tls_handshake_is_counted_and_a_look_at_the_port_is_not(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    names = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    certificate.cert_chain_pems[0].write_to_path(names["certificate"])
    certificate.private_key_pem.write_to_path(names["key"])
    tls = {name: str(path) for name, path in names.items()}
    async with running(ANYWHERE, http_get=always_well, tls=tls) as router:
        async with dialled(router.port):
            pass
        with capture_logs() as logs:
            await answer(router, GET_HEALTH)
            await eventually(lambda: refused(router) == {"tls_failed": 1})
        assert [entry["detail"] for entry in logs if entry["event"] == "refused"] == ["HTTP_REQUEST"]


async def test_who_says_nothing_is_counted_when_it_is_closed() -> None:
    async with running(ANYWHERE, http_get=always_well, timeouts={"handshake_seconds": 0.05}) as router:
        async with dialled(router.port) as client:
            assert await client.to_the_end() == b""
        assert refused(router) == {"no_request_in_time": 1}


# How many may stand there

PORTS: dict[str, Callable[[Router], int | None]] = {
    "stream": lambda router: router.port,
    "status": lambda router: router.status_port,
}


@pytest.mark.parametrize("door", PORTS)
async def test_one_address_fills_its_share_and_others_are_served(door: str) -> None:
    limits = {"connections_without_session_per_address": 3, "connections_without_session": 5}
    async with running(ANYWHERE, http_get=always_well, limits=limits, status_port=0) as router:
        port = PORTS[door](router)
        async with contextlib.AsyncExitStack() as stack:
            idle = [await stack.enter_async_context(dialled(port)) for _ in range(3)]
            async with dialled(port) as more:
                assert (await more.to_the_end()).startswith(b"HTTP/1.1 503 ")
            async with from_address("127.0.0.2", port) as other:
                await other.send(GET_HEALTH)
                assert (await other.to_the_end()).startswith(b"HTTP/1.1 200 ")
            assert refused(router) == {"too_many_connections_of_address": 1}
            for address in ("127.0.0.3", "127.0.0.4"):
                await stack.enter_async_context(from_address(address, port))
            async with from_address("127.0.0.5", port) as last:
                assert (await last.to_the_end()).startswith(b"HTTP/1.1 503 ")
            assert refused(router)["too_many_connections"] == 1
            for client in idle:  # who got in is served still
                await client.send(GET_HEALTH)
                assert (await client.to_the_end()).startswith(b"HTTP/1.1 200 ")
        for _ in range(5):
            assert (await answer(router, GET_HEALTH, port=port)).startswith(b"HTTP/1.1 200 ")


async def test_a_session_does_not_stand_there() -> None:
    limits = {"connections_without_session_per_address": 1}
    async with replica() as back, running(back.url, limits=limits) as router, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            client, _ = await stack.enter_async_context(session(router, back))
        await client.close(1000)
        assert refused(router) == {}


async def test_the_status_port_speaks_no_http2_and_opens_no_session() -> None:
    async with running(ANYWHERE, http_get=always_well, status_port=0) as router:
        port = router.status_port
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        assert (await answer(router, preface, port=port)).startswith(b"HTTP/1.1 400 ")
        fields = b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
        upgrade = GET_HEALTH.replace(END, fields + END)
        assert (await answer(router, upgrade, port=port)).startswith(b"HTTP/1.1 200 ")
        assert (await answer(router, upgrade_request(), port=port)).startswith(b"HTTP/1.1 404 ")


# Descriptors


async def test_out_of_descriptors_pages_still_answer_and_sessions_are_refused(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url) as (router, port):
            running_router = psutil.Process(router.process.pid)
            async with viewer(port) as client:
                server = await back.accepted()
                # A quarter is kept: the next descriptor is the first of them.
                taken = {int(name) for name in os.listdir(f"/proc/{router.process.pid}/fd")}
                limit = min(set(range(len(taken) + 1)) - taken) * 4 // 3
                running_router.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
                async with dialled(port) as late:
                    await late.send(upgrade_request())
                    assert (await late.until(END)).startswith(b"HTTP/1.1 503 ")
                told = await router.event("refused")
                assert (told["reason"], told["status"]) == ("out_of_file_descriptors", 503)
                async with httpx.AsyncClient(trust_env=False) as http:
                    for path in ("/health", "/readyz", "/status"):
                        body = await http.get(f"http://127.0.0.1:{port}{path}")
                        assert body.status_code == 200
                (row,) = body.json()["replicas"]
                assert (row["failures_total"], row["status"]) == (0, "healthy")
                await client.send("hello")
                assert await server.recv() == "hello"


async def test_on_one_of_the_last_descriptors_nobody_is_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "is_reserve", lambda _: True)
    monkeypatch.setattr(listener, "SCARCE_SECONDS", 0.05)
    async with running(ANYWHERE, http_get=always_well) as router:
        async with dialled(router.port) as client:
            assert await client.to_the_end() == b""
        assert refused(router) == {"no_request_in_time": 1}
        assert (await get(router, "/health")).status_code == 200


async def dial_error(host: str) -> DialError:
    config = RouterConfig(replicas=(ReplicaEndpoint(f"http://{host}:1"),))
    poller = Poller()
    with poller, pytest.raises(DialError) as caught:
        await ReplicaConnector(config, poller, Timers()).connect(config.replicas[0], Upgrade(b"/v1/stream", (), ()))
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_dial_for_which_there_is_no_descriptor_is_the_routers_own_failure(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (await dial_error(host)).own, "refused by the other side"

    def out(*_: object, **__: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("trio._highlevel_open_tcp_stream.socket" if host == "localhost" else "socket.socket", out)
        error = await dial_error(host)
    assert error.own
    assert str(error) == "router is out of file descriptors: Too many open files"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_dial_leaves_the_last_descriptors_alone(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "is_reserve", lambda _: True)
    async with replica() as back:
        port = back.url.rpartition(":")[2]
        config = RouterConfig(replicas=(ReplicaEndpoint(f"http://{host}:{port}"),))
        with Poller() as poller, pytest.raises(DialError, match="out of file descriptors") as caught:
            await ReplicaConnector(config, poller, Timers()).connect(config.replicas[0], Upgrade(b"/v1/stream", (), ()))
        assert caught.value.own


async def test_status_is_written_four_times_a_second_at_most(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = Router(RouterConfig(replicas=(ReplicaEndpoint(ANYWHERE),)))
    client = router.app.test_client()
    written: list[float] = []
    write = router.status

    def status() -> StatusBody:
        written.append(trio.current_time())
        return write()

    monkeypatch.setattr(router, "status", status)
    for seconds in (0.0, 0.0, 0.2, 0.04, 0.02, 0.0):
        await trio.sleep(seconds)
        answered = await client.get("/status")
        assert (await answered.get_json())["router"]["version"]
        assert answered.content_type == "application/json"
    assert written == [0.0, pytest.approx(0.26)]
    assert router.status() == write()
    assert len(written) == 3, "Python always gets it fresh"
