"""The probes follow the set of replicas, and what operators order, while they run."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.replicas.test_probe_loop import A, Answers, B, probing, statuses
from trio_router import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.replica import AdminState


async def test_an_added_replica_is_probed_at_once(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A) as registry:
        registry.apply([ReplicaEndpoint(A), ReplicaEndpoint(B)], now=trio.current_time())
        await wait_all_tasks_blocked()
        assert answers.asked[B + "/health"] == [0.0]
        assert statuses(registry) == ["healthy", "healthy"]
        await trio.sleep(20)
        assert len(answers.asked[B + "/health"]) >= 3, "and again and again"


async def test_a_removed_replica_is_not_probed_any_more(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, B) as registry:
        registry.apply([ReplicaEndpoint(A)], now=trio.current_time())
        await trio.sleep(100)
        assert answers.asked[B + "/health"] == [0.0]
        assert len(answers.asked[A + "/health"]) > 10


async def test_a_removed_replica_is_probed_until_its_last_session_ends(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, B) as registry:
        slot = registry.reserve(now=trio.current_time(), prefer=B)
        assert slot is not None
        assert slot.replica.url == B
        registry.apply([ReplicaEndpoint(A)], now=trio.current_time())
        await trio.sleep(20)
        assert len(answers.asked[B + "/health"]) >= 3
        registry.release(slot, now=trio.current_time())
        count = len(answers.asked[B + "/health"])
        await trio.sleep(100)
        assert len(answers.asked[B + "/health"]) == count


async def test_a_probe_under_way_is_cancelled_with_its_replica(clock: MockClock) -> None:
    answers = Answers()
    answers.seconds[B + "/health"] = 1.0
    async with probing(answers, A, B) as registry:
        gone = registry.replicas[1]
        registry.apply([ReplicaEndpoint(A)], now=trio.current_time())
        await trio.sleep(10)
        assert gone.health.last_ok_at is None


async def test_a_replica_that_comes_back_is_probed_once_a_turn(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A, B) as registry:
        for endpoints in ([A], [A, B], [A], [A, B]):
            registry.apply([*map(ReplicaEndpoint, endpoints)], now=trio.current_time())
        await wait_all_tasks_blocked()
        at_once = len(answers.asked[B + "/health"])
        await trio.sleep(50)
        assert 9 <= len(answers.asked[B + "/health"]) - at_once <= 11, "as often as one that was never away"


@pytest.mark.parametrize("error", [None, "down"])
async def test_a_probe_that_ends_after_maint_was_ordered_has_no_effect(clock: MockClock, error: str | None) -> None:
    answers = Answers()
    async with probing(answers, A, failure_threshold=1) as registry:
        (replica,) = registry.replicas
        answers.seconds[A + "/health"] = 1.9
        if error is not None:
            answers.errors[A + "/health"] = error
        before = replica.health.last_ok_at
        await trio.sleep(6)
        assert len(answers.asked[A + "/health"]) == 2, "the second one is under way"
        registry.set_admin_state(replica, AdminState.MAINT, now=trio.current_time())
        await trio.sleep(60)
        assert (replica.health.status, replica.health.last_ok_at) == ("healthy", before)
        assert len(answers.asked[A + "/health"]) == 2
        registry.set_admin_state(replica, AdminState.READY, now=trio.current_time())
        await trio.sleep(10)
        assert len(answers.asked[A + "/health"]) >= 3


async def test_probes_go_by_a_new_configuration_from_now_on(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A) as registry:
        (replica,) = registry.replicas
        config = RouterConfig(
            replicas=(ReplicaEndpoint(A),),
            health_check_path="/ping",
            health_check_interval_seconds=60,
            health_check_timeout_seconds=7,
            failure_threshold=9,
        )
        registry.reconfigure(config, now=trio.current_time())
        await trio.sleep(50)
        assert answers.asked == {A + "/health": [0.0], A + "/ping": [0.0]}
        assert answers.timeouts == {2.0, 7.0}
        assert registry.replicas == (replica,), "what is known of it is kept"
        assert registry.thresholds.failure == 9


async def test_an_https_replica_is_probed_though_the_loop_began_without_one(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A) as registry:
        registry.apply([ReplicaEndpoint(A), ReplicaEndpoint("https://c.test")], now=trio.current_time())
        await wait_all_tasks_blocked()
        assert answers.asked["https://c.test/health"] == [0.0]


async def test_an_https_replica_without_a_usable_ca_file_fails_its_probes_and_ends_nothing(clock: MockClock) -> None:
    answers = Answers()
    async with probing(answers, A) as registry:
        config = RouterConfig(
            replicas=(ReplicaEndpoint(A), ReplicaEndpoint("https://c.test")),
            tls={"replica_ca_file": "/nowhere/ca.pem"},
            health_check_path="/ping",
        )
        registry.reconfigure(config, now=trio.current_time())
        await wait_all_tasks_blocked()
        error = registry.replicas[1].health.last_error
        assert error is not None
        assert "/nowhere/ca.pem" in error
        assert len(answers.asked[A + "/ping"]) == 1
