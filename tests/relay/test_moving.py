"""Before the commit point a session moves to another replica, and the client notices nothing but time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.relay.ends import Scene, ended, relaying
from tests.relay.far import ASSIGNED, INIT, QUEUED, REJECTED, FarEnd, message
from trio_router.core.websocket.frames import CLOSE, TEXT, close_payload, frame


async def begun(scene: Scene) -> FarEnd:
    """The client has said its first words to a replica that has said none."""
    replica = scene.replica()
    await scene.client.text(INIT)
    await replica.hears(Opcode.TEXT, INIT)
    return replica


async def served(scene: Scene) -> None:
    """A further replica is told the first words and takes the session."""
    replica = scene.replica()
    await replica.hears(Opcode.TEXT, INIT)
    await replica.text(ASSIGNED)
    await scene.client.hears(Opcode.TEXT, ASSIGNED)
    assert scene.offers.commits == 1


async def test_a_silent_replica_loses_the_session_at_first_reply_seconds(clock: MockClock) -> None:
    async with relaying(timeouts={"ping_interval_seconds": 50}) as scene:
        silent = await begun(scene)
        await silent.hears_end()
        assert trio.current_time() == 30.0
        await served(scene)
        assert scene.offers.asked_at == [0.0, 30.0]
        assert [ended(end) for end in scene.offers.failed] == [("replica", "silent")]


async def test_what_the_client_said_is_replayed_byte_for_byte(clock: MockClock) -> None:
    async with relaying() as scene:
        client = scene.client
        first, second = scene.replica(), scene.replica()
        said = await client.text(INIT)
        said += await client.send(Opcode.TEXT, b'{"type": ', fin=False)
        said += await client.send(Opcode.PING, b"between")
        said += await client.send(Opcode.CONT, b'"x"', fin=False)
        said += await client.send(Opcode.CONT, b"}")
        said += await client.binary(bytes(range(256)) * 300)
        await first.hears_bytes(said)
        await first.vanish()
        await second.hears_bytes(said)
        said_later = await client.binary(b"more")
        await second.hears_bytes(said_later)


async def test_a_move_between_two_fragments(clock: MockClock) -> None:
    async with relaying() as scene:
        first = await begun(scene)
        await scene.client.send(Opcode.TEXT, b"half", fin=False)
        await first.hears(Opcode.TEXT, b"half", fin=False)
        await first.vanish()
        second = scene.replica()
        await second.hears(Opcode.TEXT, INIT)
        await second.hears(Opcode.TEXT, b"half", fin=False)
        await scene.client.send(Opcode.CONT, b"and half")
        await second.hears(Opcode.CONT, b"and half")


async def test_a_move_in_the_middle_of_a_client_s_frame(clock: MockClock) -> None:
    async with relaying() as scene:
        first = await begun(scene)
        await scene.client.stream.send_all(b"\x82\x85\0\0\0\0he")
        await wait_all_tasks_blocked()
        await first.vanish()
        second = scene.replica()
        await second.hears(Opcode.TEXT, INIT)
        await scene.client.stream.send_all(b"llo")
        await second.hears(Opcode.BINARY, b"hello")


async def test_what_the_client_says_while_there_is_no_replica_follows(clock: MockClock) -> None:
    async with relaying() as scene:
        first = await begun(scene)
        await first.vanish()
        await wait_all_tasks_blocked()
        await scene.client.text(b"one")
        await scene.client.text(b"two")
        second = scene.replica()
        for said in (INIT, b"one", b"two"):
            await second.hears(Opcode.TEXT, said)


async def test_a_rejection_is_not_shown_to_the_client(clock: MockClock) -> None:
    async with relaying() as scene:
        full = await begun(scene)
        await full.stream.send_all(frame(TEXT, REJECTED) + frame(CLOSE, close_payload(1013, "full")))
        await served(scene)
        assert [ended(end) for end in scene.offers.failed] == [("replica", "rejected")]


@pytest.mark.parametrize(
    ("code", "cause"), [(1013, "rejected"), (1012, "rejected"), (1001, "vanished"), (1011, "vanished")]
)
async def test_a_close_that_blames_the_server_moves_the_session(clock: MockClock, code: int, cause: str) -> None:
    async with relaying() as scene:
        await (await begun(scene)).close(code, "not me")
        await served(scene)
        assert [ended(end) for end in scene.offers.failed] == [("replica", cause)]


@pytest.mark.parametrize("code", [None, 1000, 1003, 1008, 4001])
async def test_any_other_close_is_the_replica_s_answer(clock: MockClock, code: int | None) -> None:
    async with relaying() as scene:
        await (await begun(scene)).close(code)
        await scene.client.hears_close(code)
        assert scene.offers.failed == []


async def test_a_place_in_the_replica_s_queue_is_no_commitment(clock: MockClock) -> None:
    async with relaying() as scene:
        first = await begun(scene)
        await first.text(QUEUED)
        await scene.client.hears(Opcode.TEXT, QUEUED)
        assert scene.offers.commits == 0
        await first.vanish()
        await served(scene)


async def test_a_replica_that_queues_the_client_and_says_so_keeps_it(clock: MockClock) -> None:
    """Each of its messages is a sign of life; only silence loses the session."""
    async with relaying(timeouts={"ping_interval_seconds": 1000, "dead_peer_seconds": 2000}) as scene:
        first = await begun(scene)
        for _ in range(10):
            await trio.sleep(29)
            await first.text(QUEUED)
        await first.hears_end()
        assert trio.current_time() == 320.0
        assert [ended(end) for end in scene.offers.failed] == [("replica", "silent")]


@pytest.mark.parametrize(
    "reply", [ASSIGNED, message(type="error", code="invalid_message"), b"not JSON", message(type="new")]
)
async def test_any_other_message_commits(clock: MockClock, reply: bytes) -> None:
    async with relaying() as scene:
        first = await begun(scene)
        await first.text(reply)
        await scene.client.hears(Opcode.TEXT, reply)
        await first.vanish()
        await scene.client.hears_error("worker_failed")
        await scene.client.hears_close(1011, "worker_failed")
        assert ended(await scene.over()) == ("replica", "vanished")
        assert (scene.offers.commits, scene.offers.failed) == (1, [])


async def test_the_beginning_of_a_frame_that_is_cut_through_commits(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        first = await begun(scene)
        await first.stream.send_all(b"\x82\x7e\x10\x00" + bytes(100))
        await wait_all_tasks_blocked()
        assert scene.offers.commits == 1


async def test_wrong_frames_before_the_commit_point_move_the_session(clock: MockClock) -> None:
    async with relaying() as scene:
        await (await begun(scene)).stream.send_all(b"\xf2\x00")
        await served(scene)
        assert [ended(end) for end in scene.offers.failed] == [("replica", "protocol_error")]


async def test_a_replica_that_does_not_read_before_it_commits_loses_the_session(clock: MockClock) -> None:
    """Both its patience and its first reply run out in the same instant; whichever is seen first, the session moves."""
    async with relaying(pair=lockstep_stream_pair, timeouts={"ping_interval_seconds": 50}) as scene:
        scene.replica()
        await scene.client.text(INIT)
        second = scene.replica()
        await second.hears(Opcode.TEXT, INIT)
        assert trio.current_time() == 30.0
        assert scene.end is None


async def test_a_replica_that_does_not_read_is_slow_before_it_is_silent(clock: MockClock) -> None:
    timeouts = {"ping_interval_seconds": 50, "slow_seconds": 5}
    async with relaying(pair=lockstep_stream_pair, timeouts=timeouts) as scene:
        scene.replica()
        await scene.client.text(INIT)
        second = scene.replica()
        await second.hears(Opcode.TEXT, INIT)
        assert trio.current_time() == 5.0
        assert [ended(end) for end in scene.offers.failed] == [("replica", "slow")]


async def test_what_a_replica_says_of_its_failure_is_noted_in_printable_text(clock: MockClock) -> None:
    said = message(type="error", code="worker_failed", message="x").replace(b'"x"', '"\x7f\u202e\x9b"'.encode())
    async with relaying() as scene:
        failing = await begun(scene)
        await failing.text(said)
        await failing.hears_end()
        await served(scene)
        (end,) = scene.offers.failed
        assert end.detail.isprintable()
        assert r"\x7f\u202e\x9b" in end.detail
