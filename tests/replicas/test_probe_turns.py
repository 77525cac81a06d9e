"""Nothing that goes wrong in a turn of the probes ends the loop; and what changes is told to the sink of events."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from tests.replicas.hostile import Heard
from trio_router import Replica, ReplicaEndpoint, ReplicaRegistry, RouterConfig, run_health_check_loop
from trio_router.core.events import Events
from trio_router.core.replicas.replica import AdminState, Report
from trio_router.replicas.probe import Found, Probe
from trio_router.replicas.probes import probe_once

A, B = "http://a.test:1", "http://b.test:2"


class Script:
    """Stands in for all probes: what each replica's next ones find, the last for ever; an exception is raised."""

    def __init__(self) -> None:
        self.finds: dict[str, Found | Exception] = {}
        self.asked: list[str] = []

    async def __call__(self, probe: Probe) -> Found:
        base = probe.replica.endpoint.base
        self.asked.append(base)
        found = self.finds.get(base, Found())
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()

    async def ask(probe: Probe) -> Found:
        return await script(probe)

    monkeypatch.setattr(Probe, "__call__", ask)
    return script


@asynccontextmanager
async def probing(*urls: str, events: Events | None = None, **settings: int) -> AsyncIterator[ReplicaRegistry]:
    config = RouterConfig(replicas=tuple(map(ReplicaEndpoint, urls)), recovery_threshold=1, **settings)
    registry = ReplicaRegistry(config)
    async with trio.open_nursery() as nursery:

        async def loop() -> None:
            await run_health_check_loop(registry, config, events=events)

        nursery.start_soon(loop)
        await trio.sleep(0.001)
        yield registry
        nursery.cancel_scope.cancel()


def statuses(registry: ReplicaRegistry) -> list[str]:
    return [str(replica.health.status) for replica in registry.replicas]


@pytest.mark.parametrize("error", [RecursionError("too deep"), OverflowError("int too large"), AssertionError()])
async def test_a_broken_probe_is_a_failed_one_and_is_tried_again(
    script: Script, clock: MockClock, error: Exception
) -> None:
    script.finds[A] = error
    with structlog.testing.capture_logs() as logs:
        async with probing(A, B, failure_threshold=2) as registry:
            assert registry.replicas[0].health.last_error == f"{type(error).__name__}: {error}".rstrip(": ")
            await trio.sleep(60)
            assert statuses(registry) == ["unhealthy", "healthy"]
            assert min(script.asked.count(A), script.asked.count(B)) > 10
            del script.finds[A]
            await trio.sleep(12)
            assert statuses(registry) == ["healthy", "healthy"]
            script.finds[A] = error
            await trio.sleep(12)
    broken = [line for line in logs if line["event"] == "a probe turn is broken"]
    assert [line["log_level"] for line in broken] == ["error", "error"], "once for each time that it begins"
    assert broken[0]["replica"] == "a.test:1"
    assert (broken[0]["broken_turns"], broken[1]["broken_turns"] > 10) == (1, True)


async def test_what_breaks_while_the_registry_is_told_breaks_that_turn_only(script: Script, clock: MockClock) -> None:
    async with probing(A, B, failure_threshold=1) as registry:
        cause = iter([True])

        def on_capacity() -> None:
            if next(cause, False):
                raise OverflowError("a bug of those who are told")

        registry.on_capacity = on_capacity
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(6)
        assert [line["log_level"] for line in logs if line["event"] == "a probe turn is broken"] == ["error"]
        assert sorted(replica.health.last_error or "" for replica in registry.replicas) == [
            "",
            "OverflowError: a bug of those who are told",
        ]
        await trio.sleep(12)
        assert statuses(registry) == ["healthy", "healthy"]


async def test_a_sink_that_raises_does_not_end_the_loop(script: Script, clock: MockClock) -> None:
    class Broken(Events):
        def replica_changed(self, replica: Replica, error: str | None) -> None:
            raise ValueError("a bug")

    with structlog.testing.capture_logs():
        async with probing(A, events=Broken()) as registry:
            await trio.sleep(60)
            assert statuses(registry) == ["healthy"]
            assert len(script.asked) > 10


async def test_a_single_probe_of_all_survives_a_broken_one(script: Script) -> None:
    script.finds[A] = RecursionError("too deep")
    config = RouterConfig(replicas=(ReplicaEndpoint(A), ReplicaEndpoint(B)))
    registry = ReplicaRegistry(config)
    with structlog.testing.capture_logs():
        await probe_once(registry, config)
    assert statuses(registry) == ["unknown", "healthy"]


# What is told


async def test_flips_are_told_and_when_no_replica_is_usable(script: Script, clock: MockClock) -> None:
    heard = Heard()
    async with probing(A, B, events=heard, failure_threshold=1) as registry:
        await trio.sleep(20)
        assert heard.told == ["healthy: None"] * 2
        for url, states in ((A, ["unhealthy: HTTP 500"]), (B, ["unhealthy: HTTP 500", "none usable"])):
            heard.told.clear()
            script.finds[url] = Found("HTTP 500")
            await trio.sleep(20)
            assert heard.told == states
        heard.told.clear()
        script.finds.clear()
        await trio.sleep(20)
        assert heard.told == ["healthy: None", "usable", "healthy: None"]
        assert statuses(registry) == ["healthy", "healthy"]


async def test_at_the_start_none_is_usable_only_when_all_probes_agree(script: Script, clock: MockClock) -> None:
    heard = Heard()
    script.finds[A] = script.finds[B] = Found("HTTP 500")
    async with probing(A, B, events=heard, failure_threshold=2, health_check_interval_seconds=10):
        assert heard.told == []
        await trio.sleep(15)
        assert heard.told == ["unhealthy: HTTP 500"] * 2 + ["none usable"]


@pytest.mark.parametrize("why", ["warming", "drain", "maint"])
async def test_a_replica_that_gets_no_sessions_is_not_usable(script: Script, clock: MockClock, why: str) -> None:
    heard = Heard()
    async with probing(A, events=heard) as registry:
        heard.told.clear()
        if why == "warming":
            script.finds[A] = Found(report=Report(trio.current_time(), warming=True))
        else:
            registry.set_admin_state(registry.replicas[0], AdminState(why), now=trio.current_time())
        await trio.sleep(20)
        assert heard.told == ["none usable"]
        script.finds[A] = Found(report=Report(trio.current_time()))
        registry.set_admin_state(registry.replicas[0], AdminState.READY, now=trio.current_time())
        await trio.sleep(20)
        assert heard.told == ["none usable", "usable"]


async def test_a_remark_is_told_when_it_changes_and_stands_in_the_status(script: Script, clock: MockClock) -> None:
    heard = Heard()
    async with probing(A, events=heard) as registry:
        for remark in ("one", None, "one", "two", "two"):
            script.finds[A] = Found(remark=remark)
            await trio.sleep(20)
        assert registry.replicas[0].health.last_error == "two"
    assert heard.told == ["healthy: None", "unread: one", "unread: one", "unread: two"]


async def test_turns_go_on_at_their_interval_while_they_break(script: Script, clock: MockClock) -> None:
    script.finds[A] = RecursionError("too deep")
    times: list[float] = []

    async def ask(probe: Probe) -> Found:
        times.append(trio.current_time())
        raise RecursionError("too deep")

    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs():
        patch.setattr(Probe, "__call__", ask)
        async with probing(A, failure_threshold=1):
            await trio.sleep(100)
    assert all(later - earlier >= 4.5 for earlier, later in itertools.pairwise(times))
    assert len(times) > 15
