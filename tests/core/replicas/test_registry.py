"""Which replicas a session may get: health, tiers, orders, presets, ejection."""

from __future__ import annotations

import random

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.health import ReplicaStatus, Thresholds
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import FULL_SECONDS, AdminState, Replica, Report


def urls(replicas: list[Replica]) -> list[str]:
    return [replica.url for replica in replicas]


def test_a_registry_without_replicas_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ReplicaRegistry([])
    with pytest.raises(ValueError, match="at least one"):
        ReplicaRegistry(RouterConfig(replicas=()))


def test_endpoints_alone_are_enough_and_get_the_defaults() -> None:
    registry = ReplicaRegistry([ReplicaEndpoint("http://a"), ReplicaEndpoint("http://b/")])
    assert urls(list(registry.replicas)) == ["http://a", "http://b/"]
    assert registry.thresholds == Thresholds(failure=3, recovery=2)


def test_nothing_is_selected_while_all_are_unknown() -> None:
    registry = make_registry(3, healthy=False)
    assert {replica.health.status for replica in registry.replicas} == {ReplicaStatus.UNKNOWN}
    assert registry.select() is None
    assert registry.reserve(now=0.0) is None
    assert registry.fits(), "they may come"


def test_a_healthy_primary_wins() -> None:
    registry = make_registry(3, primary=1)
    for _ in range(20):
        assert registry.select() is registry.replicas[1]


def test_the_others_serve_when_the_primary_is_unhealthy() -> None:
    registry = make_registry(2, primary=1)
    sicken(registry, registry.replicas[1])
    assert registry.select() is registry.replicas[0]


def test_the_others_serve_when_the_primary_is_full_and_it_is_preferred_again_afterwards() -> None:
    registry = make_registry(2, primary=0)
    slot = registry.reserve(now=0.0)
    assert slot is not None
    assert slot.replica is registry.replicas[0]
    assert registry.select() is registry.replicas[1]
    registry.release(slot, now=1.0)
    assert registry.select() is registry.replicas[0]


def test_select_reserves_nothing() -> None:
    registry = make_registry(1)
    assert registry.select() is registry.select(balance="first") is registry.replicas[0]
    assert registry.replicas[0].taken == 0


def test_suspect_replicas_are_chosen_last_but_before_another_tier() -> None:
    registry = make_registry(3)
    registry.probe_failed(registry.replicas[0], "timeout", now=0.0)
    registry.session_failed(registry.replicas[2], "refused", now=0.0)
    assert urls(registry.candidates(now=0.0)) == ["http://r1"]
    assert urls(registry.candidates(now=0.0, exclude=[registry.replicas[1]])) == ["http://r0", "http://r2"]
    primary = make_registry(2, primary=1)
    primary.probe_failed(primary.replicas[1], "timeout", now=0.0)
    assert primary.select() is primary.replicas[1]


def test_a_status_flip_is_told_to_whoever_reports() -> None:
    registry = make_registry(2, healthy=False, failure_threshold=2)
    replica, other = registry.replicas
    heal(registry, other)
    assert [heal(registry, replica), heal(registry, replica)] == [True, False]
    assert [registry.probe_failed(replica, "x", now=0.0), registry.probe_failed(replica, "x", now=0.0)] == [False, True]
    assert [heal(registry, replica), heal(registry, replica)] == [False, True]
    assert [registry.session_failed(replica, "x", now=0.0) for _ in range(2)] == [False, True]


def test_sessions_alone_take_no_replica_away_that_nobody_can_stand_in_for() -> None:
    registry = make_registry(1, failure_threshold=2)
    replica = registry.replicas[0]
    assert [registry.session_failed(replica, "refused", now=0.0) for _ in range(3)] == [False] * 3
    assert (replica.health.status, replica.health.consecutive_failures) == (ReplicaStatus.HEALTHY, 3)
    assert registry.probe_failed(replica, "refused", now=0.0)


def test_probes_and_sessions_count_failures_together() -> None:
    registry = make_registry(1)
    replica = registry.replicas[0]
    registry.probe_failed(replica, "timeout", now=0.0)
    registry.session_failed(replica, "refused", now=0.0)
    assert registry.probe_failed(replica, "timeout", now=0.0)
    assert replica.health.status is ReplicaStatus.UNHEALTHY
    assert (replica.health.last_error, replica.failures_total) == ("timeout", 1)


@pytest.mark.parametrize("state", [AdminState.DRAIN, AdminState.MAINT])
def test_an_order_keeps_sessions_away(state: AdminState) -> None:
    registry = make_registry(1)
    registry.set_admin_state(registry.replicas[0], state, now=0.0)
    assert registry.select() is None
    assert not registry.fits()
    registry.set_admin_state(registry.replicas[0], AdminState.READY, now=0.0)
    assert registry.select() is registry.replicas[0]


def test_a_warming_replica_is_not_usable_until_it_says_otherwise() -> None:
    registry = make_registry(1)
    replica = registry.replicas[0]
    heal(registry, replica, report=Report(asked_at=0.0, warming=True))
    assert registry.select() is None
    assert registry.fits()
    heal(registry, replica, report=Report(asked_at=1.0))
    assert registry.select() is replica


def test_presets_excludes_and_preferences() -> None:
    endpoints = [
        ReplicaEndpoint("http://any", primary=True),
        ReplicaEndpoint("http://wan", presets=("wan", "both")),
        ReplicaEndpoint("http://ltx", presets=("ltx", "both")),
    ]
    registry = ReplicaRegistry(endpoints, rng=random.Random(1))
    for replica in registry.replicas:
        heal(registry, replica)
    any_, wan, ltx = registry.replicas
    assert urls(registry.candidates(now=0.0, preset="wan", exclude=[any_])) == ["http://wan"]
    assert urls(registry.candidates(now=0.0, preset="both", exclude=[any_])) == ["http://wan", "http://ltx"]
    assert registry.candidates(now=0.0, preset="new", exclude=[any_]) == []
    assert not registry.fits(preset="new", exclude=[any_])
    assert registry.fits(preset="new")

    def given(**slot_requests: object) -> Replica | None:
        slot = registry.reserve(now=0.0, **slot_requests)  # type: ignore[arg-type]
        if slot is not None:
            registry.release(slot, now=0.0)
        return slot.replica if slot else None

    assert given() is any_
    assert given(prefer="http://ltx") is ltx
    assert given(prefer="http://ltx", preset="wan") is any_
    assert given(prefer="http://ltx", exclude=[ltx]) is any_
    assert given(prefer="http://gone") is any_
    sicken(registry, ltx)
    assert given(prefer="http://ltx") is any_
    assert given(exclude=registry.replicas) is None
    assert given(preset="wan", exclude=[any_]) is wan


def test_a_stream_may_have_a_policy_of_its_own_which_keeps_its_turn() -> None:
    registry = make_registry(3, balance="first", each={"max_sessions": 9})
    slots = [registry.reserve(now=0.0, balance="round_robin") for _ in range(3)]
    assert [slot.replica.url for slot in slots if slot] == ["http://r0", "http://r1", "http://r2"]
    assert [slot.replica.url for _ in range(3) if (slot := registry.reserve(now=0.0))] == ["http://r0"] * 3


def test_the_state_can_be_read_off_its_repr() -> None:
    registry = make_registry(2)
    registry.reserve(now=0.0, prefer="http://r1")
    assert repr(registry) == "<ReplicaRegistry r0=healthy:0, r1=healthy:1>"


def test_a_rejected_replica_rests_for_a_moment_and_still_fits() -> None:
    registry = make_registry(1)
    registry.session_rejected(registry.replicas[0], now=5.0)
    assert registry.reserve(now=5.0 + FULL_SECONDS - 0.01) is None
    assert registry.fits()
    assert registry.replicas[0].health.status is ReplicaStatus.HEALTHY
    assert registry.reserve(now=5.0 + FULL_SECONDS) is not None


def test_a_preset_is_served_anywhere_or_nowhere_whatever_the_state_of_the_replicas() -> None:
    registry = ReplicaRegistry([ReplicaEndpoint("http://a", presets=("wan",))])
    assert [registry.serves_anywhere(preset) for preset in ("wan", "ltx", None)] == [True, False, True]


def test_there_is_room_while_any_replica_is_available() -> None:
    registry = make_registry(2)
    seen = []
    for _ in range(3):
        seen.append(registry.has_capacity(0.0))
        registry.reserve(now=0.0)
    assert seen == [True, True, False]
