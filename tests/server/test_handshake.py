"""What of the upgrade request reaches the replica, and what of its answer reaches the client."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.server.peers import replica, viewer
from tests.server.raw import END, dialled, raw_replica, upgrade_request, upgraded
from tests.server.router import all_closed, outcomes, running, session

SENT = {
    "Authorization": "Bearer abc.def",
    "Cookie": "a=1; b=2",
    "User-Agent": "viewer/1.0",
    "Accept-Language": "de",
    "X-Custom": "kept",
}


async def test_path_query_and_end_to_end_headers() -> None:
    async with replica() as back, running(back.url) as router:
        path = "/v1/stream?token=s%20ecret&x=1&x=2"
        options = {"path": path, "additional_headers": SENT, "origin": "https://page.test", "user_agent_header": None}
        async with session(router, back, **options) as (_, server):
            request = server.ws.request
            assert request is not None
            assert request.path == path
            assert {name: request.headers[name] for name in SENT} == SENT
            assert request.headers["Origin"] == "https://page.test"
            assert request.headers["Host"] == urlsplit(back.url).netloc


async def test_other_path_is_passed_on_as_it_is() -> None:
    async with (
        replica() as back,
        running(back.url, streams=[{"path": "/ws"}]) as router,
        session(router, back, path="/ws?a=b") as (_, server),
    ):
        assert server.ws.request is not None
        assert server.ws.request.path == "/ws?a=b"


async def test_forwarded_headers_are_added() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (_, server):
        assert server.ws.request is not None
        headers = server.ws.request.headers
        assert headers["X-Forwarded-For"] == "127.0.0.1"
        assert headers["X-Forwarded-Proto"] == "http"
        assert headers["X-Forwarded-Host"] == f"127.0.0.1:{router.port}"
        assert headers["X-Request-Id"] == next(iter(router.services.session_table)).id


async def test_forwarded_headers_of_a_proxy_in_front_are_kept() -> None:
    sent = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "public.test",
        "X-Request-Id": "abc-123",
    }
    async with (
        replica() as back,
        running(back.url) as router,
        session(router, back, additional_headers=sent) as (_, server),
    ):
        assert server.ws.request is not None
        got = {name: server.ws.request.headers[name] for name in sent}
        assert got == sent | {"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}


async def test_hop_by_hop_headers_stay_here() -> None:
    hop = ["Keep-Alive: timeout=5", "TE: trailers", "Proxy-Authorization: Basic eA==", "X-Named: 1", "X-Other: 2"]
    async with raw_replica() as (url, arrivals), running(url) as router, dialled(router.port) as client:
        request = upgrade_request("/v1/stream", *hop).replace(b"Connection: Upgrade", b"Connection: Upgrade, X-Named")
        await client.send(request)
        assert (await client.until(END)).startswith(b"HTTP/1.1 101 ")
        _, head = await arrivals.receive()
        fields = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
        assert {b"keep-alive", b"te", b"proxy-authorization", b"x-named"}.isdisjoint(fields)
        assert b"x-other" in fields
        for once in (b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"):
            assert fields.count(once) == 1
        their_key = next(line for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        assert their_key.partition(b": ")[2] not in head  # each connection has its own handshake


@pytest.mark.parametrize(
    ("offered", "known", "chosen"),
    [(["a", "b"], ["b"], "b"), (["a", "b"], ["b", "a"], "b"), (["a"], None, None), (None, None, None)],
)
async def test_subprotocol_is_the_replicas_choice(
    offered: list[str] | None, known: list[str] | None, chosen: str | None
) -> None:
    async with (
        replica(subprotocols=known) as back,
        running(back.url) as router,
        session(router, back, subprotocols=offered) as (client, server),
    ):
        assert client.ws.subprotocol == server.ws.subprotocol == chosen
        assert server.ws.request is not None
        assert server.ws.request.headers.get("Sec-WebSocket-Protocol") == (", ".join(offered) if offered else None)


async def test_cookie_of_the_replicas_101_reaches_the_client() -> None:
    def add(_: ServerConnection, request: Request, response: Response) -> None:
        response.headers["Set-Cookie"] = "seat=7"

    async with (
        replica(process_response=add) as back,
        running(back.url) as router,
        session(router, back) as (client, _),
    ):
        assert client.ws.response is not None
        assert client.ws.response.headers["Set-Cookie"] == "seat=7"


@pytest.mark.parametrize("status", [401, 403, 404, 426])
async def test_refusal_at_the_handshake_passes_through(status: int) -> None:
    """It answers what this client asked for, so no other replica is asked; and it is no failure of the replica's."""

    def refuse(ws: ServerConnection, _: Request) -> Response:
        return ws.respond(status, "not you\n")

    async with replica(answer=refuse) as one, replica(answer=refuse) as two, running(one.url, two.url) as router:
        with pytest.raises(InvalidStatus) as caught:
            async with viewer(router.port):
                pass
        assert caught.value.response.status_code == status
        await all_closed(router)
        assert outcomes(router) == {"replica.handshake.handshake_failed": 1}
        assert all(found.health.consecutive_failures == 0 for found in router.registry.replicas)


async def test_wrong_upgrade_request_is_400_and_reaches_no_replica() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router, dialled(router.port) as client:
        await client.send(upgrade_request().replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 7"))
        assert (await client.until(END)).split(b" ")[1] in (b"400", b"426")
        await client.to_the_end()
        assert outcomes(router) == {}, "no session was made for it"
        assert arrivals.statistics().current_buffer_used == 0, "a GPU was taken for a request that is wrong"


async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router, dialled(router.port) as client:
        early = b"\x81\x85\x00\x00\x00\x00early"
        await client.send(upgrade_request() + early)
        server, _ = await arrivals.receive()
        assert await server.exactly(len(early)) == early
        await client.until(END)


async def test_unknown_path_is_404_for_a_websocket() -> None:
    async with raw_replica() as (url, _), running(url) as router, dialled(router.port) as client:
        await client.send(upgrade_request("/v2/stream"))
        assert (await client.until(END)).startswith(b"HTTP/1.1 404 ")


async def test_upgraded_answer_is_exact() -> None:
    async with raw_replica() as (url, _), running(url) as router, upgraded(router.port) as (_client, answer):
        fields = [line.partition(b":")[0].lower() for line in answer.split(b"\r\n")[1:-2]]
        assert sorted(fields) == [b"connection", b"sec-websocket-accept", b"upgrade"]
