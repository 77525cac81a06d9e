"""Heads as they come from the wire: in pieces, several at once, too large, too slow, or no HTTP at all."""

from __future__ import annotations

import pytest

from tests.server.peers import replica
from tests.server.raw import END, dialled, raw_replica, upgrade_request
from tests.server.router import always_well, running

GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: router.test" + END
ANYWHERE = "http://replica.test"


async def test_byte_by_byte() -> None:
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        for byte in GET_HEALTH:
            await client.send(bytes([byte]))
        answer = await client.to_the_end()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b'{"status":"ok"}\n') or answer.endswith(b'{"status":"ok"}')


async def test_upgrade_byte_by_byte() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router, dialled(router.port) as client:
        for byte in upgrade_request():
            await client.send(bytes([byte]))
        assert (await client.until(END)).startswith(b"HTTP/1.1 101 ")
        await arrivals.receive()


async def test_pipelined_requests_get_one_answer_and_a_close() -> None:
    """One request a connection, or an upgrade could come second, past the one place that looks for it."""
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        await client.send(GET_HEALTH * 3)
        answer = await client.to_the_end()
        assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_keep_alive_client_is_served_on_a_new_connection() -> None:
    async with replica() as back, running(back.url) as router:
        for _ in range(3):
            async with dialled(router.port) as client:
                await client.send(GET_HEALTH.replace(END, b"\r\nConnection: keep-alive" + END))
                answer = await client.to_the_end()
                assert answer.startswith(b"HTTP/1.1 200 ")


async def test_head_request() -> None:
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        await client.send(GET_HEALTH.replace(b"GET", b"HEAD"))
        answer = await client.to_the_end()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(END), "no body"


async def test_body_behind_the_head_in_pieces() -> None:
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        await client.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked" + END)
        for piece in (b"5\r\nhel", b"lo\r\n", b"0\r\n", b"\r\n"):
            await client.send(piece)
        assert (await client.to_the_end()).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("complete", [True, False])
async def test_oversized_head_is_431(complete: bool) -> None:
    limits = {"header_bytes": 4096}
    async with running(ANYWHERE, http_get=always_well, limits=limits) as router, dialled(router.port) as client:
        await client.send(b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 8192 + (END if complete else b""))
        assert (await client.to_the_end()).startswith(b"HTTP/1.1 431 ")


async def test_oversized_upgrade_is_431_too() -> None:
    limits = {"header_bytes": 4096}
    async with running(ANYWHERE, http_get=always_well, limits=limits) as router, dialled(router.port) as client:
        await client.send(upgrade_request("/v1/stream", "X-Long: " + "x" * 8192))
        assert (await client.to_the_end()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + END,  # a TLS hello on a plain port
        b"hello" + END,
        b"GET /health" + END,
        b"GET /health HTTP/9.9" + END,
        b"PRI * HTTP/2.0" + END + b"SM" + END,
    ],
)
async def test_garbage_is_400(garbage: bytes) -> None:
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        await client.send(garbage)
        assert (await client.to_the_end()).startswith(b"HTTP/1.1 400 ")
        assert router.status()["router"]["sessions_total"] == 0


async def test_bad_field_is_400() -> None:
    async with running(ANYWHERE, http_get=always_well) as router, dialled(router.port) as client:
        await client.send(b"GET /health HTTP/1.1\r\nHost: x\r\nBad Name: x" + END)
        assert (await client.to_the_end()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [b"", GET_HEALTH[:-2], upgrade_request()[:-2]])
async def test_slow_head_is_cut_at_the_handshake_timeout(sent: bytes) -> None:
    timeouts = {"handshake_seconds": 0.2}
    async with running(ANYWHERE, http_get=always_well, timeouts=timeouts) as router, dialled(router.port) as client:
        if sent:
            await client.send(sent)
        assert await client.to_the_end() == b""
        assert router.status()["router"]["sessions_total"] == 0


@pytest.mark.parametrize("sent", [b"", GET_HEALTH[:10], GET_HEALTH, GET_HEALTH + b"more", b"\x00" * 100])
async def test_client_that_leaves_is_forgotten(sent: bytes) -> None:
    """By RST or FIN, on both ports, before or after its head: nothing of it reaches the others."""
    async with running(ANYWHERE, http_get=always_well, status_port=0) as router:
        for port in (router.port, router.status_port):
            for reset in (True, False):
                async with dialled(port) as client:
                    await client.send(sent)
                    if reset:
                        client.reset()
            async with dialled(port) as client:
                await client.send(GET_HEALTH)
                assert (await client.to_the_end()).startswith(b"HTTP/1.1 200 ")
