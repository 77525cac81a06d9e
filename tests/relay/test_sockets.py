"""What only real sockets show: connections that the poller drives, and aborts."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Frame, Opcode

from tests.relay.far import ASSIGNED, INIT, QUEUED
from tests.relay.router import staged


async def test_a_replica_that_dies_in_a_frame_that_is_cut_through_aborts_the_client() -> None:
    async with staged(limits={"hold_bytes": 1024}) as stage:
        client, replica = await stage.session()
        await replica.stream.send_all(Frame(Opcode.BINARY, bytes(10_000)).serialize(mask=False)[:2000])
        await wait_all_tasks_blocked()
        await replica.vanish()
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await client.hear()
        await stage.settled(open_sessions=0)  # at once, not at the close timeout: see the next line
        outcome = stage.router.services.session_table.recent[0][1]
        assert outcome.label == "replica.streaming.vanished"
        assert outcome.seconds < 4
        assert stage.router.services.poller.waiting == 1  # the listener
        await stage.session()


async def test_a_client_that_dies_in_a_frame_that_is_cut_through_aborts_the_replica() -> None:
    async with staged(limits={"hold_bytes": 1024}) as stage:
        client, replica = await stage.session()
        await client.stream.send_all(Frame(Opcode.BINARY, bytes(10_000)).serialize(mask=True)[:2000])
        await wait_all_tasks_blocked()
        await client.vanish()
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await replica.hear()
        await stage.settled(open_sessions=0)
        assert stage.router.services.session_table.recent[0][1].label == "client.streaming.vanished"
        assert stage.router.services.poller.waiting == 1  # the listener


async def test_a_client_that_pings_without_reading_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket is full of pongs while the poller's own step has more to say to it."""
    monkeypatch.setattr("trio_router.relay.pump.CONTROLS_PER_READ", 1_000_000)  # else so many end the session
    async with staged(replicas=1) as stage, trio.open_nursery() as nursery:
        await stage.session()  # holds the only slot
        client = await stage.client()
        await client.text(INIT)
        pings = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 10_000

        async def flood() -> None:
            while True:
                await client.stream.send_all(pings)

        nursery.start_soon(flood)
        session = list(stage.router.services.session_table.open.values())[-1]
        relay = session._relay  # type: ignore[attr-defined]
        while not relay.pair.to_client.outbox:  # noqa: ASYNC110  # no event tells it
            await trio.sleep(0.002)
        await wait_all_tasks_blocked()
        assert sum(map(len, relay.pair.to_client.outbox)) < 1_000_000
        nursery.cancel_scope.cancel()
    # What the router's tasks raised would have come out of the stage.


async def test_bytes_behind_the_handshakes_are_the_first_frames() -> None:
    """Both ends send their first words in one segment with their half of the handshake."""
    async with staged() as stage:
        client = await stage.client(behind=Frame(Opcode.TEXT, INIT).serialize(mask=True))
        replica = await stage.replicas.accepted()
        await replica.hears(Opcode.TEXT, INIT)
        await replica.stream.send_all(Frame(Opcode.TEXT, QUEUED).serialize(mask=False) * 3)
        await replica.text(ASSIGNED)
        for words in (QUEUED, QUEUED, QUEUED, ASSIGNED):
            await client.hears(Opcode.TEXT, words)


async def test_a_reset_is_a_client_that_vanished() -> None:
    async with staged() as stage:
        client, replica = await stage.session()
        assert isinstance(client.stream, trio.SocketStream)
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await client.vanish()
        await replica.hears_close(1001, "client is gone")
        await replica.close(1001)
        await stage.settled(open_sessions=0)
        outcome = stage.router.services.session_table.recent[0][1]
        assert (outcome.label, outcome.detail) == ("client.streaming.vanished", "Connection reset by peer")


async def test_a_client_that_offends_inside_a_frame_to_it_still_gets_the_frame_and_the_verdict() -> None:
    async with staged(limits={"hold_bytes": 1024}) as stage:
        client, replica = await stage.session()
        data = Frame(Opcode.BINARY, bytes(10_000)).serialize(mask=False)
        await replica.stream.send_all(data[:2000])
        await wait_all_tasks_blocked()
        await client.stream.send_all(b"\x82\x00")
        await replica.hears_close(1001, "client is gone")
        await replica.stream.send_all(data[2000:])
        await client.hears(Opcode.BINARY, bytes(10_000))
        await client.hears_close(1002, "client frames must be masked")
