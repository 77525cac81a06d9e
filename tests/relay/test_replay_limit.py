"""What was said before the commit point is kept only up to ``replay_bytes``; with more the session stays where it is."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.relay.ends import Scene, ended, relaying
from tests.relay.far import INIT, QUEUED, REJECTED, FarEnd
from trio_router.core.session.outcome import End, Side


async def said_too_much(scene: Scene) -> FarEnd:
    """The client has said more than is kept, and the replica nothing yet."""
    replica = scene.replica()
    await scene.client.text(INIT)
    await replica.hears(Opcode.TEXT, INIT)
    await scene.client.binary(bytes(3000))
    await replica.hears(Opcode.BINARY, bytes(3000))
    return replica


async def test_a_replica_that_vanishes_then_ends_the_session(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 2000}) as scene:
        await (await said_too_much(scene)).vanish()
        await scene.client.hears_error("worker_failed")
        await scene.client.hears_close(1011, "worker_failed")
        assert ended(await scene.over()) == ("replica", "vanished")
        assert scene.offers.failed == []


async def test_a_silent_replica_then_ends_the_session(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 2000}, timeouts={"ping_interval_seconds": 50}) as scene:
        replica = await said_too_much(scene)
        await replica.hears_close(1001, "no first reply")
        assert trio.current_time() == 30.0
        await scene.client.hears_error("worker_failed")
        await scene.client.hears_close(1011, "worker_failed")


async def test_a_rejection_then_reaches_the_client_as_one(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 2000}) as scene:
        replica = await said_too_much(scene)
        await replica.text(QUEUED)
        await replica.text(REJECTED)
        await scene.client.hears(Opcode.TEXT, QUEUED)
        await scene.client.hears_error("gpu_unavailable")
        await scene.client.hears_close(1013, "replicas_full")
        end: End = await scene.over()
        assert (end.side, end.cause) == (Side.REPLICA, "rejected")


async def test_a_close_1013_then_goes_through(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 2000}) as scene:
        replica = await said_too_much(scene)
        await replica.close(1013, "later")
        await scene.client.hears_close(1013, "later")


async def test_a_first_message_above_the_limit_is_still_given_to_the_first_replica(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 2000}) as scene:
        large = INIT[:-1] + b', "initial_image": "' + b"A" * 100_000 + b'"}'
        await scene.client.text(large)
        await wait_all_tasks_blocked()
        replica = scene.replica()
        await replica.hears(Opcode.TEXT, large)


async def test_with_a_limit_of_zero_nothing_but_the_first_words_is_kept(clock: MockClock) -> None:
    async with relaying(limits={"replay_bytes": 0}) as scene:
        replica = scene.replica()
        await scene.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        await scene.client.text(b"more")
        await replica.hears(Opcode.TEXT, b"more")
        await replica.vanish()
        await scene.client.hears_error("worker_failed")
