"""What becomes of a replica that fails its sessions: it is left out for a while, and its slots may linger."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.session.stage import Actor, Stage, staged
from trio_router.core.errors import DialError


async def die(stage: Stage, actor: Actor) -> None:
    """A session gets past its commit point, then the replica drops it; the next probe finds the replica well."""
    client, replica = await stage.served(actor, address=f"10.0.1.{len(stage.sessions)}")
    await trio.sleep(1)
    await replica.vanish()
    await client.last_words()
    await stage.settled()
    stage.report(actor)


async def test_a_replica_that_dies_under_sessions_is_ejected_for_longer_each_time(clock: MockClock) -> None:
    async with staged(2, balance="first") as stage:
        bad = stage.actors[0]
        spells = []
        for _ in range(3):
            for _ in range(3):
                await die(stage, bad)
            assert not bad.record.usable(trio.current_time())
            spells.append(round(bad.record.ejected_until - trio.current_time()))
            await trio.sleep_until(bad.record.ejected_until)
        assert spells == [30, 60, 90]


async def test_a_session_that_ends_well_wipes_the_slate(clock: MockClock) -> None:
    async with staged(2, balance="first") as stage:
        actor = stage.actors[0]
        for _ in range(4):
            for _ in range(2):
                await die(stage, actor)
            client, replica = await stage.served(actor)
            await client.vanish()
            await replica.last_words()
        assert actor.record.usable(trio.current_time())


async def test_the_last_one_is_never_left_out_even_if_it_became_the_last(clock: MockClock) -> None:
    """One is ejected, then the other stops answering probes: the first one is back, and who waits is served there."""
    async with staged(2, balance="first", queue={"timeout_seconds": 10}) as stage:
        bad, good = stage.actors
        for _ in range(3):
            await die(stage, bad)
        await stage.served(good)
        waiting = await stage.client()
        await waiting.told(1, 1)
        now = trio.current_time()
        for _ in range(3):
            stage.report(good, good=False)
        await bad.admit()
        assert trio.current_time() == now


async def test_the_only_replica_is_not_left_out_for_failed_sessions(clock: MockClock) -> None:
    """Its probes are good; only a burst of dials failed."""
    async with staged() as stage:
        actor = stage.actors[0]
        actor.refuse(*[DialError("cannot connect")] * 3)
        for _ in range(3):
            await (await stage.client()).last_words()
        await stage.client()
        await actor.admit()


async def test_a_slot_lingers_where_the_replica_may_still_be_at_it(clock: MockClock) -> None:
    """It sent nonsense and was dropped; nobody knows whether it goes on generating, but its reports."""
    async with staged() as stage:
        actor = stage.actors[0]
        stage.report(actor, busy=0, total=1)
        client, replica = await stage.served(actor)
        await replica.stream.send_all(b"\xff\xff\xff\xff")
        await client.last_words()
        await replica.last_words()
        await replica.vanish()
        await stage.settled()
        waiting = await stage.client()
        await waiting.told(1, 1)
        await trio.sleep(1)
        stage.report(actor, busy=0, total=1)
        await actor.admit()
        assert actor.dials == [0.0, 1.0]
