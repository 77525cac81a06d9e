"""The probe loop: at once, side by side, jittered; and what real replicas' reports make of capacity."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_router import ReplicaEndpoint, ReplicaRegistry, ReplicaStatus, RouterConfig, run_health_check_loop
from trio_router.core.replica import AdminState
from trio_router.health import probe_once


class Answers:
    """An ``http_get`` whose answers a test sets by URL: an error, seconds to take, or an exception."""

    def __init__(self) -> None:
        self.asked: dict[str, list[float]] = defaultdict(list)
        self.timeouts: set[float] = set()
        self.errors: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.raises: dict[str, Exception] = {}

    async def __call__(self, url: str, *, timeout: float) -> tuple[float | None, str | None]:
        self.asked[url].append(trio.current_time())
        self.timeouts.add(timeout)
        if url in self.seconds:
            await trio.sleep(self.seconds[url])
        if url in self.raises:
            raise self.raises[url]
        return 1.5, self.errors.get(url)


A, B = "http://a.test:1", "http://b.test:2"


@asynccontextmanager
async def probing(answers: Answers, *urls: str, **settings: float) -> AsyncIterator[ReplicaRegistry]:
    """The loop, running."""
    config = RouterConfig(replicas=tuple(map(ReplicaEndpoint, urls)), **settings)
    registry = ReplicaRegistry(config)
    async with trio.open_nursery() as nursery:

        async def loop() -> None:
            await run_health_check_loop(registry, config, http_get=answers)

        nursery.start_soon(loop)
        await wait_all_tasks_blocked()
        yield registry
        nursery.cancel_scope.cancel()


def statuses(registry: ReplicaRegistry) -> list[str]:
    return [str(replica.health.status) for replica in registry.replicas]


async def test_the_first_cycle_runs_at_once(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, B) as registry:
        assert answers.asked == {A + "/health": [0.0], B + "/health": [0.0]}
        assert statuses(registry) == ["healthy", "healthy"]
        assert registry.replicas[0].health.last_latency_ms == 1.5
        assert answers.timeouts == {2.0}


async def test_cycles_are_an_interval_apart_more_or_less(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, B, health_check_interval_seconds=10):
        await trio.sleep(1000)
    gaps = []
    for times in answers.asked.values():
        gaps += [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert all(9.0 <= gap <= 11.0 for gap in gaps)
    assert max(gaps) - min(gaps) > 1.0
    assert answers.asked[A + "/health"] != answers.asked[B + "/health"]


async def test_a_slow_replica_delays_nobody_and_has_its_timeout(clock: MockClock) -> None:
    answers = Answers()
    answers.seconds[A + "/health"] = 3600
    async with probing(answers, A, B, health_check_timeout_seconds=4, failure_threshold=1) as registry:
        assert statuses(registry) == ["unknown", "healthy"]
        await trio.sleep(4.1)
        assert statuses(registry) == ["unhealthy", "healthy"]
        assert registry.replicas[0].health.last_error == "no answer within 4 s"
        await trio.sleep(100)
        assert len(answers.asked[B + "/health"]) >= 18
        assert len(answers.asked[A + "/health"]) >= 10


async def test_an_exception_is_a_failure_and_no_more(clock: MockClock) -> None:
    answers = Answers()
    answers.raises[A + "/health"] = KeyError("whatever")
    async with probing(answers, A, B, failure_threshold=2) as registry:
        assert registry.replicas[0].health.consecutive_failures == 1
        assert registry.replicas[0].health.last_error == "KeyError: 'whatever'"
        await trio.sleep(12)
        assert statuses(registry) == ["unhealthy", "healthy"]
        answers.raises.clear()
        await trio.sleep(12)
        assert statuses(registry) == ["healthy", "healthy"]


async def test_a_flip_is_logged_once(clock: MockClock) -> None:
    answers = Answers()
    with structlog.testing.capture_logs() as logs:
        async with probing(answers, A):
            await trio.sleep(100)
            answers.errors[A + "/health"] = "HTTP 503"
            await trio.sleep(100)
            answers.errors.clear()
            await trio.sleep(100)
    flips = [(line["event"], line["log_level"]) for line in logs]
    assert flips == [
        ("replica is healthy", "info"),
        ("replica is unhealthy", "warning"),
        ("replica is healthy", "info"),
    ]


async def test_a_trailing_slash_and_another_path_are_joined_properly(clock: MockClock) -> None:
    answers = Answers()
    config = {"health_check_path": "/live"}
    async with probing(answers, A + "/", B, **config) as registry:  # type: ignore[arg-type]
        assert list(answers.asked) == [A + "/live", B + "/live"] or list(answers.asked) == [B + "/live", A + "/live"]
        assert registry.replicas[0].url == A + "/"


async def test_a_replica_in_maintenance_is_not_probed(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A) as registry:
        registry.order(registry.replicas[0], AdminState.MAINT)
        await trio.sleep(60)
        assert len(answers.asked[A + "/health"]) == 1
        registry.order(registry.replicas[0], AdminState.READY)
        await trio.sleep(6)
        assert len(answers.asked[A + "/health"]) >= 2


async def test_a_suspect_is_asked_again_soon(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, health_check_interval_seconds=1000) as registry:
        registry.session_failed(registry.replicas[0], "died", now=trio.current_time())
        await trio.sleep(0.6)
        assert len(answers.asked[A + "/health"]) == 2
        assert not registry.replicas[0].health.suspect


# Against a real HTTP server


@asynccontextmanager
async def serving(pages: Callable[[str], tuple[int, object]]) -> AsyncIterator[str]:
    """A tiny HTTP server; ``pages`` is asked for (status, JSON) by path."""

    async def answer(stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        status, value = pages(head.split()[1].decode())
        body = json.dumps(value).encode()
        await stream.send_all(
            b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body
        )

    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            listeners = await nursery.start(lambda task_status: trio.serve_tcp(
                answer, 0, host="127.0.0.1", task_status=task_status
            ))
            yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def probed(pages: Callable[[str], tuple[int, object]], *, times: int = 1) -> ReplicaRegistry:
    async with serving(pages) as url:
        config = RouterConfig(replicas=(ReplicaEndpoint(url),), failure_threshold=1)
        registry = ReplicaRegistry(config)
        for _ in range(times):
            await probe_once(registry, config)
        return registry


async def test_reports_of_a_replica_make_its_capacity() -> None:
    ready = {"status": "ready", "ready_gpu_workers": 4, "total_gpus": 4, "available_gpus": 1}
    registry = await probed(lambda path: (200, {"status": "ok", "sessions": 2} if path == "/health" else ready))
    replica = registry.replicas[0]
    assert replica.health.status is ReplicaStatus.HEALTHY
    assert (replica.full_capacity, replica.others) == (4, 3)
    assert replica.report is not None
    assert replica.health.last_latency_ms is not None
    assert replica.health.last_latency_ms > 0


async def test_a_replica_that_warms_up_is_healthy_and_not_available() -> None:
    warming = {"status": "warming", "ready_gpu_workers": 0, "total_gpus": 1, "available_gpus": 0}
    registry = await probed(lambda path: (200, {"sessions": 0} if path == "/health" else warming))
    replica = registry.replicas[0]
    assert replica.health.status is ReplicaStatus.HEALTHY
    assert replica.warming
    assert not replica.available(0.0)


async def test_a_replica_without_reports_is_asked_for_its_health_only() -> None:
    registry = await probed(lambda path: (200, "ok") if path == "/health" else (404, None))
    assert registry.replicas[0].health.status is ReplicaStatus.HEALTHY
    assert registry.replicas[0].report is None


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_status_of_400_and_above_is_bad(status: int) -> None:
    registry = await probed(lambda path: (status, None))
    assert registry.replicas[0].health.last_error == f"HTTP {status}"
    assert registry.replicas[0].health.status is ReplicaStatus.UNHEALTHY


@pytest.mark.parametrize("status", [200, 204, 301, 399])
async def test_a_status_below_400_is_good(status: int) -> None:
    registry = await probed(lambda path: (status, None))
    assert registry.replicas[0].health.status is ReplicaStatus.HEALTHY


async def test_nobody_listens() -> None:
    async with serving(lambda path: (200, None)) as url:
        pass
    config = RouterConfig(replicas=(ReplicaEndpoint(url),), failure_threshold=1)
    registry = ReplicaRegistry(config)
    with trio.fail_after(10):
        await probe_once(registry, config)
    assert registry.replicas[0].health.status is ReplicaStatus.UNHEALTHY
    assert "ConnectError" in str(registry.replicas[0].health.last_error)
