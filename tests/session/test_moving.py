"""Until the commit point a session that a replica does not take goes to another; the client notices nothing but time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, REJECTED, FarEnd, Message
from tests.session.stage import staged
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.errors import DialError
from trio_router.core.session.outcome import Phase

PROMPT: Message = {"type": "segment_prompt_source", "prompt": "a fox"}
QUEUED: Message = {"type": "queue_status", "position": 0, "queue_depth": 0}


def error(code: str) -> Message:
    return {"type": "error", "code": code, "message": "no", "retryable": True}


async def reject(replica: FarEnd) -> None:
    await replica.say(REJECTED)
    await replica.close(1013, "session_rejected")


async def keep_quiet(replica: FarEnd) -> None:
    """Nothing at all."""


#: What a replica does that does not take a session, and whether that counts as its failure.
REFUSALS = {
    "rejects": (reject, 0),
    "closes 1013": (lambda replica: replica.close(1013, "full"), 0),
    "closes 1012": (lambda replica: replica.close(1012, "restart"), 0),
    "has no GPU": (lambda replica: replica.say(error("gpu_unavailable")), 0),
    "says that it failed": (lambda replica: replica.say(error("worker_failed")), 1),
    "crashes": (lambda replica: replica.say(error("internal_error")), 1),
    "closes 1011": (lambda replica: replica.close(1011, "oops"), 1),
    "closes 1001": (lambda replica: replica.close(1001, "going"), 1),
    "vanishes": (FarEnd.vanish, 1),
    "is silent": (keep_quiet, 1),
    "queues, then is silent": (keep_quiet, 1),
    "talks no WebSocket": (lambda replica: replica.stream.send_all(b"\xff\xff\xff\xff"), 1),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_the_next_replica_hears_all_that_was_said(clock: MockClock, what: str) -> None:
    refuse, failures = REFUSALS[what]
    async with staged(2, balance="first") as stage:
        one, two = stage.actors
        client = await stage.client()
        await client.say(PROMPT)
        replica = await one.accepted()
        for said in (INIT, PROMPT):
            await replica.hears(said)
        if what.startswith("queues"):
            await replica.say(QUEUED)
            await client.told(0, 0)
        await refuse(replica)
        other = await two.accepted()
        for said in (INIT, PROMPT):
            await other.hears(said)
        await other.say(ASSIGNED)
        await client.hears(ASSIGNED)
        assert trio.current_time() == (30.0 if "silent" in what else 0.0)
        session = next(iter(stage.services.session_table))
        assert (session.replica, [tried.replica for tried in session.tries]) == ("r1", ["r0"])
        assert (one.record.failures_total, one.record.held) == (failures, 0)
        assert one.record.free(trio.current_time()) == bool(failures), "a rejection takes the slot for a moment"
        assert one.record.schedulable, "full is not unhealthy"


async def test_failed_dials_are_not_noticed(clock: MockClock) -> None:
    async with staged(3, balance="first") as stage:
        stage.actors[0].refuse(DialError("cannot connect"))
        stage.actors[1].refuse(DialError("answered HTTP 503", refused=True, status=503))
        client = await stage.client()
        await stage.actors[2].admit()
        await client.hears(ASSIGNED)
        assert [actor.record.failures_total for actor in stage.actors] == [1, 0, 0]
        assert [actor.record.free(0.0) for actor in stage.actors] == [True, False, False]


async def test_a_replica_that_failed_the_session_is_not_asked_again(clock: MockClock) -> None:
    """The other one is busy: it is waited for, though the one that failed is free."""
    async with staged(2, balance="first") as stage:
        one, two = stage.actors
        registry = stage.registry
        busy = registry.reserve(now=0.0, prefer=two.record.url)
        assert busy is not None
        client = await stage.client()
        await (await one.accepted()).vanish()
        await client.told(1, 1)
        await trio.sleep(3)
        registry.release(busy, now=3.0)
        await two.admit()
        await client.hears(ASSIGNED)
        assert (one.dials, two.dials) == ([0.0], [3.0])


async def test_after_so_many_attempts_it_is_over(clock: MockClock) -> None:
    async with staged(4, balance="first", limits={"attempts": 3}) as stage:
        for actor in stage.actors:
            actor.refuse(DialError("cannot connect to 10.1.2.3"))
        words, closed = await (await stage.client()).last_words()
        assert (closed.code, closed.reason) == (1013, "no_replica_reached")
        assert [word["code"] for word in words] == ["gpu_unavailable"]
        assert "10.1.2.3" not in str(words)
        assert [len(actor.dials) for actor in stage.actors] == [1, 1, 1, 0]
        await stage.settled()
        assert len(stage.outcomes[0].tries) == 3


async def test_behind_the_commit_point_nothing_is_moved(clock: MockClock) -> None:
    async with staged(2, balance="first") as stage:
        client, replica = await stage.served(stage.actors[0])
        await replica.vanish()
        words, closed = await client.last_words()
        assert ([word["code"] for word in words], closed.code) == (["worker_failed"], 1011)
        assert stage.actors[1].dials == []


@pytest.mark.parametrize(("replay_bytes", "moved"), [(1000, False), (10_000, True)])
@pytest.mark.parametrize("at_once", [True, False])
async def test_more_than_replay_bytes_is_not_said_twice(
    clock: MockClock, replay_bytes: int, moved: bool, at_once: bool
) -> None:
    """Whether it came in one message or in two."""
    async with staged(2, balance="first", limits={"replay_bytes": replay_bytes}) as stage:
        one, two = stage.actors
        large = {"type": "session_init_v2", "pad": "x" * 3000}
        first = large if at_once else INIT
        client = await stage.client(first)
        replica = await one.accepted()
        await replica.hears(first)
        if not at_once:
            await client.say({**PROMPT, "pad": "x" * 3000})
            await replica.hear()
        await replica.say(REJECTED)
        if moved:
            await two.admit(first)
            await client.hears(ASSIGNED)
            return
        words, closed = await client.last_words()
        assert ([word["code"] for word in words], closed.code) == (["gpu_unavailable"], 1013)
        assert two.dials == []
        await replica.vanish()
        await stage.settled()
        assert one.record.held == 0
        assert not one.record.free(trio.current_time()), "a rejection is one, wherever the session goes"


async def test_opaque_waits_and_moves_too(clock: MockClock) -> None:
    async with staged([ReplicaEndpoint("http://r0", max_sessions=1)], dialect="opaque") as stage:
        one = await stage.client("hello")
        replica = await stage.actors[0].accepted()
        await stage.client("me too")
        assert [session.phase for session in stage.services.session_table] == [Phase.OPENING, Phase.WAITING]
        await one.vanish()
        await replica.vanish()
        other = await stage.actors[0].accepted()
        assert (await other.frame()).data == b"me too"


async def test_dreamverse_has_a_replica_before_anyone_speaks(clock: MockClock) -> None:
    streams = [{"path": "/v1/stream"}, {"path": "/ws", "dialect": "dreamverse", "balance": "first"}]
    async with staged(2, streams=streams) as stage:
        client = await stage.client(None, target="/ws")
        replica = await stage.actors[0].accepted()
        await replica.say(ASSIGNED)
        await client.hears(ASSIGNED)
        assert stage.actors[1].dials == []
