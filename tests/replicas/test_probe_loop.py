"""The probe loop: at once, side by side, jittered."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog.testing
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_router import ReplicaEndpoint, ReplicaRegistry, RouterConfig, run_health_check_loop
from trio_router.core.replicas.replica import AdminState


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
        gaps += [later - earlier for earlier, later in itertools.pairwise(times)]
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
        ("no replica is usable", "warning"),
        ("replica is healthy", "info"),
        ("a replica is usable again", "info"),
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
        registry.set_admin_state(registry.replicas[0], AdminState.MAINT, now=trio.current_time())
        await trio.sleep(60)
        assert len(answers.asked[A + "/health"]) == 1
        registry.set_admin_state(registry.replicas[0], AdminState.READY, now=trio.current_time())
        await trio.sleep(6)
        assert len(answers.asked[A + "/health"]) >= 2


async def test_a_suspect_is_asked_again_soon(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, health_check_interval_seconds=1000) as registry:
        registry.session_failed(registry.replicas[0], "died", now=trio.current_time())
        await trio.sleep(0.6)
        assert len(answers.asked[A + "/health"]) == 2
        assert not registry.replicas[0].health.degraded
