"""Who is sent away, with which words; nobody is for a reason that the operator did not set."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import INIT, REJECTED, FarEnd, Message, farewell
from tests.session.stage import staged
from trio_router.core.config import ReplicaEndpoint


async def refusal(client: FarEnd) -> tuple[Message, int, str]:
    """The error message, the close code and the reason; places that were told before are left out."""
    words, closed = await client.last_words()
    *_, error = words
    assert error.pop("type") == "error"
    return error, closed.code, closed.reason


async def test_the_queue_is_full(clock: MockClock) -> None:
    async with staged(queue={"length": 2}) as stage:
        await stage.served(stage.actors[0])
        for _ in range(2):
            await stage.client()
        error, code, reason = await refusal(await stage.client())
        assert error.pop("retry_after_seconds") >= 1
        message = "router: all replicas are busy and the wait queue is full"
        assert error == {"code": "gpu_unavailable", "message": message, "retryable": True}
        assert (code, reason) == (1013, "queue_full")
        assert trio.current_time() == 0.0


async def test_without_a_line_nobody_waits(clock: MockClock) -> None:
    async with staged(queue={"length": 0}) as stage:
        await stage.served(stage.actors[0])
        _, code, reason = await refusal(await stage.client())
        assert (code, reason) == (1013, "queue_full")


async def test_a_full_line_is_no_reason_when_a_fitting_slot_is_free(clock: MockClock) -> None:
    replicas = [ReplicaEndpoint("http://r0", presets=("wan",)), ReplicaEndpoint("http://r1", presets=("ltx",))]
    async with staged(replicas, queue={"length": 1}) as stage:
        for _ in range(2):
            await stage.client(INIT | {"preset": "wan"})
        await stage.client(INIT | {"preset": "ltx"})
        await stage.actors[1].admit(INIT | {"preset": "ltx"})


async def test_waited_too_long(clock: MockClock) -> None:
    async with staged(queue={"timeout_seconds": 12}) as stage:
        await stage.served(stage.actors[0])
        await trio.sleep(3)
        error, code, reason = await refusal(await stage.client())
        assert trio.current_time() == 15.0
        assert error.pop("retry_after_seconds") >= 1
        message = "router: waited too long for a free replica"
        assert error == {"code": "gpu_unavailable", "message": message, "retryable": True}
        assert (code, reason) == (1013, "queue_timeout")


async def test_retry_after_is_an_estimate_from_session_lengths(clock: MockClock) -> None:
    async with staged(queue={"length": 1}) as stage:
        one = await stage.served(stage.actors[0])
        await trio.sleep(40)
        await farewell(*one)
        await stage.served(stage.actors[0])
        await stage.client()
        error, _, _ = await refusal(await stage.client())
        assert error["retry_after_seconds"] == 80.0


async def test_time_on_replicas_that_failed_is_no_waiting(clock: MockClock) -> None:
    """Silent replicas took 20 s of it; in the queue it may still wait for 5."""
    settings: dict[str, Any] = {"timeouts": {"first_reply_seconds": 20}, "queue": {"timeout_seconds": 5}}
    async with staged(2, balance="first", **settings) as stage:
        silent, busy = stage.actors
        client = await stage.client()
        await silent.accepted()
        await stage.served(busy)
        _, _, reason = await refusal(client)
        assert (reason, trio.current_time()) == ("queue_timeout", 25.0)


async def test_waiting_twice_is_waiting_longer(clock: MockClock) -> None:
    """Eight seconds in the queue, a turn that ends in a rejection three seconds later, and the rest of twelve."""
    async with staged(queue={"timeout_seconds": 12}) as stage:
        actor = stage.actors[0]
        one = await stage.served(actor)
        client = await stage.client()
        await trio.sleep(8)
        await farewell(*one)
        replica = await actor.accepted()
        await trio.sleep(3)
        await replica.say(REJECTED)
        await stage.settled()
        stage.report(actor, busy=1, total=1)
        _, _, reason = await refusal(client)
        assert (reason, trio.current_time()) == ("queue_timeout", 8.0 + 3.0 + 4.0)


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ({"address": "10.0.0.1"}, {"address": "10.0.0.2"}),
        ({"authorization": "Bearer one"}, {"authorization": "Bearer two"}),
        ({"target": "/v1/stream?token=one"}, {"target": "/v1/stream?token=two"}),
        ({"authorization": "Bearer one"}, {}),
    ],
)
async def test_one_client_has_too_many(clock: MockClock, mine: dict[str, str], other: dict[str, str]) -> None:
    """One open and one waiting are two; another client is not touched by it."""
    async with staged(queue={"per_client": 2}) as stage:
        await stage.served(stage.actors[0], **mine)
        await stage.client(**mine)
        error, code, reason = await refusal(await stage.client(**mine))
        assert (error["code"], error["retryable"]) == ("gpu_unavailable", True)
        assert (code, reason) == (1013, "per_client_limit")
        await (await stage.client(**other)).told(2, 2)


async def test_a_client_may_come_back_when_one_of_its_sessions_is_over(clock: MockClock) -> None:
    async with staged(queue={"per_client": 1}) as stage:
        one = await stage.served(stage.actors[0])
        await refusal(await stage.client())
        await farewell(*one)
        await stage.settled()
        await stage.served(stage.actors[0])


async def test_who_was_refused_does_not_count_against_its_own_client(clock: MockClock) -> None:
    """The refused ones do not answer their close, and take five seconds to go."""
    async with staged(queue={"per_client": 1}) as stage:
        one = await stage.served(stage.actors[0])
        for _ in range(2):
            await stage.client()
        await farewell(*one)
        await stage.settled()
        assert len(stage.services.session_table.open) == 2
        await stage.served(stage.actors[0])
        assert trio.current_time() == 0.0


async def test_of_several_that_come_at_once_as_many_are_let_in_as_may(clock: MockClock) -> None:
    async with staged(queue={"per_client": 2}) as stage:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(stage.client)
        await stage.settled()
        await trio.sleep(6)
        assert len(stage.services.session_table.open) == 2


async def test_a_preset_that_nobody_serves(clock: MockClock) -> None:
    replicas = [ReplicaEndpoint("http://r0", presets=("wan", "ltx"))]
    async with staged(replicas) as stage:
        error, code, reason = await refusal(await stage.client(INIT | {"preset": "sora"}))
        message = "router: no replica serves this preset"
        assert error == {"code": "preset_mismatch", "message": message, "retryable": False}
        assert (code, reason) == (1008, "preset_mismatch")
        assert stage.actors[0].dials == []


async def test_no_replica_is_well(clock: MockClock) -> None:
    async with staged(2, healthy=False) as stage:
        error, code, reason = await refusal(await stage.client())
        message = "router: no healthy replica available"
        assert error == {"code": "gpu_unavailable", "message": message, "retryable": True}
        assert (code, reason) == (1013, "no_healthy_replica")
