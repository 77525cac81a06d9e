"""A pump reads nothing while its sink accepts nothing, and loses nothing when it accepts again."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, wait_all_tasks_blocked
from websockets.frames import Frame, Opcode

from tests.relay.ends import Scene, connected, relaying
from tests.relay.far import ASSIGNED, INIT, FarEnd
from tests.relay.window import WindowConnection
from trio_router.core.session.outcome import Cause, End, Side

SCRATCH = 256 * 1024
CHUNK = 10_000
NO_PINGS = {"ping_interval_seconds": 1000, "dead_peer_seconds": 2000, "slow_seconds": 1000}
#: (payload, hold_bytes): short frames, frames as large as is held, frames that are cut through.
SIZES = [(100, 64 * 1024), (64 * 1024 - 14, 64 * 1024), (300_000, 1024 * 1024), (3_000_000, 64 * 1024)]


class Talk:
    """Sends numbered frames for ever; ``taken`` is how many bytes the router has read of them."""

    def __init__(self, end: FarEnd, size: int) -> None:
        self.taken = 0
        self.sent = 0
        self._end = end
        self._size = size

    def payload(self, number: int) -> bytes:
        return number.to_bytes(4, "big") * (self._size // 4)

    async def run(self) -> None:
        while True:
            data = Frame(Opcode.BINARY, self.payload(self.sent)).serialize(mask=self._end.masks)
            for start in range(0, len(data), CHUNK):  # in lockstep: returns when it was read
                await self._end.stream.send_all(data[start : start + CHUNK])
                self.taken += len(data[start : start + CHUNK])
            self.sent += 1


async def stands_still(talk: Talk) -> int:
    """What it has got rid of when nothing moves any more."""
    await wait_all_tasks_blocked()
    taken = talk.taken
    await trio.sleep(100)
    assert talk.taken == taken
    return taken


async def check(talk: Talk, sink: WindowConnection, hold_bytes: int, nursery: trio.Nursery) -> None:
    """The sink accepts nothing, then everything bit by bit."""
    sink.window = 0
    before = sink.accepted
    nursery.start_soon(talk.run)
    assert await stands_still(talk) <= hold_bytes + SCRATCH
    for grant in (1, 1000, 7, 500_000):
        sink.grant(grant)
        taken = await stands_still(talk)
        assert taken <= sink.accepted - before + hold_bytes + SCRATCH
    sink.grant(1 << 40)
    for number in range(10):
        await sink.far.hears(Opcode.BINARY, talk.payload(number))


@pytest.mark.parametrize(("size", "hold_bytes"), SIZES)
async def test_a_replica_is_not_read_while_the_client_accepts_nothing(
    clock: MockClock, nursery: trio.Nursery, size: int, hold_bytes: int
) -> None:
    sink = WindowConnection(Side.CLIENT, window=1000)
    async with relaying(
        client=(sink, sink.far), pair=lockstep_stream_pair, timeouts=NO_PINGS, limits={"hold_bytes": hold_bytes}
    ) as scene:
        replica = await scene.opened()
        await check(Talk(replica, size), sink, hold_bytes, nursery)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("size", "hold_bytes"), SIZES)
async def test_a_client_is_not_read_while_the_replica_accepts_nothing(
    clock: MockClock, nursery: trio.Nursery, size: int, hold_bytes: int
) -> None:
    sink = WindowConnection(Side.REPLICA, window=1000)
    async with relaying(pair=lockstep_stream_pair, timeouts=NO_PINGS, limits={"hold_bytes": hold_bytes}) as scene:
        await opened_with(scene, sink)
        await check(Talk(scene.client, size), sink, hold_bytes, nursery)
        nursery.cancel_scope.cancel()


async def opened_with(scene: Scene, replica: WindowConnection) -> None:
    scene.offers.offer(replica)
    await scene.client.text(INIT)
    await replica.far.hears(Opcode.TEXT, INIT)
    await replica.far.text(ASSIGNED)
    await scene.client.hears(Opcode.TEXT, ASSIGNED)


async def test_one_direction_stands_still_and_the_other_goes_on(clock: MockClock, nursery: trio.Nursery) -> None:
    sink = WindowConnection(Side.CLIENT, window=1000)
    async with relaying(client=(sink, sink.far), pair=lockstep_stream_pair, timeouts=NO_PINGS) as scene:
        replica = await scene.opened()
        sink.window = 0
        nursery.start_soon(Talk(replica, 1000).run)
        for number in range(100):
            await scene.client.text(b"%d" % number)
            await replica.hears(Opcode.TEXT, b"%d" % number)
        nursery.cancel_scope.cancel()


async def test_without_a_replica_a_client_is_read_up_to_what_could_be_replayed(
    clock: MockClock, nursery: trio.Nursery
) -> None:
    connection, client = connected(Side.CLIENT, lockstep_stream_pair)
    limits = {"client_message_bytes": 200_000, "replay_bytes": 100_000}
    async with relaying(client=(connection, client), timeouts=NO_PINGS, limits=limits) as scene:
        talk = Talk(client, 1000)
        await client.text(INIT)
        nursery.start_soon(talk.run)
        assert 99_000 <= await stands_still(talk) <= 100_000 + SCRATCH
        replica = scene.replica()
        await replica.hears(Opcode.TEXT, INIT)
        for number in range(200):
            await replica.hears(Opcode.BINARY, talk.payload(number))
        nursery.cancel_scope.cancel()


async def test_a_client_that_was_not_read_can_be_stopped(clock: MockClock, nursery: trio.Nursery) -> None:
    """While it is not read its end cannot be seen; the search's end wakes the pump."""
    connection, client = connected(Side.CLIENT, lockstep_stream_pair)
    limits = {"client_message_bytes": 10_000, "replay_bytes": 1000}
    async with relaying(client=(connection, client), timeouts=NO_PINGS | {"close_seconds": 2}, limits=limits) as scene:
        talk = Talk(client, 1000)
        await client.text(INIT)
        nursery.start_soon(talk.run)
        began = trio.current_time() + 100
        await stands_still(talk)
        scene.offers.offer(End(Side.ROUTER, Cause.QUEUE_TIMEOUT))
        await client.hears_error("gpu_unavailable")
        await client.hears_close(1013, "queue_timeout")
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()
        await scene.over()
