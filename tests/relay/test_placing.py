"""A client without a replica: it is heard, answered, told why there is none, and may leave."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.relay.ends import connected, ended, relaying
from tests.relay.far import ASSIGNED, INIT, QUEUED
from tests.relay.window import WindowConnection
from trio_router.core.session.outcome import Cause, CloseInfo, End, Phase, Side


async def test_its_pings_are_answered_by_the_router(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.send(Opcode.PING, b"anybody there?")
        await scene.client.hears(Opcode.PONG, b"anybody there?")
        await scene.client.text(INIT)
        await scene.client.send(Opcode.PING, b"and now?")
        await scene.client.hears(Opcode.PONG, b"and now?")
        replica = scene.replica()
        await replica.hears(Opcode.TEXT, INIT)
        await scene.client.send(Opcode.PING, b"to the replica")
        await replica.hears(Opcode.PING, b"to the replica")
        assert trio.current_time() == 0.0


async def test_it_is_pinged_and_dies_like_any_other(clock: MockClock) -> None:
    async with relaying(timeouts={"close_seconds": 1}) as scene:
        await scene.client.text(INIT)
        for seconds in (20.0, 40.0):
            assert (await scene.client.hear()).opcode is Opcode.PING
            assert trio.current_time() == seconds
        await scene.client.hears_close(1001, "no answer to pings")
        assert trio.current_time() == 60.0
        assert ended(await scene.over()) == ("client", "dead")


async def test_its_answers_to_pings_are_never_replayed(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        ping = await scene.client.hear()
        await scene.client.pong(ping)
        await scene.client.send(Opcode.PONG, b"of its own accord")
        await wait_all_tasks_blocked()
        replica = scene.replica()
        await replica.hears(Opcode.TEXT, INIT)
        await scene.client.text(b"next")
        await replica.hears(Opcode.TEXT, b"next")


async def test_its_close_is_answered_and_the_search_is_given_up(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        await scene.client.close(4000, "changed my mind")
        await scene.client.hears_close(4000, "changed my mind")
        assert await scene.over() == End(Side.CLIENT, Cause.CLOSED, CloseInfo(4000, "changed my mind"))
        assert scene.ended_at == 0.0
        assert scene.relay.state.ended_in is Phase.CONNECTING


async def test_it_vanishes_and_the_search_is_given_up(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        await scene.client.vanish()
        assert ended(await scene.over()) == ("client", "vanished")
        assert scene.ended_at == 0.0


async def test_a_replica_that_is_found_in_the_moment_in_which_it_leaves_is_closed(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        replica = scene.replica()
        await scene.client.vanish()
        await scene.over()
        if scene.relay.pair.replica is not None:  # it depends on which task ran first
            await replica.hears(Opcode.TEXT, INIT)
            await replica.hears_close(1001, "client is gone")
        elif scene.offers.asked_at and not scene.offers.left:
            await replica.hears_end()


async def test_wrong_frames_end_it(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.stream.send_all(b"\x81\x02hi")
        await scene.client.hears_close(1002, "client frames must be masked")
        await scene.client.vanish()
        assert ended(await scene.over()) == ("client", "protocol_error")
        assert scene.ended_at == 0.0


REASONS = [
    (Side.ROUTER, Cause.NO_REPLICA, "gpu_unavailable", 1013, "no_healthy_replica"),
    (Side.ROUTER, Cause.QUEUE_FULL, "gpu_unavailable", 1013, "queue_full"),
    (Side.ROUTER, Cause.QUEUE_TIMEOUT, "gpu_unavailable", 1013, "queue_timeout"),
    (Side.ROUTER, Cause.UNREACHABLE, "gpu_unavailable", 1013, "no_replica_reached"),
]


@pytest.mark.parametrize(("side", "cause", "code", "close", "reason"), REASONS)
async def test_it_is_told_why_there_is_no_replica(
    clock: MockClock, side: Side, cause: Cause, code: str, close: int, reason: str
) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        scene.offers.offer(End(side, cause))
        await scene.client.hears_error(code)
        await scene.client.hears_close(close, reason)
        await scene.client.close(close)
        assert await scene.over() == End(side, cause)
        assert scene.ended_at == 0.0


async def test_a_client_that_does_not_read_why_is_dropped_at_the_close_timeout(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    async with relaying(client=(connection, connection.far), timeouts={"close_seconds": 4}) as scene:
        await scene.client.text(INIT)
        scene.offers.offer(End(Side.ROUTER, Cause.NO_REPLICA))
        await scene.over()
        assert scene.ended_at == 4.0


async def test_opaque_is_only_closed(clock: MockClock) -> None:
    async with relaying("opaque") as scene:
        scene.offers.offer(End(Side.ROUTER, Cause.NO_REPLICA))
        await scene.client.hears_close(1013, "no_healthy_replica")


async def test_its_place_in_the_queue_is_told_while_it_talks(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        for position in (3, 2, 1):
            await scene.client.text(b"waiting")
            scene.relay.position(position, 3, None)
            found = await scene.client.hear()
            assert bytes(found.data).startswith(b'{"type": "queue_status", "position": %d' % position)
        assert trio.current_time() == 0.0


async def test_what_it_has_not_read_yet_is_bounded_by_slow_seconds(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    timeouts = {"slow_seconds": 12, "close_seconds": 1}
    async with relaying(client=(connection, connection.far), timeouts=timeouts) as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        scene.relay.position(1, 1, None)
        assert ended(await scene.over()) == ("client", "slow")
        assert scene.ended_at == 13.0


async def test_a_replica_found_while_the_client_s_outbox_waits_is_not_read_ahead(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    async with relaying(client=(connection, connection.far)) as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        scene.relay.position(1, 1, None)
        await wait_all_tasks_blocked()
        near, replica = connected(Side.REPLICA, trio.testing.lockstep_stream_pair)
        scene.offers.offer(near)
        with trio.move_on_after(5) as patience:
            await replica.hears(Opcode.TEXT, INIT)
            await replica.text(QUEUED)
            await replica.text(ASSIGNED)
            for _ in range(100):
                await replica.binary(bytes(1000))
        assert patience.cancelled_caught
        assert sum(map(len, scene.relay.pair.to_client.outbox)) < 5000
