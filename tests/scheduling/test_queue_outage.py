"""The line survives an outage of its replicas, up to a time; then all who wait are told, and who comes is told at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, FarEnd, farewell
from tests.session.stage import Actor, Stage, staged
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.replicas.replica import AdminState, Replica
from trio_router.core.scheduling.queue import SlotRequest
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.scheduling.scheduler import SessionEntry


def sicken(stage: Stage, actor: Actor) -> None:
    for _ in range(3):
        stage.report(actor, good=False)


async def refused(client: FarEnd) -> tuple[str, int, str, float]:
    """The error's code, the close code and reason, and when they came."""
    words, closed = await client.last_words()
    return words[-1]["code"], closed.code, closed.reason, trio.current_time()


def nobody(at: float) -> tuple[str, int, str, float]:
    return "gpu_unavailable", 1013, "no_healthy_replica", at


async def test_who_waits_keeps_its_place_while_the_lone_replica_is_away_for_a_moment(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        waiting = [await stage.client() for _ in range(3)]
        await trio.sleep(1)
        sicken(stage, actor)
        await trio.sleep(2)
        late = await stage.client()
        for _ in range(2):
            stage.report(actor)
        await farewell(*one)
        for position, client in enumerate([*waiting, late], start=1):
            pair = client, await actor.admit()
            while (said := await client.hear()) != ASSIGNED:
                assert said["type"] == "queue_status"
                assert said["position"] <= position
            await farewell(*pair)
        assert len(actor.dials) == 5


async def test_who_comes_before_the_first_probe_has_answered_waits_for_it(clock: MockClock) -> None:
    async with staged(healthy=False) as stage:
        client = await stage.client()
        await client.told(1, 1)
        await trio.sleep(3)
        stage.report(stage.actors[0])
        await stage.actors[0].admit()
        await client.hears(ASSIGNED)
        assert stage.actors[0].dials == [3.0]


@pytest.mark.parametrize("seconds", [None, 4.0])
async def test_after_so_long_all_who_wait_are_told_and_who_comes_is_told_at_once(
    clock: MockClock, seconds: float | None
) -> None:
    async with staged(2, queue={} if seconds is None else {"outage_seconds": seconds}) as stage:
        patience = seconds or 10.0
        await trio.sleep(20)
        for actor in stage.actors:
            sicken(stage, actor)
        one = await stage.client()
        await trio.sleep(3)
        two = await stage.client()
        assert await refused(one) == nobody(20 + patience)
        assert await refused(two) == nobody(20 + patience)
        await trio.sleep(1)
        assert await refused(await stage.client()) == nobody(21 + patience)


async def test_an_outage_that_ends_in_time_begins_anew_the_next_time(clock: MockClock) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        client = await stage.client()
        for _ in range(3):
            sicken(stage, actor)
            await trio.sleep(9)
            for _ in range(2):
                stage.report(actor)
            await trio.sleep(1)
        sicken(stage, actor)
        assert await refused(client) == nobody(40.0)
        await farewell(*one)


@pytest.mark.parametrize("line", [{"length": 0}, {"outage_seconds": 0}])
async def test_nobody_waits_for_a_replica_to_come_back_if_nobody_is_to(clock: MockClock, line: dict[str, Any]) -> None:
    async with staged(healthy=False, queue=line) as stage:
        assert await refused(await stage.client()) == nobody(0.0)


async def test_a_replica_that_was_ordered_away_is_not_waited_for(clock: MockClock) -> None:
    async with staged() as stage:
        one = await stage.served(stage.actors[0])
        waiting = await stage.client()
        await trio.sleep(5)
        stage.registry.set_admin_state(stage.actors[0].record, AdminState.DRAIN, now=5.0)
        assert await refused(waiting) == nobody(5.0)
        assert await refused(await stage.client()) == nobody(5.0)
        await farewell(*one)


async def test_an_outage_of_one_preset_is_none_of_the_others(clock: MockClock) -> None:
    replicas = [ReplicaEndpoint("http://r0", presets=("wan",)), ReplicaEndpoint("http://r1", presets=("ltx",))]
    async with staged(replicas) as stage:
        wan, ltx = stage.actors
        busy = stage.registry.reserve(now=0.0, preset="ltx")
        assert busy is not None
        waits_for_ltx = await stage.client(INIT | {"preset": "ltx"})
        sicken(stage, wan)
        assert await refused(await stage.client(INIT | {"preset": "wan"})) == nobody(10.0)
        await trio.sleep(5)
        stage.registry.release(busy, now=15.0)
        await ltx.admit(INIT | {"preset": "ltx"})
        for place in (1, 2):
            await waits_for_ltx.told(1, place)


# The admission alone


def entry(**slot_request: Any) -> SessionEntry:
    made = SessionEntry()
    made.slot_request = SlotRequest(**slot_request)
    return made


async def asks(stage: Stage, *exclude: Replica) -> tuple[End, float]:
    """What a session is told in the end that has these behind it; it gets no slot."""
    found = await stage.services.admission.acquire(entry(), exclude=exclude, tell=lambda *_: None)
    assert isinstance(found, End)
    return found, trio.current_time()


async def test_a_session_that_was_refused_everywhere_is_told_so_at_once(clock: MockClock) -> None:
    """Not after the line's timeout: nothing else can come."""
    async with staged(2) as stage:
        end, at = await asks(stage, *stage.registry.replicas)
        assert (end.side, end.cause, at) == (Side.REPLICA, Cause.REJECTED, 0.0)
        assert end.retry_after is not None
        assert end.retry_after >= 1


async def test_a_session_that_was_refused_waits_for_another_replica_as_long_as_one_may_come(clock: MockClock) -> None:
    async with staged(2) as stage:
        refuses, away = stage.registry.replicas
        await trio.sleep(1)
        sicken(stage, stage.actors[1])
        end, at = await asks(stage, refuses)
        assert (end.cause, at) == (Cause.REJECTED, 11.0)
        sicken(stage, stage.actors[0])
        end, at = await asks(stage, refuses)
        assert (end.cause, at) == (Cause.NO_REPLICA, 11.0), "what refused it is gone too"
        assert not away.usable(at)


async def test_who_has_said_nothing_yet_is_told_when_those_who_wait_would_be(clock: MockClock) -> None:
    async with staged() as stage:
        told: list[tuple[str, float]] = []

        def hears(name: str) -> Any:
            return lambda end: told.append((f"{name} {end.cause}", trio.current_time()))

        admission = stage.services.admission
        for name in ("one", "two"):
            admission.when_hopeless(entry(), hears(name))
        forget = admission.when_hopeless(entry(), hears("gone"))
        await trio.sleep(100)
        sicken(stage, stage.actors[0])
        await trio.sleep(5)
        assert told == []
        forget()
        forget()
        late = admission.when_hopeless(entry(), hears("late"))
        await trio.sleep(100)
        assert told == [(f"{name} no_replica", 110.0) for name in ("one", "two", "late")]
        late()
        admission.when_hopeless(entry(), hears("now"))
        assert told[3:] == [("now no_replica", 205.0)], "synchronously"


async def test_a_callback_may_forget_another_one(clock: MockClock) -> None:
    async with staged(healthy=False) as stage:
        told: list[int] = []
        forgets: list[Any] = []
        for number in range(2):

            def hears(_: End, number: int = number) -> None:
                told.append(number)
                forgets[1]()

            forgets.append(stage.services.admission.when_hopeless(entry(), hears))
        await trio.sleep(50)
        assert told == [0]


async def test_without_a_line_silent_clients_are_told_as_soon_as_nothing_is_usable(clock: MockClock) -> None:
    async with staged(queue={"length": 0}) as stage:
        told: list[float] = []
        stage.services.admission.when_hopeless(entry(), lambda _: told.append(trio.current_time()))
        await trio.sleep(3)
        sicken(stage, stage.actors[0])
        await stage.settled()
        assert told == [3.0]
        stage.services.admission.when_hopeless(entry(), lambda _: told.append(-1.0))
        assert told == [3.0, -1.0]


async def test_the_seam_gives_and_takes_back_a_lease(clock: MockClock) -> None:
    async with staged(queue={"per_client": 1}) as stage:
        scheduler = stage.services.admission
        one, two = entry(client="ann"), entry(client="ann")
        assert [scheduler.admit(one), scheduler.admit(two)] == [True, False]
        lease = await scheduler.acquire(one, exclude=(), tell=lambda *_: None)
        assert not isinstance(lease, End)
        assert scheduler.acquire_nowait(two, exclude=()) is None
        await trio.sleep(7)
        for _ in range(2):
            scheduler.release(one, lease, committed=True, linger=False)
        assert scheduler.queue.estimate(1, 1) == 7.0
        again = scheduler.acquire_nowait(two, exclude=())
        assert not isinstance(again, End | None)
        scheduler.release(two, again, committed=False, linger=False)
        assert scheduler.positions(7.0) == []
