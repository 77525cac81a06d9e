"""Clients that flood, fragment and bomb: they are told, and others live on."""

from __future__ import annotations

import contextlib
import json

import pytest
import trio
from websockets.frames import Close, Frame, Opcode

from tests.relay.far import ASSIGNED, INIT, FarEnd
from tests.relay.router import Stage, staged
from trio_router.relay.pump import CONTROLS_PER_READ

TOO_MANY = Close(1002, "too many control frames")


def flood_of(opcode: Opcode, count: int, *, masked: bool = True) -> bytes:
    return Frame(opcode, b"").serialize(mask=masked) * count


async def last_frame(end: FarEnd) -> tuple[list[Frame], Close]:
    """The frames up to a close, and the close."""
    frames = []
    while (found := await end.hear()).opcode is not Opcode.CLOSE:
        frames.append(found)
    return frames, Close.parse(found.data)


async def send(end: FarEnd, data: bytes) -> None:
    """As much as the router takes before it closes."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await end.stream.send_all(data)


async def leave_when_closed(end: FarEnd) -> None:
    await last_frame(end)
    await end.vanish()


async def still_lives(client: FarEnd, replica: FarEnd) -> None:
    await client.text(b"still here?")
    await replica.hears(Opcode.TEXT, b"still here?")
    await replica.binary(b"yes")
    await client.hears(Opcode.BINARY, b"yes")


async def told(stage: Stage, label: str) -> None:
    """One session has ended, like this."""
    await stage.settled(open_sessions=1)
    assert dict(stage.router.services.session_table.outcomes) == {label: 1}


# Floods


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_a_flood_before_the_first_message_is_an_offence(opcode: Opcode) -> None:
    async with staged(replicas=2) as stage, trio.open_nursery() as nursery:
        others = await stage.session()
        client = await stage.client(behind=flood_of(opcode, 2000))
        nursery.start_soon(send, client, flood_of(opcode, 100_000))
        frames, close = await last_frame(client)
        assert close == TOO_MANY
        assert {found.opcode for found in frames} <= {Opcode.PONG}
        await client.vanish()
        await told(stage, "client.first_message.protocol_error")
        await still_lives(*others)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_a_flood_behind_the_commit_point_is_an_offence(opcode: Opcode) -> None:
    async with staged(replicas=2) as stage, trio.open_nursery() as nursery:
        others = await stage.session()
        client, replica = await stage.session()
        nursery.start_soon(send, client, flood_of(opcode, 100_000))
        nursery.start_soon(leave_when_closed, replica)
        assert await last_frame(client) == ([], TOO_MANY)
        await client.vanish()
        await told(stage, "client.streaming.protocol_error")
        assert sum(found.failures_total for found in stage.router.registry.replicas) == 0
        await still_lives(*others)


@pytest.mark.parametrize("committed", [False, True])
async def test_five_hundred_pings_are_answered(committed: bool) -> None:
    pings = flood_of(Opcode.PING, CONTROLS_PER_READ // 2)
    async with staged() as stage:
        if committed:
            client, replica = await stage.session()
            await client.stream.send_all(pings)
            for _ in range(CONTROLS_PER_READ // 2):
                await replica.hears(Opcode.PING, b"")
            await replica.stream.send_all(flood_of(Opcode.PONG, CONTROLS_PER_READ // 2, masked=False))
        else:
            client = await stage.client(behind=pings)
        for _ in range(CONTROLS_PER_READ // 2):
            await client.hears(Opcode.PONG, b"")
        if not committed:
            await client.text(INIT)
            replica = await stage.replicas.accepted()
            await replica.hears(Opcode.TEXT, INIT)
            await replica.text(ASSIGNED)
            await client.hears(Opcode.TEXT, ASSIGNED)
        await still_lives(client, replica)


async def test_a_replica_that_answers_many_pings_at_once_is_not_blamed() -> None:
    """Who pings in small portions may be answered in one large one; that is the client's doing."""
    async with staged(replicas=2) as stage, trio.open_nursery() as nursery:
        others = await stage.session()
        client, replica = await stage.session()
        nursery.start_soon(send, replica, flood_of(Opcode.PONG, 100_000, masked=False))
        frames, close = await last_frame(client)
        assert close == TOO_MANY
        assert {found.opcode for found in frames} <= {Opcode.PONG}
        await client.close(1002)
        await client.vanish()
        frames, close = await last_frame(replica)
        assert close.code == 1001
        await replica.vanish()
        await told(stage, "client.streaming.protocol_error")
        assert [found.failures_total for found in stage.router.registry.replicas] == [0, 0]
        await still_lives(*others)


# First messages


async def test_a_first_message_in_thousands_of_fragments_is_an_offence() -> None:
    async with staged(replicas=2) as stage, trio.open_nursery() as nursery:
        others = await stage.session()
        client = await stage.client()
        fragments = Frame(Opcode.TEXT, b"{", False).serialize(mask=True)
        nursery.start_soon(send, client, fragments + Frame(Opcode.CONT, b" ", False).serialize(mask=True) * 20_000)
        await client.hears_close(1002, "too many frames before the session began")
        await client.vanish()
        await told(stage, "client.first_message.protocol_error")
        await still_lives(*others)


async def test_a_json_bomb_is_no_first_message() -> None:
    async with staged(replicas=2) as stage:
        others = await stage.session()
        client = await stage.client()
        await client.text(json.dumps({"type": "session_init_v2", "bomb": [0] * 100_001}).encode())
        await client.hears_error("invalid_message", retryable=False)
        assert (await last_frame(client))[1].code == 1003
        await client.vanish()
        await told(stage, "client.first_message.invalid_message")
        await still_lives(*others)


async def test_a_large_image_in_a_hundred_fragments_passes() -> None:
    async with staged() as stage:
        client = await stage.client()
        words = json.dumps({"type": "session_init_v2", "initial_image": "data:image/png;base64," + "A" * (1024 * 1024)})
        parts = [words.encode()[start : start + 10_500] for start in range(0, len(words), 10_500)]
        sent = b""
        for index, part in enumerate(parts):
            opcode = Opcode.CONT if index else Opcode.TEXT
            sent += Frame(opcode, part, index == len(parts) - 1).serialize(mask=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.stream.send_all, sent)
            replica = await stage.replicas.accepted()
            await replica.hears_bytes(sent)
        await replica.text(ASSIGNED)
        await client.hears(Opcode.TEXT, ASSIGNED)
        await still_lives(client, replica)
