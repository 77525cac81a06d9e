"""Sides that vanish, and sides that send what is no WebSocket: who is told what."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked
from websockets.frames import Frame, Opcode

from tests.relay.ends import Scene, ended, relaying
from tests.relay.far import ASSIGNED, FarEnd


def binary(payload: bytes, *, fin: bool = True) -> bytes:
    """A replica's frame."""
    return Frame(Opcode.BINARY, payload, fin).serialize(mask=False)


async def is_told_of_the_failure(client: FarEnd) -> None:
    await client.hears_error("worker_failed")
    await client.hears_close(1011, "worker_failed")


async def test_a_replica_vanishes_between_frames(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.binary(b"video")
        await replica.vanish()
        await scene.client.hears(Opcode.BINARY, b"video")
        await is_told_of_the_failure(scene.client)
        await scene.client.close(1011)
        await scene.client.hears_end()
        assert ended(await scene.over()) == ("replica", "vanished")
        assert scene.ended_at == 0.0


async def test_a_replica_vanishes_between_fragments(clock: MockClock) -> None:
    """Only a control frame may stand there, so the close comes without the error."""
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.send(Opcode.TEXT, b"half", fin=False)
        await replica.vanish()
        await scene.client.hears(Opcode.TEXT, b"half", fin=False)
        await scene.client.hears_close(1011, "worker_failed")


@pytest.mark.parametrize("cut", [1, 2, 3, 9, 10, 5000, 1024 * 1024 - 1])
async def test_a_replica_vanishes_inside_a_frame_that_is_held(clock: MockClock, cut: int) -> None:
    data = binary(bytes(1024 * 1024 - 10))  # as large as is held by default
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.stream.send_all(binary(b"whole") + data[:cut])
        await replica.vanish()
        await scene.client.hears(Opcode.BINARY, b"whole")
        await is_told_of_the_failure(scene.client)
        await scene.client.close(1011)
        await scene.client.hears_end()


async def test_a_replica_vanishes_inside_a_frame_that_is_cut_through(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        await replica.stream.send_all(binary(bytes(10_000))[:2000])
        await replica.vanish()
        await scene.client.hears_end(left=1996)
        await scene.client.vanish()
        assert scene.relay.pair.client.broken_reason == "aborted"
        assert ended(await scene.over()) == ("replica", "vanished")


async def test_a_client_vanishes(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.binary(b"last")
        await scene.client.vanish()
        await replica.hears(Opcode.BINARY, b"last")
        await replica.hears_close(1001, "client is gone")
        await replica.binary(b"was on its way")
        await replica.close(1001)
        await replica.hears_end()
        assert ended(await scene.over()) == ("client", "vanished")
        assert scene.ended_at == 0.0


async def test_a_client_vanishes_inside_a_frame_that_is_held(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.stream.send_all(b"\x82\x85\0\0\0\0he")
        await scene.client.vanish()
        await replica.hears_close(1001, "client is gone")


async def test_a_client_vanishes_inside_a_frame_that_is_cut_through(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        await scene.client.stream.send_all(Frame(Opcode.BINARY, bytes(10_000)).serialize(mask=True)[:2000])
        await scene.client.vanish()
        await replica.hears_end(left=1992)


async def test_both_vanish(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.vanish()
        await replica.vanish()
        await scene.over()
        assert scene.ended_at == 0.0


WRONG = {
    "reserved bits": (b"\xc2\x80\0\0\0\0", b"\xc2\x00", 1002, "reserved bits are set, but no extension was negotiated"),
    "opcode": (b"\x83\x80\0\0\0\0", b"\x83\x00", 1002, "opcode 0x3 is reserved"),
    "masking": (b"\x82\x00", b"\x82\x80\0\0\0\0", 1002, None),
    "order": (b"\x80\x80\0\0\0\0", b"\x80\x00", 1002, "a continuation frame without a message"),
    "length": (b"\x82\xfe\x00\x01\0\0\0\0x", b"\x82\x7e\x00\x01x", 1002, "length is not minimally encoded"),
    "long ping": (b"\x89\xfe\x00\x7e", b"\x89\x7e\x00\x7e", 1002, "a control frame has more than 125 bytes"),
    "size": (b"\x82\xfe\x20\x00", b"\x82\x7e\x20\x00", 1009, "message is larger than 4096 bytes"),
}
LIMITS = {"client_message_bytes": 4096, "replica_message_bytes": 4096}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_client_sends_what_is_wrong(clock: MockClock, wrong: str) -> None:
    data, _, code, reason = WRONG[wrong]
    async with relaying(limits=LIMITS) as scene:
        replica = await scene.opened()
        await scene.client.binary(b"right")
        await scene.client.stream.send_all(data)
        await scene.client.hears_close(code, reason or "client frames must be masked")
        await replica.hears(Opcode.BINARY, b"right")
        await replica.hears_close(1001, "client is gone")
        await replica.close(1001)
        await scene.client.close(code)  # read, and thrown away
        await scene.client.vanish()
        await ends_at_once(scene, "client", code)


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_replica_sends_what_is_wrong(clock: MockClock, wrong: str) -> None:
    _, data, code, reason = WRONG[wrong]
    async with relaying(limits=LIMITS) as scene:
        replica = await scene.opened()
        await replica.binary(b"right")
        await replica.stream.send_all(data)
        await replica.hears_close(code, reason or "server frames must not be masked")
        await scene.client.hears(Opcode.BINARY, b"right")
        await is_told_of_the_failure(scene.client)
        await scene.client.close(1011)
        await replica.vanish()
        await ends_at_once(scene, "replica", code)


async def ends_at_once(scene: Scene, side: str, code: int) -> None:
    assert ended(await scene.over()) == (side, "message_too_big" if code == 1009 else "protocol_error")
    assert scene.ended_at == 0.0


async def test_fragments_are_added_up(clock: MockClock) -> None:
    async with relaying(limits=LIMITS) as scene:
        replica = await scene.opened()
        await scene.client.send(Opcode.BINARY, bytes(3000), fin=False)
        await replica.hears(Opcode.BINARY, bytes(3000), fin=False)
        await scene.client.send(Opcode.CONT, bytes(1097))
        await scene.client.hears_close(1009, "message is larger than 4096 bytes")
        await replica.hears_close(1001, "client is gone")


async def test_opaque_sends_no_message_of_its_own(clock: MockClock) -> None:
    async with relaying("opaque") as scene:
        replica = scene.replica()
        await replica.text(ASSIGNED)
        await scene.client.hears(Opcode.TEXT, ASSIGNED)
        await replica.vanish()
        await scene.client.hears_close(1011, "worker_failed")


async def test_a_replica_that_goes_on_talking_after_a_wrong_frame_does_not_hold_the_session(clock: MockClock) -> None:
    async with relaying(timeouts={"close_seconds": 2}) as scene:
        replica = await scene.opened()
        await replica.stream.send_all(b"\xff\xff")
        await wait_all_tasks_blocked()
        for _ in range(20):
            await replica.binary(bytes(1000))
            await trio.sleep(0.09)
        assert ended(await scene.over()) == ("replica", "protocol_error")
        assert scene.ended_at == 2.0
