"""What the frames carry: large and fragmented messages, pings from end to end, and no compression whoever offers it."""

from __future__ import annotations

import os
import zlib

import pytest
from websockets.frames import Opcode

from tests.server.peers import in_thread, replica, viewer
from tests.server.raw import Raw, frame, raw_replica, upgraded
from tests.server.router import eventually, running, session

MIB = 1024 * 1024


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
async def test_20_mib_each_way(text: bool) -> None:
    up: str | bytes = "ä" * 10 * MIB if text else os.urandom(20 * MIB)
    down: str | bytes = "ß" * 10 * MIB if text else os.urandom(20 * MIB)
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.send(up)
        assert await server.recv() == up
        await server.send(down)
        assert await client.recv() == down
        assert await client.close(1000) == (1000, "")


async def test_many_frames_each_way_at_once() -> None:
    """Both ends send more than any buffer holds before they read: neither direction may wait for the other."""
    messages = [os.urandom(64 * 1024) for _ in range(100)]
    async with (
        replica(max_queue=None) as back,
        running(back.url) as router,
        session(router, back, max_queue=None) as (client, server),
    ):
        for message in messages:
            await client.send(message)
            await server.send(message)
        for message in messages:
            assert await server.recv() == message
            assert await client.recv() == message


async def test_fragments_stay_fragments() -> None:
    pieces = [b"first", b"", b"x" * 70_000, b"last"]
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.send(iter(pieces))
        assert await server.fragments() == [*pieces, b""]  # the library ends with an empty frame of its own
        await server.send(iter(pieces))
        assert await client.fragments() == [*pieces, b""]


async def test_pings_between_fragments_overtake_the_message() -> None:
    async with raw_replica() as (url, arrivals), running(url) as router, upgraded(router.port) as (client, _):
        server, _head = await arrivals.receive()
        parts = [
            frame(Opcode.TEXT, b"one ", fin=False, mask=False),
            frame(Opcode.PING, b"still there?", mask=False),
            frame(Opcode.CONT, b"two ", fin=False, mask=False),
            frame(Opcode.PONG, b"unasked", mask=False),
            frame(Opcode.CONT, b"three", mask=False),
        ]
        for part in parts:
            await server.send(part)
            assert await client.exactly(len(part)) == part  # each at once: the router does not wait for the message
        masked = [
            frame(Opcode.BINARY, b"a" * 1000, fin=False, mask=True),
            frame(Opcode.PING, b"and you?", mask=True),
            frame(Opcode.CONT, b"b" * 1000, mask=True),
        ]
        for part in masked:
            await client.send(part)
            assert await server.exactly(len(part)) == part


async def test_pings_go_end_to_end() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.ping(b"from the client")
        await server.ping(b"from the replica")
        await server.ping(b"")
        up, down = next(iter(router.services.session_table)).traffic()
        assert (up.frames, down.frames) == (3, 3)  # three pings and three pongs were carried, none answered here


OFTEN = {"ping_interval_seconds": 0.05, "dead_peer_seconds": 10}


async def opcodes_until_text(end: Raw) -> set[int]:
    """What short frames come before a text frame."""
    found = set()
    while (head := await end.exactly(2))[0] != 0x81:
        found.add(head[0])
        await end.exactly((head[1] & 127) + (4 if head[1] & 128 else 0))
    return found


async def test_own_pings_of_a_silent_client_are_not_seen_by_the_replica() -> None:
    async with (
        raw_replica() as (url, arrivals),
        running(url, timeouts=OFTEN) as router,
        viewer(router.port) as client,
    ):
        server, _ = await arrivals.receive()
        found = next(iter(router.services.session_table))
        await eventually(lambda: found.traffic()[0].frames >= 3)  # its pongs to the router
        await client.send("after the pongs")
        assert await opcodes_until_text(server) == {0x89}, "pings of the router's own, and no pong"


async def test_own_pings_of_a_silent_replica_are_not_seen_by_the_client() -> None:
    async with (
        replica() as back,
        running(back.url, timeouts=OFTEN) as router,
        upgraded(router.port) as (client, _),
    ):
        server = await back.accepted()
        found = next(iter(router.services.session_table))
        await eventually(lambda: found.traffic()[1].frames >= 3)
        await server.send("after the pongs")
        assert await opcodes_until_text(client) == {0x89}


async def test_offered_compression_is_not_negotiated() -> None:
    """A browser always offers it. Neither the offer nor anything about it passes; a compressed frame is an error."""
    async with raw_replica() as (url, arrivals), running(url) as router:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        async with upgraded(router.port, offer) as (client, answer):
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert b"sec-websocket-extensions" not in answer.lower()
            server, head = await arrivals.receive()
            assert b"sec-websocket-extensions" not in head.lower()
            plain = frame(Opcode.TEXT, b"plain", mask=False)
            await server.send(plain + b"\xc1\x05" + zlib.compress(b"hello")[:5])  # RSV1, as if it had been agreed upon
            close = frame(Opcode.CLOSE, b"\x03\xf3worker_failed", mask=False)
            assert await client.exactly(len(plain + close)) == plain + close
            opcode, _size, *key, high, low = await server.exactly(8)
            assert (opcode, (high ^ key[0]) * 256 + (low ^ key[1])) == (0x88, 1002)


async def test_browser_like_client_works_without_compression() -> None:
    async with (
        replica(compression="deflate") as back,
        running(back.url) as router,
        session(router, back, compression="deflate") as (client, server),
    ):
        assert client.ws.protocol.extensions == []
        assert server.ws.protocol.extensions == []
        await client.send("a" * 100_000)
        assert await server.recv() == "a" * 100_000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MIB - 4, MIB, 3 * MIB])
async def test_every_length_encoding(size: int) -> None:
    payload = os.urandom(size)
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.send(payload)
        assert await server.recv() == payload
        await server.send(payload)
        assert await client.recv() == payload


async def test_too_big_is_1009() -> None:
    limits = {"client_message_bytes": 4096, "replica_message_bytes": 4096}
    async with replica() as back, running(back.url, limits=limits) as router:
        async with session(router, back) as (client, server):
            await in_thread(client.ws.send, b"x" * 5000)
            code, _ = await client.ended()
            assert code == 1009
            assert (await server.ended())[0] == 1001
        async with session(router, back) as (client, server):
            await server.send("committed")
            await server.send(b"x" * 5000)
            assert await client.rest() == (["committed"], (1011, "worker_failed"))
            assert (await server.ended())[0] == 1009
