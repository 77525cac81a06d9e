"""What sessions without a replica may hold, and what is known of slots while one of them is dialled."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, FarEnd, Message, farewell
from tests.session.stage import Stage, staged
from trio_router.core.session.outcome import Cause
from trio_router.replicas.probes import run_health_check_loop


def padded(size: int) -> Message:
    """A first message of so many bytes."""
    empty = {**INIT, "pad": ""}
    return {**INIT, "pad": "x" * (size - len(json.dumps(empty)))}


def held(stage: Stage) -> int:
    return stage.services.relay_parts.unplaced.held


async def test_a_first_message_above_its_own_limit_is_too_big_though_a_later_one_may_be_as_large(
    clock: MockClock,
) -> None:
    async with staged(limits={"first_message_bytes": 2000}) as stage:
        words, closed = await (await stage.client(padded(2001))).last_words()
        assert (words, closed.code) == ([], 1009)
        await stage.settled()
        assert (stage.actors[0].dials, held(stage)) == ([], 0)
        client = await stage.client(padded(2000))
        replica = await stage.actors[0].admit(padded(2000))
        await client.hears(ASSIGNED)
        await client.say(padded(3000))
        await replica.hears(padded(3000))
        await farewell(client, replica)


async def test_a_header_alone_holds_next_to_nothing(clock: MockClock) -> None:
    """It claims 15 MiB; memory grows with what has come."""
    async with staged() as stage:
        client = await stage.client(None)
        await client.stream.send_all(b"\x81\xff" + (15 * 2**20).to_bytes(8) + bytes(100))
        await stage.settled()
        assert 0 < held(stage) < 200_000
        await client.vanish()
        await stage.settled()
        assert held(stage) == 0


async def test_the_session_that_makes_it_too_much_is_sent_away_and_no_other(clock: MockClock) -> None:
    async with staged(limits={"unplaced_bytes": 10_000}) as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        assert held(stage) == 0, "past the commit point nothing is held"
        waiting = [await stage.client(padded(3000)) for _ in range(3)]
        assert 9000 < held(stage) <= 10_000
        (error,), closed = await last(await stage.client(padded(3000)))
        assert (error["code"], error["retryable"]) == ("gpu_unavailable", True)
        assert (closed, trio.current_time()) == ((1013, "overloaded"), 0.0)
        await stage.settled()
        assert 9000 < held(stage) <= 10_000
        await farewell(*one)
        for client in waiting:
            replica = await actor.admit(padded(3000))
            while (await client.hear()) != ASSIGNED:
                pass
            await farewell(client, replica)
        await stage.settled()
        assert held(stage) == 0
        assert [outcome.cause for outcome in stage.outcomes].count(Cause.OVERLOADED) == 1


async def test_it_is_the_one_that_sends_more_while_it_waits(clock: MockClock) -> None:
    async with staged(limits={"unplaced_bytes": 10_000}) as stage:
        one = await stage.served(stage.actors[0])
        quiet, greedy = await stage.client(padded(3000)), await stage.client(padded(3000))
        await greedy.say(padded(6000))
        words, closed = await last(greedy)
        assert (words[-1]["code"], closed) == ("gpu_unavailable", (1013, "overloaded"))
        await quiet.told(1, 1)
        await stage.settled()
        assert 3000 <= held(stage) < 3500
        await quiet.vanish()
        await stage.settled()
        assert held(stage) == 0
        await farewell(*one)


@pytest.mark.parametrize("said", [padded(3000), None])
async def test_what_was_held_is_given_back_when_all_are_cancelled(clock: MockClock, said: Message | None) -> None:
    """While they wait, or in the middle of a first message: `staged` looks at the end."""
    async with staged() as stage:
        await stage.served(stage.actors[0])
        for _ in range(5):
            client = await stage.client(said)
            if said is None:
                await client.stream.send_all(b"\x81\xfe\x10\x00" + bytes(1000))
        await stage.settled()
        assert held(stage) >= 5 * 1000


async def last(client: FarEnd) -> tuple[list[Message], tuple[int, str]]:
    """The errors that still come, and the close."""
    words, closed = await client.last_words()
    return [word for word in words if word["type"] == "error"], (closed.code, closed.reason)


# Slots


async def test_a_report_counts_only_sessions_whose_connection_stands_as_ours(clock: MockClock) -> None:
    """One GPU is still at what a client left behind, and the other's session is being dialled: nothing is free."""
    async with staged() as stage:
        actor = stage.actors[0]
        stage.report(actor, busy=0, total=2)
        client, replica = await stage.served(actor)
        await client.vanish()
        await replica.last_words()
        await stage.settled()
        actor.held_up = trio.Event()
        await trio.sleep(1)
        dialled = await stage.client()
        await trio.sleep(1)
        stage.report(actor, busy=1, total=2)  # it is still generating for the one that left
        third = await stage.client()
        await third.told(1, 1)
        actor.held_up.set()
        actor.held_up = None
        served = await actor.admit()
        await dialled.hears(ASSIGNED)
        await trio.sleep(1)
        stage.report(actor, busy=2, total=2)
        await stage.settled()
        assert len(actor.dials) == 2
        await trio.sleep(1)
        stage.report(actor, busy=1, total=2)
        await farewell(third, await actor.admit())
        await farewell(dialled, served)


# Silence


@pytest.mark.parametrize(("queue", "at"), [({"length": 0}, 0.0), ({}, 10.0), ({"outage_seconds": 3}, 3.0)])
async def test_a_silent_client_is_told_that_nothing_is_usable_when_who_waits_would_be(
    clock: MockClock, queue: dict[str, int], at: float
) -> None:
    async with staged(healthy=False, queue=queue, timeouts={"first_message_seconds": 60}) as stage:
        (error,), closed = await (await stage.client(None)).last_words()
        assert (error["code"], error["retryable"]) == ("gpu_unavailable", True)
        assert (closed.code, closed.reason, trio.current_time()) == (1013, "no_healthy_replica", at)


# Hung replicas


async def fail_probe(stage: Stage) -> None:
    """A probe of the first replica fails, and all are told of it."""
    stage.report(stage.actors[0], good=False)
    stage.services.events.probe_failed(stage.actors[0].record, "timeout")


async def test_a_hung_replica_is_given_up_suspect_seconds_after_its_probes_made_it_unhealthy(
    clock: MockClock,
) -> None:
    async with staged(2, balance="first", timeouts={"suspect_seconds": 5}) as stage:
        client, _ = await stage.served(stage.actors[0])
        for _ in range(3):
            await trio.sleep(4)
            await fail_probe(stage)
        while trio.current_time() < 17:  # its probes go on to fail
            await trio.sleep(4)
            await fail_probe(stage)
        words, closed = await client.last_words()
        assert (words[-1]["code"], closed.code) == ("worker_failed", 1011)
        assert trio.current_time() <= 20
        await stage.settled()
        assert stage.outcomes[0].label == "replica.streaming.dead"


async def test_with_the_default_probes_a_viewer_of_a_hung_replica_is_told_within_twenty_seconds(
    clock: MockClock,
) -> None:
    """The replica answers neither probes nor pings; the real prober asks it, and the other one."""
    async with staged(2, balance="first") as stage:
        hung_at = 0.0

        async def http_get(url: str, *, timeout: float) -> tuple[float | None, str | None]:
            if hung_at and url.startswith("http://r0/"):
                await trio.sleep(timeout)
                return None, "timeout"
            return 1.0, None

        services = stage.services
        stage.nursery.start_soon(
            partial(
                run_health_check_loop,
                services.registry,
                services.config,
                http_get=http_get,
                events=services.events,
            )
        )
        for patience in (1, 3, 4.9):  # in the middle of a session, anywhere between two probes
            client, _ = await stage.served(stage.actors[0])
            await trio.sleep(patience)
            hung_at = trio.current_time()
            words, closed = await client.last_words()
            assert (words[-1]["code"], closed.code) == ("worker_failed", 1011)
            assert trio.current_time() - hung_at <= 20
            hung_at = 0.0
            await trio.sleep(120)


async def test_a_busy_replica_whose_probes_are_good_again_is_left_alone(clock: MockClock) -> None:
    """It answers no ping for 40 s."""
    async with staged(2, balance="first", timeouts={"suspect_seconds": 5}) as stage:
        client, replica = await stage.served(stage.actors[0])
        for _ in range(4):
            await fail_probe(stage)
            await trio.sleep(1)
            stage.report(stage.actors[0])
            await trio.sleep(9)
        await replica.say(ASSIGNED)
        await client.hears(ASSIGNED)
        await farewell(client, replica)


async def test_a_frame_of_a_replica_with_failing_probes_is_a_sign_of_life(clock: MockClock) -> None:
    async with staged(2, balance="first", timeouts={"suspect_seconds": 5}) as stage:
        client, replica = await stage.served(stage.actors[0])
        for _ in range(10):
            await fail_probe(stage)
            await trio.sleep(2)
            await replica.say(ASSIGNED)
            await client.hears(ASSIGNED)
        await farewell(client, replica)
