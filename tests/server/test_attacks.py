"""What one client sends takes no replica away from the others, and holds no place that it has left."""

from __future__ import annotations

import contextlib
import http
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.server.peers import Replica, replica, viewer
from tests.server.raw import END, Raw, dialled, frame, upgrade_request, upgraded
from tests.server.router import all_closed, always_well, eventually, running
from trio_router import Router
from trio_router.core.session.outcome import Phase
from trio_router.session.session import Session

INIT = json.dumps({"type": "session_init_v2"})
#: Nobody is probed meanwhile: what sessions did to a replica stays.
UNPROBED: dict[str, Any] = {"http_get": always_well, "health_check_interval_seconds": 1000.0}


def fragile(ws: ServerConnection, request: Request) -> Response | None:
    """A server that fails at some queries, and at an Expect. By its library it takes 128 fields of 8 KiB at most."""
    if "boom" in request.path:
        return ws.respond(http.HTTPStatus.INTERNAL_SERVER_ERROR, "oops\n")
    if "Expect" in request.headers:
        return ws.respond(http.HTTPStatus.EXPECTATION_FAILED, "no\n")
    return None


@contextlib.asynccontextmanager
async def four(**settings: Any) -> AsyncIterator[tuple[Router, list[Replica]]]:
    """A router and four such replicas."""
    async with contextlib.AsyncExitStack() as stack:
        backs = [await stack.enter_async_context(replica(answer=fragile)) for _ in range(4)]
        router = await stack.enter_async_context(running(*(back.url for back in backs), **UNPROBED, **settings))
        yield router, backs


def undisturbed(router: Router) -> bool:
    """Every replica gets sessions as before, and none is preferred to another."""
    now = trio.current_time()
    return all(replica.usable(now) and not replica.failures_total for replica in router.registry.replicas)


async def heard(port: int | None, *fields: str, path: str = "/v1/stream") -> bytes:
    """The status line that such a request gets."""
    async with dialled(port) as raw:
        await raw.send(upgrade_request(path, *fields))
        return (await raw.until(END)).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("fields", "path", "status"),
    [
        ([f"X-Large: {'x' * 8192}"], "/v1/stream", b"431"),
        ([f"X-{number}: 1" for number in range(130)], "/v1/stream", b"431"),
        (["Expect: 100-continue"], "/v1/stream", b"101"),
        (["Expect: something-else"], "/v1/stream", b"101"),
    ],
    ids=["a field of 8 KiB", "130 fields", "Expect", "an unknown Expect"],
)
async def test_a_head_that_a_replica_would_not_take_harms_none(fields: list[str], path: str, status: bytes) -> None:
    async with four() as (router, _):
        for _ in range(6):
            assert (await heard(router.port, *fields, path=path)).split()[1] == status
        assert undisturbed(router)
        if status == b"431":
            assert router.services.session_table.opened_total == 0, "no replica was asked: it says 431 itself"
        async with viewer(router.port):
            pass
        await all_closed(router)


async def test_a_query_that_makes_every_server_answer_500_is_its_client_s_fault() -> None:
    async with four() as (router, _):
        for _ in range(6):
            await heard(router.port, path="/v1/stream?boom")
        assert undisturbed(router)
        async with viewer(router.port) as client:
            await client.send("hello")
        await all_closed(router)


async def test_a_first_message_that_makes_servers_drop_is_its_client_s_fault() -> None:
    async with four(dialect="fastvideo") as (router, backs):
        for _ in range(6):
            async with viewer(router.port) as client, trio.open_nursery() as nursery:
                for back in backs:
                    nursery.start_soon(drop_all, back)
                await client.send(INIT)
                words, closed = await client.rest()
                assert closed == (1008, "invalid_message")
                assert json.loads(words[-1])["retryable"] is False
                nursery.cancel_scope.cancel()
        assert undisturbed(router)
        async with viewer(router.port) as client:
            await client.send(INIT)
            await eventually(lambda: any(back.waiting for back in backs))
        await all_closed(router)


async def drop_all(back: Replica) -> None:
    """Drop whoever comes, when it has spoken."""
    while True:
        server = await back.accepted()
        await server.recv()
        server.vanish(reset=False)


# A client that is not read any more


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end of stream"])
async def test_who_fills_its_replay_buffer_in_the_queue_and_leaves_is_gone_from_it_at_once(reset: bool) -> None:
    """The queue is patient for 300 s; reading was paused long before the client left."""
    settings: dict[str, Any] = {"dialect": "fastvideo", "limits": {"replay_bytes": 100_000}}
    async with replica() as back, running(back.url, **settings) as router:
        queue = router.services.admission.queue
        async with viewer(router.port) as first, upgraded(router.port) as (greedy, _):
            await first.send(INIT)
            server = await back.accepted()
            await server.recv()
            await greedy.send(frame(Opcode.TEXT, INIT.encode(), mask=True))
            await eventually(lambda: len(queue) == 1)
            waiting = next(found for found in router.services.session_table if found.phase is Phase.WAITING)
            assert isinstance(waiting, Session)
            await fill(greedy, waiting)
            leave(greedy, reset=reset)
            await eventually(lambda: len(queue) == 0)
            assert router.services.session_table.outcomes["client.waiting.vanished"] == 1
            assert router.services.relay_parts.unplaced.held < 2000  # the first one's few bytes at most


def reading(session: Session) -> bool:
    """Whether its client is read from."""
    relay = session._relay
    assert relay is not None
    return relay.pair.to_replica.reading


async def fill(client: Raw, session: Session) -> None:
    """Send until the router reads no more, and a good deal behind that."""
    data = Frame(Opcode.BINARY, bytes(60_000)).serialize(mask=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, data * 20)
        await eventually(lambda: not reading(session))
        nursery.cancel_scope.cancel()


def leave(client: Raw, *, reset: bool) -> None:
    """Close the socket; what it could not send is thrown away with a reset."""
    assert isinstance(client.stream, trio.SocketStream)
    if reset:
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.stream.socket.close()
