"""After a cancellation at any checkpoint of a session nothing is left: no task, no socket, no slot, no row."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.relay.cancel import Trial, everywhere
from tests.relay.far import ASSIGNED, INIT, REJECTED, FarEnd
from tests.relay.router import open_files, replica_servers, staged

BOTH_LEGS = pytest.mark.parametrize("memory", [False, True], ids=["sockets", "streams"])


async def whole_session(trial: Trial, client: FarEnd) -> None:
    """Rejected by one replica, served by another one; data both ways; closed in good order."""
    await client.text(INIT)
    full = await trial.replicas.accepted()
    await full.text(REJECTED)
    replica = await trial.replicas.accepted()
    await replica.hears(Opcode.TEXT, INIT)
    await replica.text(ASSIGNED)
    await client.hears(Opcode.TEXT, ASSIGNED)
    for size in (10, 100_000):
        await client.binary(bytes(size))
        await replica.hears(Opcode.BINARY, bytes(size))
        await replica.binary(bytes(size))
        await client.hears(Opcode.BINARY, bytes(size))
    await client.close(1000)
    await replica.hears_close(1000)
    await replica.close(1000)
    await client.hears_close(1000)


@BOTH_LEGS
async def test_a_whole_session(memory: bool) -> None:
    async with replica_servers(2) as replicas:
        assert await everywhere(replicas, whole_session, memory=memory) > 30


async def waiting_session(trial: Trial, client: FarEnd) -> None:
    """Waits for the only slot, which is given back when the client was told its place."""
    registry = trial.services.registry
    slot = registry.reserve(now=trio.current_time())
    assert slot is not None
    try:
        await client.text(INIT)
        assert b"queue_status" in bytes((await client.hear()).data)
        registry.release(slot, now=trio.current_time())
        replica = await trial.replicas.accepted()
        await replica.hears(Opcode.TEXT, INIT)
        await client.vanish()
        await replica.hears_close(1001, "client is gone")
        await replica.vanish()
    finally:
        registry.release(slot, now=trio.current_time())


@BOTH_LEGS
async def test_a_session_that_waits_for_a_slot(memory: bool) -> None:
    async with replica_servers(1) as replicas:
        assert await everywhere(replicas, waiting_session, memory=memory) > 20


async def broken_session(trial: Trial, client: FarEnd) -> None:
    """The replica sends nonsense, which is heard out."""
    await client.text(INIT)
    replica = await trial.replicas.accepted()
    await replica.hears(Opcode.TEXT, INIT)
    await replica.text(ASSIGNED)
    await replica.stream.send_all(b"\xf2\x00" + bytes(100_000))
    await client.hears(Opcode.TEXT, ASSIGNED)
    await client.hears_error("worker_failed")
    await client.hears_close(1011, "worker_failed")
    await client.close(1011)
    await replica.hears_close(1002, "reserved bits are set, but no extension was negotiated")
    await replica.vanish()


@BOTH_LEGS
async def test_a_session_whose_replica_offends(memory: bool) -> None:
    async with replica_servers(1) as replicas:
        assert await everywhere(replicas, broken_session, memory=memory) > 20


async def opaque_session(trial: Trial, client: FarEnd) -> None:
    """A replica is dialled before the client is answered."""
    replica = await trial.replicas.accepted()
    await replica.text(b"hello")
    await client.hears(Opcode.TEXT, b"hello")
    await client.vanish()
    await replica.hears_close(1001, "client is gone")
    await replica.vanish()


@BOTH_LEGS
async def test_a_session_whose_replica_is_dialled_first(memory: bool) -> None:
    async with replica_servers(2) as replicas:
        assert await everywhere(replicas, opaque_session, memory=memory, dialect="opaque") > 15


async def hopeless_session(trial: Trial, client: FarEnd) -> None:
    """There is no replica, and the client is told so."""
    await client.text(INIT)
    await client.hears_error("gpu_unavailable")
    await client.hears_close(1013, "no_replica_reached")
    await client.close(1013)


@BOTH_LEGS
async def test_a_session_that_finds_no_replica(memory: bool) -> None:
    async with replica_servers(1) as replicas:
        replicas.urls[:] = ["http://127.0.0.1:1"]  # nobody listens there
        assert await everywhere(replicas, hopeless_session, memory=memory) > 10


async def overloading_session(trial: Trial, client: FarEnd) -> None:
    """It holds more than all may hold together, while it waits."""
    registry = trial.services.registry
    slot = registry.reserve(now=trio.current_time())
    assert slot is not None
    try:
        await client.text(INIT)
        assert b"queue_status" in bytes((await client.hear()).data)
        await client.binary(bytes(5000))
        await client.hears_error("gpu_unavailable")
        await client.hears_close(1013, "overloaded")
    finally:
        registry.release(slot, now=trio.current_time())


@BOTH_LEGS
async def test_a_session_that_holds_too_much(memory: bool) -> None:
    async with replica_servers(1) as replicas:
        limits = {"unplaced_bytes": 2000}
        assert await everywhere(replicas, overloading_session, memory=memory, limits=limits) > 10


async def dropped_session(trial: Trial, client: FarEnd) -> None:
    """Two replicas drop TCP at what it says, and so does the router."""
    await client.text(b"poison")
    for _ in range(2):
        replica = await trial.replicas.accepted()
        await replica.hears(Opcode.TEXT, b"poison")
        await replica.vanish()
    await client.hears_end()


@BOTH_LEGS
async def test_a_session_that_is_dropped_as_its_replicas_dropped_it(memory: bool) -> None:
    async with replica_servers(2) as replicas:
        assert await everywhere(replicas, dropped_session, memory=memory, dialect="opaque") > 15


# A whole router


@pytest.mark.parametrize(
    "phase", ["before the request", "half a request", "accepted", "first message", "streaming", "closing"]
)
async def test_a_router_is_cancelled_while_a_session_is(phase: str) -> None:
    files = open_files()
    async with staged() as stage:
        if phase == "before the request":
            await stage.connection()
        elif phase == "half a request":
            await (await stage.connection()).send_all(b"GET /v1/stream HTTP/1.1\r\nUpg")
        elif phase == "accepted":
            await stage.client()
        elif phase == "first message":
            client = await stage.client()
            await client.send(Opcode.TEXT, INIT[:10], fin=False)
        else:
            client, replica = await stage.session()
            if phase == "closing":
                await client.close(1000)
                await replica.hears_close(1000)
        await wait_all_tasks_blocked()
        router = stage.router
    assert not router.services.session_table.open
    assert [replica.held for replica in router.registry.replicas] == [0]
    assert router.services.poller.waiting == 0
    assert open_files() <= files


async def test_a_router_is_cancelled_while_it_dials() -> None:
    """The replica accepts the connection and never answers."""
    files = open_files()
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with listener, staged(replicas=0, urls=[url]) as stage:
        client = await stage.client()
        await client.text(INIT)
        async with await listener.accept():
            await wait_all_tasks_blocked()
            assert [str(session.phase) for session in stage.router.services.session_table] == ["connecting"]
    assert [replica.held for replica in stage.router.registry.replicas] == [0]
    assert open_files() <= files
