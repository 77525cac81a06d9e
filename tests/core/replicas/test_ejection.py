"""Replicas that answer probes but fail sessions are left out for a while, and never all of them."""

from __future__ import annotations

import math

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica, Report


def make_sturdy(count: int = 2) -> tuple[ReplicaRegistry, tuple[Replica, ...]]:
    """Failures of sessions do not make them unhealthy, so that ejection stands alone."""
    registry = make_registry(count, failure_threshold=1000)
    return registry, registry.replicas


def fail(
    registry: ReplicaRegistry, replica: Replica, *, now: float = 0.0, opened: bool = False, times: int = 3
) -> None:
    for _ in range(times):
        registry.session_failed(replica, "dies", now=now, opened=opened)


def usable(registry: ReplicaRegistry, now: float) -> list[bool]:
    return [replica.usable(now) for replica in registry.replicas]


@pytest.mark.parametrize("opened", [False, True])
def test_it_lasts_longer_each_time_up_to_a_cap(opened: bool) -> None:
    registry, (bad, _) = make_sturdy()
    now, spells = 0.0, []
    for _ in range(12):
        for _ in range(registry.config.ejection.failures):
            assert bad.usable(now)
            fail(registry, bad, now=now, opened=opened, times=1)
        assert not bad.usable(now)
        spells.append(bad.ejected_until - now)
        now = bad.ejected_until
    assert spells == [30.0 * n for n in range(1, 11)] + [300.0, 300.0]


def test_after_a_session_that_opened_failed_dials_are_counted_from_zero() -> None:
    registry, (bad, _) = make_sturdy()
    for _ in range(5):
        fail(registry, bad, times=2)
        registry.session_opened(bad)
    assert bad.usable(0.0)
    fail(registry, bad)
    assert (bad.ejected_until, bad.sessions_total, bad.failures_total) == (30.0, 5, 13)
    registry.session_opened(bad)
    fail(registry, bad, now=30.0)
    assert bad.ejected_until == 30.0 + 30.0


def test_a_replica_that_opens_each_session_and_drops_it_is_ejected_too() -> None:
    registry, (bad, _) = make_sturdy()
    spells = []
    for now in (0.0, 1000.0):
        for _ in range(3):
            registry.session_opened(bad)
            fail(registry, bad, now=now, opened=True, times=1)
        spells.append(bad.ejected_until - now)
    assert spells == [30.0, 60.0]


def test_a_session_that_ended_well_clears_its_name() -> None:
    registry, (bad, _) = make_sturdy()
    fail(registry, bad, opened=True)
    fail(registry, bad, now=30.0, opened=True, times=2)
    registry.session_opened(bad)
    registry.session_ended(bad)
    fail(registry, bad, now=30.0, opened=True, times=2)
    assert bad.usable(30.0)
    fail(registry, bad, now=30.0, opened=True, times=1)
    assert bad.ejected_until == 60.0


def test_the_last_usable_replica_is_never_ejected() -> None:
    registry, (first, second) = make_sturdy()
    fail(registry, first)
    fail(registry, second, times=5)
    assert usable(registry, 0.0) == [False, True]
    assert registry.fits(exclude=[second])  # it is healthy, and will be back


@pytest.mark.parametrize("loss", ["unhealthy by probes", "ordered away", "warming"])
def test_an_ejected_replica_is_taken_back_when_the_last_other_is_lost(loss: str) -> None:
    registry = make_registry(2, failure_threshold=6)
    ejected, other = registry.replicas
    fail(registry, ejected, now=100.0)
    heard: list[bool] = []
    registry.on_capacity = lambda: heard.append(ejected.usable(101.0))
    if loss == "unhealthy by probes":
        for _ in range(6):
            registry.probe_failed(other, "timeout", now=101.0)
    elif loss == "ordered away":
        registry.set_admin_state(other, AdminState.DRAIN, now=101.0)
    else:
        heal(registry, other, now=101.0, report=Report(asked_at=100.0, warming=True))
    assert usable(registry, 101.0) == [True, False]
    assert heard
    assert all(heard)


def test_nobody_is_taken_back_who_is_unhealthy_or_ordered_away() -> None:
    registry, (first, second) = make_sturdy()
    registry.set_admin_state(first, AdminState.MAINT, now=0.0)
    sicken(registry, second)
    assert usable(registry, 0.0) == [False, False]


def test_a_warming_replica_is_not_taken_back_from_its_ejection_until_it_is_warm() -> None:
    registry = make_registry(3, failure_threshold=6)
    warming, ejected, last = registry.replicas
    for replica in (warming, ejected):
        fail(registry, replica, now=100.0)
    heal(registry, warming, now=101.0, report=Report(asked_at=101.0, warming=True))
    registry.set_admin_state(last, AdminState.DRAIN, now=102.0)
    assert usable(registry, 102.0) == [False, True, False]
    assert (warming.ejected_until, ejected.ejected_until) == (130.0, 102.0), "it keeps its time"
    registry.set_admin_state(ejected, AdminState.DRAIN, now=103.0)
    assert usable(registry, 103.0) == [False, False, False]
    assert warming.ejected_until == 130.0
    heal(registry, warming, now=104.0, report=Report(asked_at=104.0))
    assert usable(registry, 104.0) == [True, False, False]


def test_the_next_change_is_when_a_rest_ends_by_itself() -> None:
    registry, (first, second) = make_sturdy()
    assert registry.next_change(0.0) == math.inf
    registry.session_rejected(second, now=0.0)
    fail(registry, first)
    assert [registry.next_change(now) for now in (0.0, 1.9, 2.0, 30.0)] == [2.0, 2.0, 30.0, math.inf]


def test_the_next_change_is_also_when_a_recovery_gives_back_a_slot() -> None:
    registry = make_registry(1, slow_start_seconds=7.0, each={"max_sessions": 3})
    [replica] = registry.replicas
    sicken(registry, replica)
    for _ in range(2):
        heal(registry, replica, now=1e6)
    now, capacities = 1e6, []
    while now < math.inf:
        capacities.append(replica.capacity(now))
        now = registry.next_change(now)
    assert capacities == [1, 2, 3]
