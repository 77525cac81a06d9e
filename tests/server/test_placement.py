"""Which replica a session gets when some are unreachable, full or refuse; and who is told what when none is left."""

from __future__ import annotations

import http
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.server.peers import replica, viewer
from tests.server.router import all_closed, always_well, outcomes, refusing_port, running, session
from tests.server.talk import hear, last_words, say
from trio_router import ReplicaEndpoint


def first(*urls: str) -> dict[str, Any]:
    """Replicas that are tried in this order, as far as two tiers can say: all but the last are primaries."""
    endpoints = [ReplicaEndpoint(url, primary=url != urls[-1]) for url in urls]
    return {"replicas": endpoints, "http_get": always_well, "health_check_interval_seconds": 1000.0}


async def test_two_failed_dials_are_not_noticed() -> None:
    with refusing_port() as one, refusing_port() as two:
        async with (
            replica() as back,
            running(**first(one, two, back.url)) as router,
            session(router, back) as (client, server),
        ):
            await client.send("hello")
            assert await server.recv() == "hello"
            found = next(iter(router.services.session_table))
            assert {tried.replica for tried in found.tries} == {url.removeprefix("http://") for url in (one, two)}
            assert found.replica == back.url.removeprefix("http://")


async def test_three_failed_dials_are_the_end() -> None:
    with refusing_port() as one, refusing_port() as two, refusing_port() as three:
        async with replica() as back, running(**first(one, two, three, back.url), dialect="fastvideo") as router:
            async with viewer(router.port) as client:
                await say(client, "session_init_v2")
                words, closed = await last_words(client)
                assert closed == (1013, "no_replica_reached")
                assert [(word["code"], word["retryable"]) for word in words] == [("gpu_unavailable", True)]
                assert "127.0.0.1" not in words[0]["message"]
            assert back.waiting == 0
            await all_closed(router)
            assert outcomes(router) == {"router.connecting.unreachable": 1}


def refuse(ws: ServerConnection, _: Request) -> Response:
    return ws.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "restarting\n")


async def test_503_at_the_handshake_is_tried_elsewhere() -> None:
    async with (
        replica(answer=refuse) as busy,
        replica() as back,
        running(**first(busy.url, back.url)) as router,
        session(router, back) as (client, server),
    ):
        await client.send("hello")
        assert await server.recv() == "hello"


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
async def test_refusal_before_the_first_message_is_tried_elsewhere(code: int) -> None:
    """What the client has said so far is said again to the next replica; the refusal is never seen."""
    async with (
        replica() as busy,
        replica() as back,
        running(**first(busy.url, back.url)) as router,
        session(router, busy) as (client, refuser),
    ):
        await client.send("said once")
        assert await refuser.recv() == "said once"
        await refuser.close(code, "full")
        server = await back.accepted()
        assert await server.recv() == "said once"
        await server.send("welcome")
        assert await client.recv() == "welcome"
        assert await client.close(1000, "bye") == (1000, "bye")
        assert await server.ended() == (1000, "bye")


async def test_crash_before_the_first_message_is_tried_elsewhere() -> None:
    async with (
        replica() as dying,
        replica() as back,
        running(**first(dying.url, back.url)) as router,
        session(router, dying) as (client, server),
    ):
        await client.send(b"x" * 100_000)
        server.vanish(reset=True)
        other = await back.accepted()
        assert await other.recv() == b"x" * 100_000


async def test_fastvideo_replica_that_dies_in_its_line_is_not_noticed() -> None:
    """`queue_status` commits nothing: the session moves, and what the client said is said again."""
    async with (
        replica() as dying,
        replica() as back,
        running(**first(dying.url, back.url), dialect="fastvideo") as router,
        viewer(router.port) as client,
    ):
        await say(client, "session_init_v2", client_id="me")
        await say(client, "segment_prompt_source", prompt="said once")
        server = await dying.accepted()
        await say(server, "queue_status", position=0, queue_depth=0)
        await hear(client, "queue_status")
        server.vanish(reset=True)
        other = await back.accepted()
        assert (await hear(other, "session_init_v2"))["client_id"] == "me"
        assert (await hear(other, "segment_prompt_source"))["prompt"] == "said once"
        await say(other, "gpu_assigned", gpu_id=0)
        assert await hear(client, "gpu_assigned") == {"type": "gpu_assigned", "gpu_id": 0}


async def test_fastvideo_rejection_is_tried_elsewhere() -> None:
    async with (
        replica() as full,
        replica() as back,
        running(**first(full.url, back.url), dialect="fastvideo") as router,
        viewer(router.port) as client,
    ):
        await say(client, "session_init_v2")
        server = await full.accepted()
        await say(server, "error", code="session_rejected", message="full", retryable=False)
        await server.close(1013, "session_rejected")
        other = await back.accepted()
        await hear(other, "session_init_v2")
        await other.send("welcome")
        assert await client.recv() == "welcome"


async def test_no_healthy_replica_is_told_after_the_handshake() -> None:
    with refusing_port() as url:
        settings: dict[str, Any] = {"dialect": "fastvideo", "queue": {"outage_seconds": 0}}
        async with running(url, healthy=False, **settings) as router, viewer(router.port) as client:
            # It is told at once, before it says anything.
            words, closed = await last_words(client)
            message = "router: no healthy replica available"
            assert words == [{"type": "error", "code": "gpu_unavailable", "message": message, "retryable": True}]
            assert closed == (1013, "no_healthy_replica")
