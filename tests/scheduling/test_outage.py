"""Since when sessions of one kind have had no usable replica, and which ones may still come."""

from __future__ import annotations

import math

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Report


def test_before_the_first_probe_it_began_with_the_first_question() -> None:
    registry = make_registry(2, healthy=False)
    assert [registry.unusable_since(now) for now in (7.0, 9.0)] == [7.0, 7.0]
    heal(registry, registry.replicas[0], now=10.0)
    assert registry.unusable_since(10.0) is None


@pytest.mark.parametrize("loss", ["unhealthy", "warming", "sessions"])
def test_it_begins_when_the_last_one_is_lost(loss: str) -> None:
    registry = make_registry(1 if loss != "sessions" else 2)
    replica = registry.replicas[0]
    heard: list[float | None] = []
    registry.on_loss = lambda: heard.append(registry.unusable_since(50.0))
    if loss == "unhealthy":
        for _ in range(3):
            registry.probe_failed(replica, "timeout", now=50.0)
    elif loss == "warming":
        heal(registry, replica, now=50.0, report=Report(50.0, warming=True))
    else:
        sicken(registry, registry.replicas[1])
        for _ in range(3):
            registry.probe_failed(replica, "timeout", now=50.0)
    assert registry.unusable_since(60.0) == 50.0
    assert heard[-1] == 50.0


def test_an_ejection_that_ended_by_itself_was_no_outage() -> None:
    registry = make_registry(2, failure_threshold=99)
    first, second = registry.replicas
    for _ in range(3):
        registry.session_failed(first, "dies", now=0.0)
    assert registry.unusable_since(1.0, exclude=[second]) == 0.0
    assert registry.unusable_since(30.0, exclude=[second]) is None
    for _ in range(99):
        registry.probe_failed(first, "timeout", now=100.0)
    assert registry.unusable_since(101.0, exclude=[second]) == 100.0


def test_a_replica_that_was_ordered_away_is_not_waited_for_until_it_is_ordered_back() -> None:
    registry = make_registry(1, healthy=False)
    replica = registry.replicas[0]
    for state in (AdminState.DRAIN, AdminState.MAINT):
        registry.set_admin_state(replica, state, now=1.0)
        assert registry.unusable_since(2.0) == -math.inf
        assert not registry.fits()
    registry.set_admin_state(replica, AdminState.READY, now=30.0)
    registry.set_admin_state(replica, AdminState.READY, now=35.0)
    assert registry.unusable_since(40.0) == 30.0


def test_an_added_replica_is_waited_for_from_then_on() -> None:
    registry = make_registry(1)
    sicken(registry, registry.replicas[0])
    registry.apply([ReplicaEndpoint("http://r0"), ReplicaEndpoint("http://r9")], now=70.0)
    assert registry.unusable_since(71.0) == 70.0


def test_presets_and_excluded_ones_are_left_out() -> None:
    registry = ReplicaRegistry([ReplicaEndpoint("http://a", presets=("wan",)), ReplicaEndpoint("http://b")])
    a, b = registry.replicas
    heal(registry, a)
    assert registry.unusable_since(1.0, preset="wan") is None
    assert registry.unusable_since(1.0, preset="ltx") == 0.0
    assert registry.unusable_since(1.0, preset="wan", exclude=[a]) == 0.0
    assert registry.unusable_since(1.0, exclude=[a, b]) == -math.inf
