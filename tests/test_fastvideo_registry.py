"""The names of FastVideo's registry, used as its own tests use them; nothing is awaited here."""

from __future__ import annotations

from typing import Any

import pytest

from trio_router import ReplicaEndpoint, ReplicaRegistry, ReplicaStatus


@pytest.fixture
def registry() -> Any:
    return ReplicaRegistry(
        [ReplicaEndpoint(url="http://primary-0:8000", primary=True), ReplicaEndpoint(url="http://secondary-0:8000")]
    )


def test_all_get_and_primaries_find_replicas(registry: Any) -> None:
    primary, secondary = registry.all()
    assert (primary.url, primary.primary, primary.is_healthy) == ("http://primary-0:8000", True, False)
    assert registry.primaries() == [primary]
    assert registry.get("http://secondary-0:8000") is secondary
    assert registry.get("http://nowhere") is None


def test_a_healthy_primary_is_selected_before_others(registry: Any) -> None:
    primary, secondary = registry.all()
    for replica in (secondary, primary):
        registry.record_success(replica, recovery_threshold=1, latency_ms=1.0)
    assert primary.is_healthy
    assert registry.select() is primary


def test_another_is_selected_while_the_primary_is_unhealthy(registry: Any) -> None:
    primary, secondary = registry.all()
    for _ in range(3):
        registry.record_failure(primary, failure_threshold=3, reason="mock")
    registry.record_success(secondary, recovery_threshold=1, latency_ms=1.0)
    assert registry.select() is secondary


def test_so_many_failures_make_a_replica_unhealthy(registry: Any) -> None:
    (primary,) = registry.primaries()
    for _ in range(2):
        registry.record_failure(primary, failure_threshold=3, reason="x")
    assert primary.health.status is not ReplicaStatus.UNHEALTHY
    registry.record_failure(primary, failure_threshold=3, reason="x")
    assert primary.health.status is ReplicaStatus.UNHEALTHY
    assert primary.health.consecutive_failures == 3


def test_so_many_successes_make_it_healthy_again(registry: Any) -> None:
    (primary,) = registry.primaries()
    for _ in range(3):
        registry.record_failure(primary, failure_threshold=3, reason="x")
    for _ in range(2):
        assert primary.health.status is ReplicaStatus.UNHEALTHY
        registry.record_success(primary, recovery_threshold=2, latency_ms=5.0)
    assert primary.health.status is ReplicaStatus.HEALTHY
    assert primary.health.last_latency_ms == 5.0


def test_a_success_resets_the_count_of_failures(registry: Any) -> None:
    (primary,) = registry.primaries()
    registry.record_failure(primary, failure_threshold=10, reason="x")
    registry.record_success(primary, recovery_threshold=1, latency_ms=1.0)
    assert primary.health.consecutive_failures == 0
