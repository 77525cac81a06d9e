"""First come, first served, for each who can use the slot; a rejection costs nobody his rank."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, REJECTED, farewell
from tests.session.stage import staged
from trio_router.core.config import ReplicaEndpoint


async def test_who_was_rejected_keeps_his_rank(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        for name in ("a", "b", "c"):
            await stage.client(INIT | {"client_id": name})
        await trio.sleep(5)
        await farewell(*one)
        await (await actor.accepted()).say(REJECTED)
        late = await stage.client(INIT | {"client_id": "late"})
        await late.told(4, 4)
        order = []
        for _ in range(4):
            replica = await actor.accepted()
            order.append((await replica.hear())["client_id"])
            await replica.say(ASSIGNED)
            await replica.close()
        assert order == ["a", "b", "c", "late"]


async def test_who_waits_for_a_busy_preset_holds_up_nobody_else(clock: MockClock) -> None:
    replicas = [ReplicaEndpoint("http://r0", presets=("wan",)), ReplicaEndpoint("http://r1", presets=("ltx", "hy"))]
    async with staged(replicas) as stage:
        wan, other = stage.actors
        await stage.client(INIT | {"preset": "wan"})
        await wan.admit(INIT | {"preset": "wan"})
        for client_id in ("first", "second"):
            await stage.client(INIT | {"preset": "wan", "client_id": client_id})
        await stage.client(INIT | {"preset": "hy"})
        await other.admit(INIT | {"preset": "hy"})
        assert wan.unseen == 0
        assert len(stage.services.admission.queue) == 2


async def test_when_a_tier_is_full_the_next_one_serves(clock: MockClock) -> None:
    replicas = [ReplicaEndpoint("http://r0"), ReplicaEndpoint("http://r1", primary=True)]
    async with staged(replicas) as stage:
        other, primary = stage.actors
        one = await stage.served(primary)
        await stage.served(other)
        await stage.client()
        await trio.sleep(5)
        await farewell(*one)
        await primary.admit()
        assert (primary.dials, other.dials) == ([0.0, 5.0], [0.0])
