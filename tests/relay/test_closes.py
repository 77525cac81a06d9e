"""Close codes and reasons go through unchanged; each side learns how the other one ended."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from websockets.frames import Opcode

from tests.relay.ends import ended, relaying
from tests.relay.far import ASSIGNED, COMPLETE, INIT
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side

CODES = [(1000, ""), (1000, "bye"), (1001, "tab closed"), (1003, ""), (1011, "oops"), (4001, "quota"), (4999, "ü" * 61)]


@pytest.mark.parametrize(("code", "reason"), CODES)
async def test_a_client_s_close_reaches_the_replica_and_its_answer_comes_back(
    clock: MockClock, code: int, reason: str
) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.close(code, reason)
        await replica.hears_close(code, reason)
        await replica.close(code, "answer")
        await scene.client.hears_close(code, "answer")
        end = await scene.over()
        assert end == End(Side.CLIENT, Cause.CLOSED, CloseInfo(code, reason))
        await scene.client.hears_end()
        await replica.hears_end()
        assert scene.ended_at == 0.0


@pytest.mark.parametrize(("code", "reason"), [*CODES, (1012, "restart"), (1013, "later")])
async def test_a_replica_s_close_reaches_the_client_and_its_answer_comes_back(
    clock: MockClock, code: int, reason: str
) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.close(code, reason)
        await scene.client.hears_close(code, reason)
        await scene.client.close(code, "answer")
        await replica.hears_close(code, "answer")
        assert await scene.over() == End(Side.REPLICA, Cause.CLOSED, CloseInfo(code, reason))
        assert scene.relay.pair.to_client.close_sent == CloseInfo(code, reason)
        assert scene.ended_at == 0.0


async def test_an_empty_close_stays_empty_both_ways(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.close()
        await replica.hears_close(None)
        await replica.close()
        await scene.client.hears_close(None)
        assert await scene.over() == End(Side.CLIENT, Cause.CLOSED, CloseInfo(None))


async def test_frames_before_a_close_arrive_and_frames_behind_it_do_not(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.binary(b"last")
        await replica.close(1000)
        await replica.binary(b"never")
        await scene.client.hears(Opcode.BINARY, b"last")
        await scene.client.hears_close(1000)
        await scene.client.close(1000)
        await scene.client.hears_end()


async def test_data_that_crosses_a_client_s_close_still_arrives(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.close(1000)
        await replica.hears_close(1000)
        await replica.binary(b"was on its way")
        await replica.close(1000)
        await scene.client.hears(Opcode.BINARY, b"was on its way")
        await scene.client.hears_close(1000)


async def test_a_close_without_answer_is_answered_by_the_end_of_the_other_side(clock: MockClock) -> None:
    """A replica that drops TCP instead of answering: the client's close is answered by the router."""
    async with relaying() as scene:
        replica = await scene.opened()
        await scene.client.close(4000, "enough")
        await replica.hears_close(4000, "enough")
        await replica.vanish()
        await scene.client.hears_close(4000, "enough")
        assert ended(await scene.over()) == ("client", "closed")


async def test_the_close_timeout_drops_a_side_that_does_not_answer(clock: MockClock) -> None:
    async with relaying(timeouts={"close_seconds": 3}) as scene:
        replica = await scene.opened()
        await trio.sleep(7)
        await scene.client.close(1000)
        await replica.hears_close(1000)
        await replica.hears_end()
        assert ended(await scene.over()) == ("client", "closed")
        assert scene.ended_at == 10.0


async def test_the_normal_end_of_a_stream_is_1000_without_an_error(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.text(COMPLETE)
        await replica.vanish()
        await scene.client.hears(Opcode.TEXT, COMPLETE)
        await scene.client.hears_close(1000)
        await scene.client.close(1000)
        assert ended(await scene.over()) == ("replica", "completed")
        assert scene.ended_at == 0.0


async def test_the_word_in_a_prompt_is_no_end_of_a_stream(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        await replica.text(b'{"type": "ltx2_segment_start", "prompt": "ltx2_stream_complete"}')
        await replica.vanish()
        await scene.client.hear()
        await scene.client.hears_error("worker_failed")


async def test_a_stop_closes_both_sides_at_once_and_waits_for_their_answers(clock: MockClock) -> None:
    async with relaying() as scene:
        replica = await scene.opened()
        scene.relay.stop(End(Side.ROUTER, Cause.DRAINED))
        await scene.client.hears_close(1012, "router is restarting")
        await replica.hears_close(1001, "router is restarting")
        await scene.client.close(1012)
        await replica.close(1001)
        assert ended(await scene.over()) == ("router", "drained")
        assert scene.ended_at == 0.0


async def test_a_stop_waits_for_the_end_of_a_frame_that_is_being_cut_through(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        head, rest = b"\x82\x7e\x20\x00", bytes(8192)
        await replica.stream.send_all(head + rest[:4000])
        await trio.testing.wait_all_tasks_blocked()
        scene.relay.stop(End(Side.ROUTER, Cause.DRAINED))
        await replica.hears_close(1001, "router is restarting")
        await replica.stream.send_all(rest[4000:])
        await scene.client.hears(Opcode.BINARY, rest)
        await scene.client.hears_close(1012, "router is restarting")


async def test_opaque_passes_the_first_words_of_either_side(clock: MockClock) -> None:
    async with relaying("opaque") as scene:
        replica = scene.replica()
        await replica.text(ASSIGNED)
        await scene.client.hears(Opcode.TEXT, ASSIGNED)
        await scene.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        await replica.close(1013, "later")
        await scene.client.hears_close(1013, "later")
