"""The viewer against a replica: a file with every frame, and a summary that tells how it ended."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import trio
from rich.console import Console

from trio_router.demo.once import run_once
from trio_router.demo.summary import Recorder
from trio_router.demo.video import count_frames, video_segment
from trio_router.demo.viewer import watch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo.talk import StartReplica
    from trio_router.demo.messages import Message


def stream_url(base_url: str) -> str:
    return base_url.replace("http:", "ws:") + "/v1/stream"


async def test_viewer_writes_every_frame(start_replica: StartReplica, tmp_path: Path) -> None:
    url = stream_url(await start_replica(make_segment=video_segment))
    out_path = tmp_path / "out.mp4"
    events: list[Message] = []
    with trio.fail_after(30):
        summary = await watch(url, ["a", "b", "c"], out_path=out_path, on_event=events.append)
    assert (summary.ended, summary.error, summary.close_code) == ("finished", None, 1000)
    assert (summary.frames, summary.expected_frames, count_frames(out_path)) == (36, 36, 36)
    assert [segment.prompt for segment in summary.segments] == ["a", "b", "c"]
    assert summary.bytes == sum(event["bytes"] for event in events if event["type"] == "media")
    assert (summary.replica, len(summary.gaps)) == ("blue", 2)


async def test_stream_that_completes_early(start_replica: StartReplica) -> None:
    url = stream_url(await start_replica(segment_cap=1))
    summary = await watch(url, ["a", "b"])
    assert (summary.ended, len(summary.segments), summary.close_code) == ("stream_complete", 1, 1006)


async def test_full_replica(start_replica: StartReplica) -> None:
    ended: list[str] = []

    def on_event(message: Message) -> None:
        ended.append(message["type"])
        if message["type"] == "ltx2_stream_start":
            nursery.start_soon(second)

    async def second() -> None:
        summary = await watch(url, ["b"])
        assert (summary.ended, summary.close_code) == ("error", 1013)
        assert summary.error is not None
        assert summary.error.startswith("session_rejected")
        nursery.cancel_scope.cancel()

    async def stand_still(_seconds: float) -> None:
        await trio.sleep_forever()

    url = stream_url(await start_replica(pace=stand_still))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await watch(url, ["a"], on_event=on_event)
    assert "step_complete" not in ended


async def test_nobody_there() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    summary = await watch(f"ws://127.0.0.1:{port}/v1/stream", ["a"])
    assert (summary.ended, summary.close_code) == ("unreachable", None)


async def test_no_websocket_there(start_replica: StartReplica) -> None:
    summary = await watch(stream_url(await start_replica()) + "/elsewhere", ["a"])
    assert summary.ended == "unreachable"
    assert summary.error is not None
    assert "403" in summary.error


async def test_address_that_is_none() -> None:
    with pytest.raises(ValueError, match="ws://"):
        await watch("http://127.0.0.1/", ["a"])


async def test_once_says_ok(start_replica: StartReplica, tmp_path: Path) -> None:
    url, out = stream_url(await start_replica(make_segment=video_segment)), io.StringIO()
    status = await run_once(url, tmp_path / "out.mp4", console=Console(file=out, width=100))
    text = out.getvalue()
    assert status == 0, text
    assert "OK: 36 frames" in text
    assert "\x1b" not in text  # not a terminal: no bar, no colours
    assert text.count("sunrise over the quiet sea") == 1


async def test_once_draws_a_bar_on_a_terminal(start_replica: StartReplica, tmp_path: Path) -> None:
    url, out = stream_url(await start_replica(make_segment=video_segment)), io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    assert await run_once(url, tmp_path / "out.mp4", console=console) == 0
    assert "\x1b[" in out.getvalue()


async def test_once_says_what_failed(start_replica: StartReplica, tmp_path: Path) -> None:
    url, out = stream_url(await start_replica(segment_cap=2, make_segment=video_segment)), io.StringIO()
    status = await run_once(url, tmp_path / "out.mp4", console=Console(file=out, width=100))
    assert status == 1
    assert "FAILED: the session ended as stream_complete: no error frame, close code 1006" in out.getvalue()


async def test_once_gives_up_in_time(start_replica: StartReplica, tmp_path: Path) -> None:
    async def stand_still(_seconds: float) -> None:
        await trio.sleep_forever()

    url, out = stream_url(await start_replica(pace=stand_still)), io.StringIO()
    status = await run_once(url, tmp_path / "o.mp4", timeout_seconds=0.05, console=Console(file=out))
    assert (status, out.getvalue()) == (1, "FAILED: no result within 0.05 s\n")


def test_recorder_measures_segments_and_gaps() -> None:
    recorder = Recorder(["a", "b"], now=100.0)
    assert recorder.ask(101.0) == "a"
    recorder.feed_media(b"12", 103.0)
    recorder.feed_media(b"3", 104.0)
    recorder.feed({"type": "ltx2_segment_complete"}, 105.0)
    assert recorder.ask(105.0) == "b"
    recorder.feed_media(b"4567", 110.0)
    recorder.feed({"type": "ltx2_segment_complete"}, 111.0)
    assert recorder.ask(111.0) is None
    summary = recorder.summary(frames=0, out_path=None)
    assert (summary.first_media_seconds, summary.gaps, summary.bytes) == (3.0, (6.0,), 7)
    assert [segment.first_media_seconds for segment in summary.segments] == [2.0, 5.0]
    assert [segment.complete_seconds for segment in summary.segments] == [4.0, 6.0]


def test_recorder_refuses_media_that_nobody_asked_for() -> None:
    recorder = Recorder(["a"], now=0.0)
    recorder.feed_media(b"1", 1.0)
    assert recorder.summary(frames=0, out_path=None).ended == "error"
