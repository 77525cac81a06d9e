"""A slot that becomes free while somebody waits is taken in the same instant, whatever made it free."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, REJECTED, farewell
from tests.session.stage import Actor, Stage, staged
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.errors import DialError
from trio_router.core.replicas.replica import FULL_SECONDS, AdminState

BUSY = DialError("answered HTTP 503", refused=True, status=503)
BROKEN = DialError("cannot connect")


async def fail(stage: Stage, actor: Actor, times: int = 3) -> None:
    """So many sessions in a row find the replica dead; probes find it well."""
    actor.refuse(*[BROKEN] * times)
    for _ in range(times):
        await (await stage.client()).last_words()
        stage.report(actor)


async def test_a_session_that_ends_hands_its_slot_on(clock: MockClock) -> None:
    async with staged() as stage:
        one = await stage.served(stage.actors[0])
        waiting = await stage.client()
        await waiting.told(1, 1)
        await trio.sleep(7.25)
        await farewell(*one)
        await stage.actors[0].admit()
        assert trio.current_time() == 7.25
        await waiting.hears(ASSIGNED)


async def test_a_rejection_is_over_after_a_moment(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        actor.refuse(BUSY)
        client = await stage.client()
        await client.told(1, 1)
        await actor.admit()
        assert actor.dials == [0.0, FULL_SECONDS]


async def test_a_rejection_is_over_when_its_client_has_left(clock: MockClock) -> None:
    """The one that was rejected is gone: those behind it must not wait for its moment to be remembered."""
    async with staged() as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        rejected, behind = await stage.client(), await stage.client()
        await behind.told(2, 2)
        await trio.sleep(5)
        await farewell(*one)
        replica = await actor.accepted()
        await trio.sleep(1.5)
        await replica.say(REJECTED)
        await stage.settled()
        await rejected.vanish()
        await actor.admit()
        assert actor.dials == [0.0, 5.0, 6.5 + FULL_SECONDS]


async def test_the_next_in_the_queue_is_not_sent_to_a_replica_that_has_just_rejected(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        clients = [await stage.client() for _ in range(3)]
        await clients[-1].told(3, 3)
        actor.refuse(BUSY)
        await farewell(*one)
        await stage.settled()
        assert actor.dials == [0.0, 0.0]
        await actor.admit()
        assert actor.dials[2:] == [FULL_SECONDS]
        for depth in (1, 3):
            await clients[0].told(1, depth)


async def test_a_report_of_room_ends_a_rejection_at_once(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        actor.refuse(BUSY)
        await (await stage.client()).told(1, 1)
        await trio.sleep(0.5)
        stage.report(actor, busy=0, total=1)
        await actor.admit()
        assert actor.dials == [0.0, 0.5]


async def test_a_lingering_slot_is_taken_when_the_replica_reports_itself_free(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        stage.report(actor, busy=0, total=1)
        client, replica = await stage.served(actor)
        await client.vanish()
        await replica.last_words()
        waiting = await stage.client()
        for at in (1.0, 2.0, 3.0):
            await trio.sleep_until(at)
            stage.report(actor, busy=1, total=1)
            await stage.settled()
            assert actor.dials == [0.0]
        await trio.sleep_until(3.5)
        stage.report(actor, busy=0, total=1)
        await actor.admit()
        assert actor.dials == [0.0, 3.5]
        await waiting.told(1, 1)
        await waiting.hears(ASSIGNED)


async def test_the_end_of_an_ejection_is_seen_at_once(clock: MockClock) -> None:
    async with staged(2, balance="first", queue={"timeout_seconds": 100}, limits={"attempts": 1}) as stage:
        bad, good = stage.actors
        await fail(stage, bad)
        await stage.served(good)
        await (await stage.client()).told(1, 1)
        await bad.admit()
        assert bad.dials == [0.0, 0.0, 0.0, 30.0]


async def test_a_replica_that_becomes_well_is_used_at_once(clock: MockClock) -> None:
    async with staged(2, healthy=False) as stage:
        one, two = stage.actors
        stage.report(one)
        await stage.served(one)
        await stage.client()
        await trio.sleep(3)
        stage.report(two)
        await two.admit()
        assert two.dials == [3.0]


async def test_all_slots_that_one_report_frees_are_taken(clock: MockClock) -> None:
    async with staged([ReplicaEndpoint("http://r0", max_sessions=3)]) as stage:
        actor = stage.actors[0]
        stage.report(actor, busy=3, total=3)
        for _ in range(4):
            await stage.client()
        await trio.sleep(2)
        stage.report(actor, busy=0, total=3)
        for _ in range(3):
            await actor.admit()
        assert actor.dials == [2.0, 2.0, 2.0]
        assert len(stage.services.admission.queue) == 1


async def test_a_replica_that_is_ordered_back_is_used_at_once(clock: MockClock) -> None:
    async with staged(2) as stage:
        one, two = stage.actors
        stage.registry.set_admin_state(two.record, AdminState.DRAIN, now=trio.current_time())
        await stage.served(one)
        await stage.client()
        await trio.sleep(3)
        stage.registry.set_admin_state(two.record, AdminState.READY, now=trio.current_time())
        await two.admit()
        assert two.dials == [3.0]


async def test_slow_start_gives_each_slot_back_at_its_time(clock: MockClock) -> None:
    four = [ReplicaEndpoint("http://r0", max_sessions=4)]
    async with staged(four, slow_start_seconds=10) as stage:
        actor = stage.actors[0]
        for good in (False, False, False, True, True):
            stage.report(actor, good=good)
        for _ in range(4):
            await stage.client()
        for _ in range(4):
            await actor.admit()
        assert actor.dials == [0.0, 5.0, 7.5, 10.0]
