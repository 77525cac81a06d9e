"""What a client says is held against no replica; and no message is said to a replica more than twice."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, REJECTED, FarEnd, Message, farewell
from tests.session.stage import Actor, Stage, staged
from trio_router.core.errors import DialError
from trio_router.core.replicas.replica import AdminState

GIF: Message = {**INIT, "initial_image": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}
Answer = Callable[[FarEnd], Awaitable[None]]


async def asked(stage: Stage) -> Actor:
    """The replica that was just dialled."""
    await stage.settled()
    return next(actor for actor in stage.actors if actor.unseen)


async def drop(stage: Stage, said: Message = GIF) -> Actor:
    """Whichever replica is asked drops TCP at the first message, without a word."""
    actor = await asked(stage)
    replica = await actor.accepted()
    await replica.hears(said)
    await replica.vanish()
    return actor


def in_service(stage: Stage) -> bool:
    """Whether every replica gets sessions: none is ejected or unhealthy."""
    return all(actor.record.usable(trio.current_time()) for actor in stage.actors)


async def answers_500(stage: Stage) -> FarEnd:
    """A head, or a query, that makes every server fail."""
    for actor in stage.actors:
        actor.answer_all(DialError("answered HTTP 500", status=500, reached=True))
    return await stage.client()


async def hangs_up(stage: Stage) -> FarEnd:
    """The server drops TCP where its answer to the upgrade should come."""
    for actor in stage.actors:
        actor.answer_all(DialError("hung up", reached=True))
    return await stage.client()


async def drops(stage: Stage) -> FarEnd:
    """A first message that no replica survives."""
    client = await stage.client(GIF)
    for _ in range(2):
        await drop(stage)
    return client


@pytest.mark.parametrize("attack", [answers_500, hangs_up, drops])
async def test_one_client_takes_no_replica_out_of_service(
    clock: MockClock, attack: Callable[[Stage], Awaitable[FarEnd]]
) -> None:
    """Twenty sessions of one address, and no probe between them."""
    async with staged(4) as stage:
        for _ in range(20):
            (error,), closed = await (await attack(stage)).last_words()
            assert (error["code"], error["retryable"]) == ("invalid_message", False)
            assert (closed.code, closed.reason) == (1008, "invalid_message")
            assert in_service(stage)
        assert sum(len(actor.dials) for actor in stage.actors) == 40, "each was tried on two replicas"
        assert [actor.record.failures_total for actor in stage.actors] == [0, 0, 0, 0]
        for actor in stage.actors:
            actor.answer_all(None)
        client = await stage.client(address="10.0.0.2")
        replica = await (await asked(stage)).admit()
        await client.hears(ASSIGNED)
        await farewell(client, replica)


@pytest.mark.parametrize(("addresses", "stays"), [(["10.0.0.1"] * 9, True), (["10.0.0.1", "10.0.0.2"] * 2, False)])
async def test_where_another_replica_serves_failures_of_two_different_clients_count(
    clock: MockClock, addresses: list[str], stays: bool
) -> None:
    async with staged(2, balance="first") as stage:
        bad, good = stage.actors
        for address in addresses:
            client = await stage.client(address=address)
            if bad.unseen:
                await (await bad.accepted()).vanish()
            replica = await good.admit()
            await client.hears(ASSIGNED)
            await farewell(client, replica)
            await stage.settled()
            stage.report(bad)  # its probes are good, so it is not tried last
        assert in_service(stage) is stays
        assert len(bad.dials) == (9 if stays else 3)


async def test_the_same_early_end_on_two_replicas_is_the_message_s_fault(clock: MockClock) -> None:
    async with staged(3) as stage:
        client = await stage.client(GIF)
        two = {(await drop(stage)).record.label for _ in range(2)}
        (error,), closed = await client.last_words()
        assert (error["code"], error["retryable"]) == ("invalid_message", False)
        assert (closed.code, closed.reason) == (1008, "invalid_message")
        assert len(two) == 2
        assert sorted(len(actor.dials) for actor in stage.actors) == [0, 1, 1], "a third is never asked"
        assert in_service(stage)
        assert not any(actor.record.failures_total or actor.record.ejections for actor in stage.actors)
        await stage.settled()
        assert stage.outcomes[0].label == "client.waiting.message_fault"


async def test_a_lone_replica_is_told_twice_what_makes_it_drop(clock: MockClock) -> None:
    async with staged() as stage:
        client = await stage.client(GIF)
        for _ in range(2):
            await drop(stage)
        (error,), closed = await client.last_words()
        assert (error["code"], closed.code, len(stage.actors[0].dials)) == ("invalid_message", 1008, 2)
        assert in_service(stage)


async def test_two_different_ends_are_not_the_message_s_fault(clock: MockClock) -> None:
    """One drops, one fails in another way: the third may be asked."""
    async with staged(3, balance="first") as stage:
        client = await stage.client(GIF)
        await drop(stage)
        replica = await (await asked(stage)).accepted()
        await replica.close(1011, "oops")
        await stage.actors[2].admit(GIF)
        await client.hears(ASSIGNED)
        assert [actor.record.failures_total for actor in stage.actors] == [1, 1, 0]


# Refusals


async def rejects(replica: FarEnd) -> None:
    """As FastVideo's server does when it is full."""
    await replica.say(REJECTED)
    await replica.close(1013, "session_rejected")


REFUSALS: dict[str, Answer] = {
    "1012": lambda replica: replica.close(1012, "restarting"),
    "1013": lambda replica: replica.close(1013, "full"),
    "session_rejected": rejects,
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_message_that_is_refused_is_said_to_each_replica_twice(
    clock: MockClock, answer: Answer, replicas: int
) -> None:
    """Then the client is told when to try again: long before the queue's patience is over."""
    async with staged(replicas, limits={"attempts": 3}) as stage:
        client = await stage.client()
        for _ in range(2 * replicas):
            await trio.sleep(10)  # longer than a replica counts as full after a refusal
            replica = await (await asked(stage)).accepted()
            await replica.hears(INIT)
            await answer(replica)
        words, closed = await client.last_words()
        assert (closed.code, closed.reason) == (1013, "replicas_full")
        assert (words[-1]["code"], words[-1]["retryable"]) == ("gpu_unavailable", True)
        assert words[-1]["retry_after_seconds"] >= 1
        assert [len(actor.dials) for actor in stage.actors] == [2] * replicas
        assert trio.current_time() < 60
        assert in_service(stage)


async def test_opaque_gives_the_client_the_last_replica_s_own_close(clock: MockClock) -> None:
    async with staged(2, dialect="opaque", balance="first") as stage:
        client = await stage.client("hello")
        for number in range(4):
            await trio.sleep(10)
            replica = await (await asked(stage)).accepted()
            await replica.close(1012 + number % 2, f"answer {number}")
        words, closed = await client.last_words()
        assert (words, closed.code, closed.reason) == ([], 1013, "answer 3")
        assert [len(actor.dials) for actor in stage.actors] == [2, 2]
        assert in_service(stage)


@pytest.mark.parametrize("code", [1001, 1011])
async def test_opaque_gives_the_client_the_close_of_a_replica_that_failed(clock: MockClock, code: int) -> None:
    async with staged(2, dialect="opaque", balance="first") as stage:
        client = await stage.client("hello")
        for number in range(2):
            replica = await (await asked(stage)).accepted()
            await replica.close(code, f"answer {number}")
        words, closed = await client.last_words()
        assert (words, closed.code, closed.reason) == ([], code, "answer 1")


# Dreamverse

COMPLETE: Message = {"type": "ltx2_stream_complete", "reason": "done"}


def dreamverse() -> dict[str, Any]:
    """The path of its sessions."""
    return {"streams": [{"path": "/ws", "dialect": "dreamverse"}], "balance": "first"}


async def dreaming(stage: Stage) -> tuple[FarEnd, FarEnd]:
    """A session that has seen its first `ltx2_stream_complete`."""
    client = await stage.client(None, target="/ws")
    replica = await stage.actors[0].accepted()
    for said in (ASSIGNED, COMPLETE):
        await replica.say(said)
        await client.hears(said)
    return client, replica


async def test_a_dreamverse_replica_that_dies_after_a_complete_stream_has_failed(clock: MockClock) -> None:
    async with staged(2, **dreamverse()) as stage:
        client, replica = await dreaming(stage)
        await client.say({"type": "restart_generation"})
        await replica.hears({"type": "restart_generation"})
        await replica.vanish()
        (error,), closed = await client.last_words()
        assert (error["code"], error["retryable"]) == ("worker_failed", True)
        assert (closed.code, closed.reason) == (1011, "worker_failed")
        await stage.settled()
        assert stage.outcomes[0].label == "replica.streaming.vanished"
        assert stage.actors[0].record.failures_total == 1


async def test_a_dreamverse_session_that_was_left_ends_well_without_a_close_frame(clock: MockClock) -> None:
    async with staged(2, **dreamverse()) as stage:
        client, replica = await dreaming(stage)
        await client.say({"type": "leave"})
        await replica.hears({"type": "leave"})
        await replica.vanish()
        words, closed = await client.last_words()
        assert (words, closed.code) == ([], 1000)
        await stage.settled()
        assert stage.outcomes[0].label == "replica.streaming.completed"
        assert stage.actors[0].record.failures_total == 0


async def test_the_word_leave_in_a_prompt_is_no_leave(clock: MockClock) -> None:
    async with staged(2, **dreamverse()) as stage:
        client, replica = await dreaming(stage)
        await client.say({"type": "simple_generate", "prompt": json.dumps({"type": "leave"})})
        await replica.hear()
        await replica.vanish()
        _, closed = await client.last_words()
        assert closed.code == 1011


# A replica that answers 403


async def test_a_replica_that_refuses_everybody_where_others_do_not_is_tried_last(clock: MockClock) -> None:
    async with staged(2, dialect="opaque", balance="first") as stage:
        wall, good = stage.actors
        stage.registry.set_admin_state(wall.record, AdminState.DRAIN, now=0.0)
        await stage.client(None)
        await good.accepted()
        stage.registry.set_admin_state(wall.record, AdminState.READY, now=0.0)
        wall.answer_all(DialError("answered HTTP 403", status=403))
        for number in range(3):
            assert not wall.record.refusing
            _, head = await stage.come(address=f"10.0.0.{number + 2}")
            assert head.startswith(b"HTTP/1.1 403 ")
        assert wall.record.refusing
        for number in range(20):
            _, head = await stage.come(address=f"10.0.1.{number}")
            assert head.startswith(b"HTTP/1.1 101 ")
        assert (len(wall.dials), len(good.dials)) == (3, 21)
        assert wall.record.is_healthy


async def test_one_client_that_is_refused_often_makes_no_replica_suspect(clock: MockClock) -> None:
    async with staged(2, dialect="opaque", balance="first") as stage:
        wall, _ = stage.actors
        wall.answer_all(DialError("answered HTTP 403", status=403))
        for _ in range(10):
            _, head = await stage.come()
            assert head.startswith(b"HTTP/1.1 403 ")
        assert not wall.record.refusing


async def test_opaque_drops_the_client_as_two_replicas_dropped_it(clock: MockClock) -> None:
    async with staged(3, dialect="opaque") as stage:
        client = await stage.client("poison")
        for _ in range(2):
            replica = await (await asked(stage)).accepted()
            assert (await replica.frame()).data == b"poison"
            await replica.vanish()
        words, closed = await client.last_words()
        assert (words, closed.code, trio.current_time()) == ([], 1006, 0.0)
        assert sum(len(actor.dials) for actor in stage.actors) == 2
        assert in_service(stage)
        await stage.settled()
        assert stage.outcomes[0].cause == "message_fault"
