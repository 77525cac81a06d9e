"""Whole sessions in a dialect that is not the package's own: capacity, lingering, statuses, the queue's words."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock
from websockets.frames import Opcode

from tests.mine import Mine
from tests.session.ends import FarEnd
from tests.session.stage import Actor, Stage, staged
from trio_router.core.errors import DialError
from trio_router.core.session.outcome import Cause


def mine(replicas: int = 1, **settings: Any) -> Any:
    return staged(replicas, dialects={"mine": Mine()}, dialect="mine", **settings)


async def come(stage: Stage, name: str = "ann") -> FarEnd:
    client = await stage.client(None)
    await client.send(Opcode.BINARY, f"init {name} wan".encode())
    await stage.settled()
    return client


async def told(end: FarEnd, opcode: Opcode, payload: bytes) -> None:
    frame = await end.frame()
    assert (frame.opcode, bytes(frame.data)) == (opcode, payload)


async def admit(actor: Actor, name: str = "ann") -> FarEnd:
    replica = await actor.accepted()
    await told(replica, Opcode.BINARY, f"init {name} wan".encode())
    await replica.send(Opcode.BINARY, b"media")
    return replica


async def leave(client: FarEnd, replica: FarEnd) -> None:
    await replica.send(Opcode.TEXT, b"done")
    for end in (replica, client):
        while (await end.frame()).opcode is not Opcode.CLOSE:
            pass
    await client.close(1000)


async def test_a_replica_that_says_nothing_of_itself_serves_as_many_as_the_dialect_says(clock: MockClock) -> None:
    async with mine() as stage:
        actor = stage.actors[0]
        for _ in range(2):
            await come(stage)
            await admit(actor)
        third = await come(stage)
        await told(third, Opcode.BINARY, b'["place", 1, 1]')
        assert actor.unseen == 0


async def test_its_slot_is_busy_for_a_while_after_the_session_and_who_waits_gets_it_then(clock: MockClock) -> None:
    async with mine() as stage:
        actor = stage.actors[0]
        pairs = []
        for _ in range(2):
            client = await come(stage)
            pairs.append((client, await admit(actor)))
        third = await come(stage, "bob")
        await leave(*pairs[0])
        await stage.settled()
        ended = trio.current_time()
        assert actor.unseen == 0
        await admit(actor, "bob")
        assert trio.current_time() - ended == pytest.approx(2, abs=0.01)
        assert stage.outcomes[0].cause is Cause.COMPLETED
        await told(third, Opcode.BINARY, b'["place", 1, 1]')


async def test_a_replica_that_refused_a_session_is_not_busy_with_it(clock: MockClock) -> None:
    async with mine(2, balance="first") as stage:
        first, second = stage.actors
        await come(stage)
        replica = await first.accepted()
        await replica.send(Opcode.TEXT, b"full")
        await admit(second)
        assert first.record.taken == 0


@pytest.mark.parametrize("status", [409, 429, 503])
async def test_some_answers_to_the_upgrade_mean_try_another(status: int, clock: MockClock) -> None:
    async with mine(2, balance="first") as stage:
        first, second = stage.actors
        first.refuse(DialError(f"answered HTTP {status}", status=status, refused=status != 409))
        client = await come(stage)
        await admit(second)
        await told(client, Opcode.BINARY, b"media")
        assert first.record.failures_total == 0
        assert first.record.full_until > 0


async def test_other_answers_to_the_upgrade_are_the_clients(clock: MockClock) -> None:
    async with mine(2, balance="first") as stage:
        stage.actors[0].refuse(DialError("answered HTTP 403", status=403))
        client = await come(stage)
        await told(client, Opcode.BINARY, b'["error", "session_rejected", false]')
        assert stage.actors[1].unseen == 0
