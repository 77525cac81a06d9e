"""What a stranger may do to the port, and what a replica's refusal costs: nobody else notices."""

from __future__ import annotations

import socket
from typing import Any

import psutil
import pytest
import trio
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

import trio_router.http.plain_http
import trio_router.server.listener
from tests.server.peers import BOUND_SECONDS, Replica, replica, viewer
from tests.server.raw import END, Raw, dialled, upgrade_request
from tests.server.router import all_closed, config_for, eventually, get, outcomes, running, session
from tests.server.talk import last_words, say
from trio_router import ReplicaEndpoint, Router, serve_router
from trio_router.core.session.outcome import Phase

PAGES = ("/status", "/router/replicas/sessions")
GET = b"GET /status HTTP/1.1\r\nHost: router.test"


async def talk(router: Router, back: Replica) -> None:
    """A session that works."""
    async with session(router, back) as (client, server):
        await client.send("hello")
        assert await server.recv() == "hello"
        await client.close(1000)


async def reset_at_every_step(router: Router, path: str) -> None:
    """Ask for an upgrade, and leave by RST: so many turns of Trio later that every moment of the answer is met."""
    for turns in range(40):
        async with dialled(router.port) as raw:
            await raw.send(upgrade_request(path))
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            raw.reset()


async def test_resets_behind_an_upgrade_request_on_an_unknown_path() -> None:
    async with replica() as back, running(back.url) as router:
        await reset_at_every_step(router, "/nothing")
        await talk(router, back)
        assert (await get(router, "/health")).status_code == 200
        await all_closed(router)
        assert outcomes(router) == {"client.opening.closed": 1}


async def test_resets_behind_an_upgrade_request_during_a_drain() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        router.drain()
        await reset_at_every_step(router, "/v1/stream")
        assert (await get(router, "/health")).status_code == 200
        await client.send("still here?")
        assert await server.recv() == "still here?"
        await client.close(1000)


# Ordinary HTTP


async def begin_to_read(port: int | None) -> Raw:
    """A client that asks for the status, and reads no more than its beginning."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(("127.0.0.1", port))
    raw = Raw(trio.SocketStream(sock))
    await raw.send(GET + END)
    assert await raw.exactly(12) == b"HTTP/1.1 200"
    return raw


def fds() -> int:
    found: int = psutil.Process().num_fds()
    return found


@pytest.mark.parametrize("where", ["port", "status_port"])
@pytest.mark.parametrize("how", ["drain", "cancel"])
async def test_a_reader_that_does_not_read_holds_nothing_up(
    how: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Router, "status", lambda _: {"large": "x" * (32 * 1024 * 1024)})
    monkeypatch.setattr(trio_router.http.plain_http, "SEND_SECONDS", 1.0, raising=False)
    monkeypatch.setattr(trio_router.server.listener, "LAST_REQUEST_SECONDS", 0.2, raising=False)
    shutdown = {"drain_seconds": 0, "spread_seconds": 0}
    config = config_for("http://127.0.0.1:1", status_port=0, shutdown=shutdown, timeouts={"close_seconds": 0.1})
    await trio.testing.wait_all_tasks_blocked()
    files = fds()
    with trio.fail_after(BOUND_SECONDS / 2):
        async with trio.open_nursery() as nursery:
            router: Router = await nursery.start(serve_router, config)
            raw = await begin_to_read(getattr(router, where))
            if how == "drain":
                router.drain()
            else:
                nursery.cancel_scope.cancel()
        await raw.stream.aclose()
        await eventually(lambda: fds() <= files)


async def test_another_protocol_is_not_offered() -> None:
    asked = b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
    async with running("http://127.0.0.1:1", healthy=False) as router, dialled(router.port) as client:
        await client.send(GET + asked + END + GET + END)
        answer = await client.to_the_end()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b'"replicas"' in answer


TRICKS = (
    "/status?x=1",
    "/%73tatus",
    "//status",
    "///%73tatus",
    "//router/replicas/sessions",
    "/status/",
    "/./status",
    "/status;x",
    "/x/../status",
    "/status%00",
)


async def test_status_can_be_taken_off_the_stream_port() -> None:
    settings: dict[str, Any] = {"status_port": 0, "status_on_stream_port": False}
    async with replica() as back, running(back.url, **settings) as router:
        for path in (*PAGES, *TRICKS):
            for method in ("GET", "HEAD", "POST", "OPTIONS"):
                async with dialled(router.port) as client:
                    await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0".encode() + END)
                    answer = await client.to_the_end()
                    assert answer.split(b" ")[1] in (b"404", b"400", b"308"), (method, path, answer)
                    assert back.url.encode() not in answer
        async with dialled(router.port) as client:
            await client.send(GET.replace(b"/status", b"http://router.test/status") + END)
            assert (await client.to_the_end()).startswith(b"HTTP/1.1 400 ")
        for path in PAGES:
            answer_ = await get(router, path)
            assert (answer_.status_code, answer_.json()["error"]) == (404, "not found")
            assert (await get(router, path, port=router.status_port)).status_code == 200
        for port in (router.port, router.status_port):
            assert (await get(router, "/health", port=port)).status_code == 200
            assert (await get(router, "/readyz", port=port)).status_code == 200
        router.registry.set_admin_state(router.registry.replicas[0], trio_router.AdminState.DRAIN, now=0.0)
        assert (await get(router, "/readyz")).status_code == 503


# A replica's refusal


def refusing(served: int) -> Any:
    """An ``answer`` that lets so many sessions in, and refuses the others with 403."""
    turns = iter([*[None] * served])

    def answer(ws: ServerConnection, _: Request) -> Response | None:
        return next(turns, ws.respond(403, "not you\n"))

    return answer


def unblamed(router: Router) -> bool:
    return all(
        (found.failures_total, found.ejections, found.health.consecutive_failures) == (0, 0, 0)
        and found.available(trio.current_time())
        for found in router.registry.replicas
    )


async def test_a_refusal_is_the_clients_affair() -> None:
    async with (
        replica(answer=refusing(0)) as one,
        replica(answer=refusing(0)) as two,
        running(one.url, two.url, dialect="fastvideo") as router,
    ):
        for _ in range(8):
            async with viewer(router.port) as client:
                await say(client, "session_init_v2")
                words, closed = await last_words(client)
            assert [(word["code"], word["retryable"]) for word in words] == [("session_rejected", False)]
            assert closed == (1008, "session_rejected")
        await all_closed(router)
        assert outcomes(router) == {"replica.connecting.handshake_failed": 8}
        assert unblamed(router)


async def test_a_refusal_is_the_clients_affair_where_the_replica_speaks_first() -> None:
    async with (
        replica(answer=refusing(0)) as one,
        replica(answer=refusing(0)) as two,
        running(one.url, two.url) as router,
    ):
        for _ in range(8):
            with pytest.raises(InvalidStatus) as caught:
                async with viewer(router.port):
                    pass
            assert caught.value.response.status_code == 403
        await all_closed(router)
        assert unblamed(router)


@pytest.mark.parametrize("dialect", ["fastvideo", "opaque"])
async def test_a_refusal_behind_the_queue_is_the_clients_affair(dialect: str) -> None:
    async with replica(answer=refusing(1)) as back:
        endpoint = ReplicaEndpoint(back.url, max_sessions=1)
        async with running(replicas=[endpoint], dialect=dialect) as router, viewer(router.port) as first:
            await say(first, "session_init_v2")
            await back.accepted()
            async with viewer(router.port) as client:
                await say(client, "session_init_v2")
                await eventually(lambda: list(router.services.session_table)[-1].phase is Phase.WAITING)
                first.vanish(reset=True)
                words, closed = await last_words(client)
            assert closed == (1008, "session_rejected")
            told = [word["code"] for word in words if word["type"] == "error"]
            assert told == (["session_rejected"] if dialect == "fastvideo" else [])
            await all_closed(router)
            assert outcomes(router)["replica.connecting.handshake_failed"] == 1
            assert unblamed(router)
