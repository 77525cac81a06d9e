"""Pings, dead peers and slow sinks, at exact times."""

from __future__ import annotations

import trio
from trio.testing import MockClock, lockstep_stream_pair
from websockets.frames import Close, Opcode

from tests.relay.ends import Scene, ended, relaying
from tests.relay.far import FarEnd
from tests.relay.window import WindowConnection
from trio_router.core.session.outcome import Side


async def test_a_silent_connection_is_pinged_and_its_pong_is_swallowed(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        for end in (scene.client, replica):
            ping = await end.hear()
            assert (ping.opcode, trio.current_time()) == (Opcode.PING, 20.0)
            await end.pong(ping)
            await end.text(b"next")
        await scene.client.hears(Opcode.TEXT, b"next")
        await replica.hears(Opcode.TEXT, b"next")


async def test_pings_and_foreign_pongs_pass_from_end_to_end(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        for end, other in ((scene.client, replica), (replica, scene.client)):
            await end.send(Opcode.PING, b"are you there")
            await other.hears(Opcode.PING, b"are you there")
            await other.send(Opcode.PONG, b"are you there")
            await end.hears(Opcode.PONG, b"are you there")
            await end.send(Opcode.PONG, b"")
            await other.hears(Opcode.PONG, b"")


async def test_a_connection_that_talks_is_not_pinged(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        for _ in range(10):
            await trio.sleep(15)
            await replica.binary(b"frame")
            await scene.client.binary(b"input")
            await scene.client.hears(Opcode.BINARY, b"frame")
            await replica.hears(Opcode.BINARY, b"input")
        assert scene.end is None


async def answer_pings(end: FarEnd) -> None:
    while True:
        found = await end.hear()
        if found.opcode is Opcode.PING:
            await end.pong(found)


async def test_a_replica_without_any_frame_is_dead_at_dead_peer_seconds(
    clock: MockClock, nursery: trio.Nursery
) -> None:
    async with relaying(timeouts={"close_seconds": 1}) as scene:
        replica = await scene.opened()
        await trio.sleep(50)
        await scene.client.binary(b"still here")
        await replica.hears(Opcode.PING, bytes((await scene.client.hear()).data))  # at 20 s, the same for both
        await replica.hear()
        await scene.client.hear()  # at 40 s
        await replica.hears(Opcode.BINARY, b"still here")
        await replica.hears_close(1001, "no answer to pings")
        assert trio.current_time() == 60.0
        await scene.client.hears_error("worker_failed")
        await scene.client.hears_close(1011, "worker_failed")
        assert ended(await scene.over()) == ("replica", "dead")
        assert scene.ended_at == 61.0


async def test_a_client_without_any_frame_is_dead_at_dead_peer_seconds(clock: MockClock, nursery: trio.Nursery) -> None:
    async with relaying(timeouts={"close_seconds": 1, "dead_peer_seconds": 45}) as scene:
        replica = await scene.opened()
        nursery.start_soon(answer_pings_until_close, replica)
        assert ended(await scene.over()) == ("client", "dead")
        assert scene.ended_at == 46.0
        assert scene.relay.pair.replica is not None
        assert str(scene.relay.pair.to_replica.close_sent) == "1001 client is dead"


async def answer_pings_until_close(end: FarEnd) -> None:
    while (found := await end.hear()).opcode is Opcode.PING:
        await end.pong(found)
    assert Close.parse(found.data) == Close(1001, "client is dead")


async def test_pongs_alone_keep_a_session_alive(clock: MockClock, nursery: trio.Nursery) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        nursery.start_soon(answer_pings, scene.client)
        nursery.start_soon(answer_pings, replica)
        await trio.sleep(3600)
        assert scene.end is None
        nursery.cancel_scope.cancel()


NO_PINGS = {"ping_interval_seconds": 1000, "dead_peer_seconds": 2000}


async def with_slow_client(scene: Scene, connection: WindowConnection) -> FarEnd:
    """An opened session whose client accepts nothing from now on."""
    connection.window = 1000
    replica = await scene.opened()
    connection.window = 0
    return replica


async def test_a_slow_client_gets_1008_and_the_replica_is_freed(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    async with relaying(client=(connection, connection.far), timeouts={"slow_seconds": 12, **NO_PINGS}) as scene:
        replica = await with_slow_client(scene, connection)
        await replica.binary(b"video")
        await replica.hears_close(1001, "client is stuck")
        assert trio.current_time() == 12.0
        connection.grant(1000)  # it wakes up within the close timeout
        await connection.far.hears(Opcode.BINARY, b"video")
        await connection.far.hears_error("session_rejected")
        await connection.far.hears_close(1008, "client reads too slowly")
        assert ended(await scene.over()) == ("client", "slow")
        assert scene.ended_at == 17.0


async def test_a_single_byte_accepted_is_patience_anew(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    async with relaying(client=(connection, connection.far), timeouts={"slow_seconds": 12, **NO_PINGS}) as scene:
        replica = await with_slow_client(scene, connection)
        await replica.binary(b"video")
        for _ in range(5):
            await trio.sleep(11)
            connection.grant(1)
        await replica.hears_close(1001, "client is stuck")
        assert trio.current_time() == 67.0


async def test_a_replica_that_is_not_read_is_not_dead(clock: MockClock) -> None:
    """While the client accepts nothing the replica is not read, so its silence means nothing."""
    connection = WindowConnection(Side.CLIENT)
    timeouts = {"slow_seconds": 100, "ping_interval_seconds": 10, "dead_peer_seconds": 20}
    async with relaying(client=(connection, connection.far), timeouts=timeouts) as scene:
        replica = await with_slow_client(scene, connection)
        await replica.binary(b"video")
        for _ in range(9):
            await trio.sleep(10)
            await connection.far.send(Opcode.PONG)
        await replica.binary(b"more")
        connection.grant(1000)
        heard = [await connection.far.hear()]
        while heard[-1].data != b"more":
            heard.append(await connection.far.hear())
        assert [bytes(frame.data) for frame in heard if frame.opcode is not Opcode.PING] == [b"video", b"more"]
        assert (scene.end, trio.current_time()) == (None, 90.0)


async def test_a_stuck_replica_is_given_up(clock: MockClock) -> None:
    """A stream cannot tell how much of a write it accepted: what was cut off is lost, and nothing follows it."""
    async with relaying(pair=lockstep_stream_pair, timeouts=NO_PINGS) as scene:
        replica = await scene.opened()
        await scene.client.binary(b"input")
        await scene.client.hears_error("worker_failed")
        assert trio.current_time() == 30.0
        await scene.client.hears_close(1011, "worker_failed")
        await replica.hears(Opcode.BINARY, b"input")
        await replica.hears_end()
        assert ended(await scene.over()) == ("replica", "slow")
