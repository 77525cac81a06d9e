"""Wrong upgrade requests are answered at once, and no replica ever hears of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
from websockets.utils import accept_key

from tests.server.peers import replica
from tests.server.raw import END, Raw, dialled, raw_replica, upgrade_request
from tests.server.router import always_well, outcomes, running
from trio_router import Router

PATH = b"/v1/stream"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
OWN = b"Host: router.test"

#: Each with the status of its answer: (what stands in the request, what is put in its place, status, what is said).
WRONG = {
    "two hosts": (OWN, OWN + b"\r\nHost: other.test", 400, b"more than one Host field"),
    "no host": (OWN + b"\r\n", b"", 400, b"no Host field"),
    "a host in no encoding": (OWN, b"Host: \xff", 400, b"the Host field is no host"),
    "a host with a space": (OWN, b"Host: a b", 400, b"the Host field is no host"),
    "two content lengths": (OWN, OWN + b"\r\nContent-Length: 0\r\nContent-Length: 1", 400, b"Content-Length"),
    "a body": (OWN, OWN + b"\r\nContent-Length: 5", 400, b"no body"),
    "a chunked body": (OWN, OWN + b"\r\nTransfer-Encoding: chunked", 400, b"no body"),
    "a body of two lengths": (OWN, OWN + b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400, b"no body"),
    "HTTP/1.0": (b"HTTP/1.1", b"HTTP/1.0", 400, b"HTTP/1.1"),
    "two keys": (OWN, OWN + b"\r\n" + KEY, 400, b"more than one Sec-WebSocket-Key"),
    "a key of three bytes": (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: YWJj\r\nX: ", 400, b"16 bytes in base64"),
    "no key": (b"Sec-WebSocket-Key: ", b"X: ", 400, b"16 bytes in base64"),
    "two versions": (OWN, OWN + b"\r\nSec-WebSocket-Version: 13", 400, b"more than one Sec-WebSocket-Version"),
    "no version": (b"Sec-WebSocket-Version: 13\r\n", b"", 400, b"no Sec-WebSocket-Version"),
    "another version": (b"Version: 13", b"Version: 8", 426, b"must be 13, not '8'"),
    "two origins": (OWN, OWN + b"\r\nOrigin: http://a\r\nOrigin: http://b", 400, b"more than one Origin"),
    "several protocols": (b"Upgrade: websocket", b"Upgrade: websocket, h2c", 400, b"Upgrade field"),
    "another protocol second": (b"Upgrade: websocket", b"Upgrade: h2c\r\nUpgrade: websocket", 400, b"Upgrade field"),
    "no connection option": (b"Connection: Upgrade", b"Connection: close", 400, b"Connection field"),
    "a sub-protocol with a space": (OWN, OWN + b"\r\nSec-WebSocket-Protocol: a b", 400, b"sub-protocol"),
    "a folded line": (OWN, OWN + b"\r\n folded", 400, b"not the head"),
    "a line without a colon": (OWN, OWN + b"\r\nbroken", 400, b"not the head"),
    "bytes in the target": (PATH, PATH + b"?\xff", 400, b"request target"),
    "a fragment": (PATH, PATH + b"?a#b", 400, b"request target"),
    "a long target": (PATH, PATH + b"?" + b"a" * 8000, 414, b"8000 bytes"),
    "a long field": (OWN, OWN + b"\r\nX-Long: " + b"a" * 8000, 431, b"'x-long' has more than 8000 bytes"),
    "many fields": (OWN, OWN + b"\r\nX: y" * 100, 431, b"105 header fields, more than 100"),
}


@asynccontextmanager
async def counting_server() -> AsyncIterator[tuple[str, list[trio.SocketStream]]]:
    """A replica that only counts connections: its URL, and its connections."""
    came: list[trio.SocketStream] = []

    async def serve(stream: trio.SocketStream) -> None:
        came.append(stream)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", came
        nursery.cancel_scope.cancel()


def changed(was: bytes, becomes: bytes) -> bytes:
    request = upgrade_request()
    assert was in request
    return request.replace(was, becomes, 1)


async def refused(client: Raw, request: bytes) -> tuple[bytes, bytes]:
    """(head, body) of the answer; the connection ends with it."""
    await client.send(request)
    head, _, body = (await client.to_the_end()).partition(END)
    return head, body


@pytest.mark.parametrize("dialect", ["opaque", "dreamverse", "fastvideo"])
async def test_a_wrong_upgrade_is_refused_and_dials_no_replica(dialect: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with (
            counting_server() as (url, came),
            running(url, http_get=always_well, dialect=dialect) as router,
        ):
            for kind, (was, becomes, status, text) in WRONG.items():
                async with dialled(router.port) as client:
                    head, body = await refused(client, changed(was, becomes))
                assert head.startswith(b"HTTP/1.1 %d " % status), (kind, head)
                assert text in body, (kind, body)
                if status == 426:
                    assert b"sec-websocket-version: 13" in head.lower().split(b"\r\n")
            assert outcomes(router) == {}, "no session was made"
            await trio.testing.wait_all_tasks_blocked()
            assert came == [], "a replica was dialled for a request that is wrong"
    assert not [line for line in logs if line["log_level"] == "error"]


async def accepted(router: Router, request: bytes) -> bytes:
    async with dialled(router.port) as client:
        await client.send(request)
        return await client.until(END)


UNUSUAL = {
    "a content length of 0": (OWN, OWN + b"\r\nContent-Length: 0"),
    "two connection fields": (b"Connection: Upgrade", b"Connection: Upgrade\r\nConnection: keep-alive"),
    "two cookies": (OWN, OWN + b"\r\nCookie: a=1\r\nCookie: b=2"),
    "two offers": (OWN, OWN + b"\r\nSec-WebSocket-Protocol: a,\r\nSec-WebSocket-Protocol: b"),
    "a long label and two cookies": (OWN, b"Host: " + b"x" * 63 + b":9000\r\nCookie: a=1\r\nCookie: b=2"),
    "an empty label and two cookies": (OWN, b"Host: a..b\r\nCookie: a=1\r\nCookie: b=2"),
    "a field of 8,000 bytes": (OWN, OWN + b"\r\nX-Long: " + b"a" * (8000 - len("X-Long"))),
    "100 fields": (OWN, OWN + b"\r\nX: y" * 95),
}


async def test_an_unusual_but_correct_upgrade_is_accepted() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router:
        for kind, (was, becomes) in UNUSUAL.items():
            assert (await accepted(router, changed(was, becomes))).startswith(b"HTTP/1.1 101 "), kind
            await arrivals.receive()


async def test_an_unusual_but_correct_upgrade_on_an_unknown_path_is_404() -> None:
    async with running("http://replica.test", http_get=always_well) as router:
        for kind, (was, becomes) in UNUSUAL.items():
            request = changed(was, becomes).replace(PATH, b"/nothing", 1)
            assert (await accepted(router, request)).startswith(b"HTTP/1.1 404 "), kind


async def test_expect_stays_here() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router:
        assert (await accepted(router, changed(OWN, OWN + b"\r\nExpect: 100-continue"))).startswith(b"HTTP/1.1 101 ")
        _, head = await arrivals.receive()
        assert b"expect" not in head.lower()


async def test_a_third_party_replica_takes_the_largest_request() -> None:
    """The limits allow for what the router adds, so no replica refuses a correct request for its size."""
    chain = b"X-Forwarded-For: " + b"a" * (8000 - len("X-Forwarded-For") - 2)
    offer = b"Sec-WebSocket-Protocol: " + b", ".join(b"p%04d" % number for number in range(1100))
    largest = changed(OWN, b"\r\n".join([OWN, chain, offer, *[b"X: y"] * 93])).replace(
        PATH, PATH + b"?" + b"q" * 7989, 1
    )
    async with replica() as back, running(back.url) as router, dialled(router.port) as client:
        await client.send(largest)
        assert (await client.until(END)).startswith(b"HTTP/1.1 101 ")
        await back.accepted()


@pytest.mark.parametrize("data", [b"\x16\x03\x01" + END, b"GET /health" + END])
async def test_what_is_no_request_is_told_so(data: bytes) -> None:
    async with running("http://replica.test", http_get=always_well) as router, dialled(router.port) as client:
        head, body = await refused(client, data)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert body == b"this is not the head of a correct HTTP/1.1 request\n"


async def test_of_the_replicas_101_only_cookies_and_the_sub_protocol_reach_the_client() -> None:
    added = [
        b"Server: secret/1.0",
        b"Location: http://10.0.0.1/",
        b"X Y: spaced",
        b"Set-Cookie: seat=7",
        b"Set-Cookie: row=1",
    ]

    async def serve(stream: trio.SocketStream) -> None:
        raw = Raw(stream)
        key = next(
            line[18:].strip()
            for line in (await raw.until(END)).split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        lines = [b"HTTP/1.1 101 S", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Protocol: b"]
        lines += [b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode(), *added]
        await raw.send(b"\r\n".join(lines) + END)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with running(url, http_get=always_well) as router:
            answer = await accepted(router, changed(OWN, OWN + b"\r\nSec-WebSocket-Protocol: a, b"))
        nursery.cancel_scope.cancel()
    lines = answer.split(b"\r\n")[1:-2]
    assert sorted(line.lower() for line in lines if not line.lower().startswith(b"sec-websocket-accept")) == [
        b"connection: upgrade",
        b"sec-websocket-protocol: b",
        b"set-cookie: row=1",
        b"set-cookie: seat=7",
        b"upgrade: websocket",
    ]
