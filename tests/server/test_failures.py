"""Replicas that hang, die or end: what the client is told, and where the next one goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from tests.server.peers import viewer
from tests.server.process import demo_replica, router_process, script
from tests.server.server_half import WHOLE
from tests.server.talk import Message, last_words, open_session, read, segment

#: No probe comes after the first one: what is known of a replica later, is known from sessions.
NO_PROBES = {"interval_seconds": 1000.0}
FASTVIDEO: dict[str, Any] = {"dialect": "fastvideo", "health_check": NO_PROBES}
WORKER_FAILED = {"type": "error", "code": "worker_failed", "retryable": True}


def is_worker_failed(message: Message, *urls: str) -> bool:
    """The router's error frame, which never names an address."""
    text = str(message.get("message"))
    hidden = all(url.removeprefix("http://") not in text for url in urls) and "127.0.0.1" not in text
    return hidden and WORKER_FAILED.items() <= message.items()


async def test_killed_in_the_middle_of_a_frame(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with trio.fail_after(30):
        async with script("server_half.py") as (half, url), demo_replica("--name", "green") as (_, other):
            replicas = [{"url": url, "primary": True}, {"url": other}]
            async with router_process(tmp_path, url, other, replicas=replicas, **FASTVIDEO) as (router, port):
                async with viewer(port) as client:
                    assert (await open_session(client))["type"] == "gpu_assigned"
                    assert await client.recv() == WHOLE
                    await half.line("halfway")
                    killed_at = time.perf_counter()
                    half.signal(signal.SIGKILL)
                    words, closed = await last_words(client)
                    seconds = time.perf_counter() - killed_at
                assert len(words) == 1, "nothing of the half frame may be seen"
                assert is_worker_failed(words[0], url, other)
                assert closed == (1011, "worker_failed")
                record_testsuite_property("told_after_ms", round(seconds * 1000, 1))
                assert seconds < 2, f"100 ms would be fine; it took {seconds * 1000:.1f} ms"
                async with viewer(port) as client:
                    assert (await open_session(client))["replica"] == "green"
                    assert [found["type"] for found in await segment(client)][-1] == "ltx2_segment_complete"
                ended = await router.event("session ended")
                assert (ended["ended_by"], ended["cause"], ended["phase"]) == ("replica", "vanished", "streaming")


async def test_killed_between_segments(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            demo_replica("--name", "one") as (one, url_one),
            demo_replica("--name", "two") as (two, url_two),
            router_process(tmp_path, url_one, url_two, **FASTVIDEO) as (_, port),
        ):
            async with viewer(port) as client:
                name = (await open_session(client))["replica"]
                await segment(client)
                (one if name == "one" else two).signal(signal.SIGKILL)
                words, closed = await last_words(client)
                assert [is_worker_failed(word, url_one, url_two) for word in words] == [True]
                assert closed == (1011, "worker_failed")
            async with viewer(port) as client:
                assert (await open_session(client))["replica"] == ("two" if name == "one" else "one")


async def test_hung_replica(tmp_path: Path) -> None:
    """SIGSTOP: its sockets live on, so only the router's own pings can tell."""
    timeouts = {"ping_interval_seconds": 0.1, "dead_peer_seconds": 0.5}
    with trio.fail_after(30):
        async with (
            demo_replica() as (replica, url),
            router_process(tmp_path, url, timeouts=timeouts, **FASTVIDEO) as (router, port),
        ):
            async with viewer(port) as client:
                await open_session(client)
                await segment(client)
                replica.signal(signal.SIGSTOP)
                words, closed = await last_words(client)
                assert is_worker_failed(words[-1], url)
                assert closed == (1011, "worker_failed")
            assert (await router.event("session ended"))["cause"] == "dead"


async def test_replica_that_hangs_at_the_dial_is_passed_over(tmp_path: Path) -> None:
    timeouts = {"connect_seconds": 0.3}
    with trio.fail_after(30):
        async with demo_replica("--name", "hung") as (hung, url), demo_replica("--name", "fine") as (_, other):
            replicas = [{"url": url, "primary": True}, {"url": other}]
            block = FASTVIDEO | {"replicas": replicas, "timeouts": timeouts}
            async with router_process(tmp_path, url, other, **block) as (router, port):
                hung.signal(signal.SIGSTOP)
                async with viewer(port) as client:
                    assert (await open_session(client))["replica"] == "fine"
                ended = await router.event("session ended")
                assert ended["replica"] == other.removeprefix("http://")
                assert [tried.partition(": ")[0] for tried in ended["tries"]] == [url.removeprefix("http://")]


async def test_normal_end_of_a_stream(tmp_path: Path) -> None:
    """After its last segment the replica says so and drops TCP without a close frame: 1000, and no error frame."""
    with trio.fail_after(30):
        async with (
            demo_replica("--segment-cap", "2") as (_, url),
            router_process(tmp_path, url, **FASTVIDEO) as (router, port),
        ):
            async with viewer(port) as client:
                await open_session(client)
                await segment(client)
                await segment(client)
                assert read(await client.recv())["type"] == "ltx2_stream_complete"
                assert await last_words(client) == ([], (1000, ""))
            assert (await router.event("session ended"))["cause"] == "completed"
