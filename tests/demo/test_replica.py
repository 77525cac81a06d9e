"""The facts of FastVideo's replicas that a router depends on, asserted of the demo replica."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.demo.talk import BOUND_SECONDS, talk_to, wait_until_free

if TYPE_CHECKING:
    import httpx

    from tests.demo.talk import StartReplica
    from trio_router.demo.segment import Segment, SegmentRequest


class Gate:
    """A pace at which every step waits for the test: a generation that takes exactly as long as it wants."""

    def __init__(self) -> None:
        self._let, self._wait = trio.open_memory_channel[None](0)

    async def __call__(self, _seconds: float) -> None:
        await self._wait.receive()

    async def let_one_step(self) -> None:
        """Returns when the replica has taken the step; waits for ever if there is none to take."""
        with trio.fail_after(BOUND_SECONDS):
            await self._let.send(None)


async def test_health_is_200_and_counts_sessions(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    url = await start_replica()
    async with talk_to(url) as talk:
        await talk.start()
        answer = await http.get(f"{url}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "sessions": 1, "stream_mode": "av_fmp4"})


async def test_readyz_counts_gpus(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    url = await start_replica(max_sessions=3)
    async with talk_to(url) as talk:
        await talk.start()
        answer = await http.get(f"{url}/readyz")
    numbers = {"ready_gpu_workers": 3, "total_gpus": 3, "available_gpus": 2, "queue_size": 0}
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", **numbers})


async def test_readyz_is_200_while_warming(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{await start_replica(warmup_seconds=3600)}/readyz")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["ready_gpu_workers"]) == ("warming", 0)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/health", 405)])
async def test_other_requests(
    start_replica: StartReplica, http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await http.request(method, await start_replica() + path)).status_code == status


async def test_messages_of_one_segment_in_order(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica(total_steps=3)) as talk:
        await talk.start()
        events = await talk.segment("a fox")
    kinds = [event["type"] for event in events]
    # An init, and two pieces of 100,000 bytes that go out as two frames each.
    assert kinds == [
        "ltx2_segment_start",
        *["step_complete"] * 3,
        "media_init",
        *["binary"] * 5,
        "media_segment_complete",
        "ltx2_segment_complete",
    ]
    assert events[0] == {"type": "ltx2_segment_start", "segment_idx": 0, "prompt": "a fox", "total_steps": 3}
    assert [event["step"] for event in events[1:4]] == [1, 2, 3]
    assert max(len(event["data"]) for event in events[5:10]) == 64 * 1024
    assert events[10]["chunks"] == 4
    assert events[10]["stream_id"] == events[4]["stream_id"]


async def test_opening_messages(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica()) as talk:
        await talk.say("session_init_v2", client_id="me", unknown_key=1)
        first = await talk.hear()
        assert first == {"type": "queue_status", "position": 0, "queue_depth": 0}
        assigned = await talk.hear()
        assert (assigned["gpu_id"], assigned["session_timeout"], assigned["replica"]) == (0, 300, "blue")
        stream = {"type": "ltx2_stream_start", "width": 160, "height": 90, "fps": 24, "num_frames": 12}
        assert await talk.hear() == stream


async def test_one_too_many_is_rejected_after_the_upgrade(start_replica: StartReplica) -> None:
    url = await start_replica()
    async with talk_to(url), talk_to(url) as second:
        error = await second.hear()
        code = await second.close_code()
    assert (error["code"], error["retryable"], code) == ("session_rejected", False, 1013)


async def test_a_session_counts_from_accept_on(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    url = await start_replica()
    async with talk_to(url):
        assert (await http.get(f"{url}/health")).json()["sessions"] == 1
    await wait_until_free(http, url)


async def test_gpu_stays_busy_after_its_client_has_left(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    gate = Gate()
    url = await start_replica(pace=gate, total_steps=3)
    async with talk_to(url) as leaver:
        await leaver.start()
        await leaver.say("segment_prompt_source", prompt="never seen")
        await gate.let_one_step()
        await leaver.hear_until("step_complete")
    await gate.let_one_step()
    assert (await http.get(f"{url}/readyz")).json()["available_gpus"] == 0
    async with talk_to(url) as rejected:
        assert (await rejected.hear())["code"] == "session_rejected"
    await gate.let_one_step()
    await wait_until_free(http, url)
    async with talk_to(url) as served:
        assert (await served.start())["gpu_id"] == 0


async def test_client_that_leaves_between_segments_frees_its_gpu_at_once(
    start_replica: StartReplica, http: httpx.AsyncClient
) -> None:
    url = await start_replica(pace=Gate())
    async with talk_to(url) as talk:
        await talk.start()
    await wait_until_free(http, url)


@pytest.mark.parametrize("first", ["no JSON", '{"type": "snapshot_state"}', '{"type": "hello"}', "[1]", b"\x00\x01"])
async def test_first_message_must_be_session_init(start_replica: StartReplica, first: str | bytes) -> None:
    async with talk_to(await start_replica()) as talk:
        await talk.socket.send_message(first)
        error = await talk.hear()
        code = await talk.close_code()
    assert (error["code"], error["retryable"], code) == ("invalid_message", False, 1003)


@pytest.mark.parametrize("bad", ['{"type": "segment_prompt_source"}', '{"type": "hello"}', "{"])
async def test_later_nonsense_keeps_the_session(start_replica: StartReplica, bad: str) -> None:
    async with talk_to(await start_replica()) as talk:
        await talk.start()
        await talk.socket.send_message(bad)
        error = await talk.hear()
        assert (error["code"], error["retryable"]) == ("invalid_message", True)
        assert (await talk.segment("still here"))[-1]["segment_idx"] == 0


async def test_switches_are_accepted_silently(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica()) as talk:
        await talk.start()
        await talk.say("seed_prompts_updated", seed_prompts=["a"])
        for switch in ("enhancement", "auto_extension", "loop_generation"):
            await talk.say(f"{switch}_updated", enabled=True)
        await talk.say("generation_paused_updated", paused=False)
        assert (await talk.segment("next"))[0]["type"] == "ltx2_segment_start"


async def test_after_the_last_segment_tcp_ends_without_a_close_frame(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica(segment_cap=2)) as talk:
        await talk.start()
        await talk.segment("one")
        assert (await talk.segment("two"))[-1]["segment_idx"] == 1
        assert await talk.hear() == {"type": "ltx2_stream_complete", "reason": "stop_requested"}
        assert await talk.close_code() == 1006


async def test_idle_session_completes_and_tcp_ends_without_a_close_frame(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica(idle_timeout_seconds=0.05)) as talk:
        await talk.start()
        assert (await talk.hear())["type"] == "ltx2_stream_complete"
        assert await talk.close_code() == 1006


async def test_silent_client_is_dropped_without_a_word(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica(idle_timeout_seconds=0.01)) as talk:
        with pytest.raises(ConnectionClosed) as closed:
            await talk.hear()
    assert closed.value.reason is not None
    assert closed.value.reason.code == 1006


async def test_snapshot_resumes_a_story_that_counts_segments_from_0(start_replica: StartReplica) -> None:
    url = await start_replica(max_sessions=2)
    async with talk_to(url) as first, talk_to(url) as second:
        await first.start()
        await first.segment("once upon a time")
        await first.say("snapshot_state")
        snapshot = await first.hear()
        assert snapshot["type"] == "continuation_state_snapshot"
        assert snapshot["state"]["kind"] == "demo"
        await second.start(continuation_state=snapshot["state"])
        assert (await second.segment("and then"))[0]["segment_idx"] == 0
        await second.say("snapshot_state")
        assert (await second.hear())["state"]["payload"] == {"frames": 24, "last_prompt": "and then"}


async def test_snapshot_of_nothing_is_an_error_that_keeps_the_session(start_replica: StartReplica) -> None:
    async with talk_to(await start_replica()) as talk:
        await talk.start()
        await talk.say("snapshot_state")
        assert (await talk.hear())["code"] == "internal_error"
        await talk.segment("on we go")


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 3000], ids=["characters", "bytes"])
async def test_message_that_is_too_big_is_closed_with_1009(start_replica: StartReplica, text: str) -> None:
    async with talk_to(await start_replica(max_message_bytes=4096)) as talk:
        await talk.socket.send_message(json.dumps({"type": "session_init_v2", "x": text}, ensure_ascii=False))
        assert await talk.close_code() == 1009


async def test_upgrade_on_another_path_is_refused(start_replica: StartReplica) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        async with talk_to(await start_replica(), "/elsewhere"):
            pass
    assert refused.group_contains(Exception, match="403")


async def test_a_crash_ends_one_session_only(start_replica: StartReplica, caplog: pytest.LogCaptureFixture) -> None:
    def explode(_request: SegmentRequest) -> Segment:
        raise RuntimeError("out of memory")

    url = await start_replica(max_sessions=2, make_segment=explode)
    async with talk_to(url) as bystander:
        await bystander.start()
        async with talk_to(url) as victim:
            await victim.start()
            await victim.say("segment_prompt_source", prompt="boom")
            assert await victim.close_code() == 1006
        await bystander.say("snapshot_state")
        assert (await bystander.hear())["type"] == "error"
    assert "session crashed" in caplog.text


async def test_client_that_answers_no_ping_is_dropped(start_replica: StartReplica, http: httpx.AsyncClient) -> None:
    url = await start_replica(ping_interval_seconds=0.01, ping_timeout_seconds=0.01)
    with trio.fail_after(20):
        async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as deaf:
            await deaf.send_all(
                b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            while await deaf.receive_some():
                pass
    await wait_until_free(http, url)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\r\n\r\n", b"", b"GET / HTTP/1.1\r\n"])
async def test_garbage_on_the_port_hurts_nobody(
    start_replica: StartReplica, http: httpx.AsyncClient, garbage: bytes
) -> None:
    url = await start_replica()
    async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        await stream.send_all(garbage)
        await stream.send_eof()
        assert await stream.receive_some() == b""
    assert (await http.get(f"{url}/health")).status_code == 200
