"""The set of replicas changes at run time: records are kept, sessions are not lost, and FastVideo's names find them."""

from __future__ import annotations

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica

A, B, C = (ReplicaEndpoint(f"http://r{i}") for i in range(3))


def labels(replicas: tuple[Replica, ...]) -> list[str]:
    return [replica.label for replica in replicas]


def test_an_added_replica_is_unknown_and_a_known_one_keeps_its_record() -> None:
    registry = make_registry(1)
    known = registry.replicas[0]
    diff = registry.apply([B, A], now=1.0)
    assert (labels(diff.added), diff.changed, diff.removed) == (["r1"], (), ())
    assert labels(registry.replicas) == ["r1", "r0"], "in the order of the configuration"
    assert registry.replicas[1] is known
    assert registry.replicas[0].health.status is ReplicaStatus.UNKNOWN
    assert registry.config.replicas == (B, A)
    heal(registry, registry.replicas[0])
    assert {registry.reserve(now=1.0), registry.reserve(now=1.0)} != {None}
    assert registry.reserve(now=1.0) is None


def test_a_changed_replica_keeps_what_is_known_of_it() -> None:
    registry = make_registry(2)
    slot = registry.reserve(now=0.0, prefer="http://r0")
    assert slot is not None
    told: list[Replica | None] = []
    registry.on_capacity = lambda: told.append(registry.select())
    new = ReplicaEndpoint("http://R0/", name="big", weight=3.0, max_sessions=2, primary=True, presets=("wan",))
    diff = registry.apply([new, B], now=1.0)
    assert (diff.added, diff.removed) == ((), ())
    assert diff.changed == (slot.replica,)
    assert (slot.replica.label, slot.replica.held, slot.replica.capacity(1.0)) == ("big", 1, 2)
    assert told == [slot.replica], "who waits may have room now"
    assert registry.primaries() == [slot.replica]
    assert registry.apply([new, B], now=2.0).changed == ()


def test_a_removed_replica_stays_until_its_last_session_ends_and_gets_no_new_one() -> None:
    registry = ReplicaRegistry([ReplicaEndpoint("http://r0", max_sessions=3), B])
    for replica in registry.replicas:
        heal(registry, replica)
    slots = [registry.reserve(now=0.0, prefer="http://r0") for _ in range(2)]
    gone = registry.replicas[0]
    seen: list[list[str]] = []
    registry.on_replicas_changed = lambda: seen.append(labels(registry.replicas))
    before = registry.replicas
    diff = registry.apply([B], now=1.0)
    assert diff.removed == (gone,)
    assert labels(before) == ["r0", "r1"], "the tuple is replaced, not changed"
    assert (gone.removing, gone.usable(1.0), gone.expected) == (True, False, False)
    other = registry.reserve(now=1.0, prefer="http://r0")
    assert other is not None
    assert other.replica.label == "r1"
    assert registry.apply([B], now=1.5).removed == (), "it was removed before"
    for slot in slots:
        assert slot is not None
        assert labels(registry.replicas) == ["r1", "r0"]
        registry.release(slot, now=2.0, linger=True)
    assert labels(registry.replicas) == ["r1"]
    assert seen == [["r1", "r0"], ["r1", "r0"], ["r1"]]


def test_a_replica_that_comes_back_while_it_is_removed_is_the_same_one() -> None:
    registry = make_registry(2)
    slot = registry.reserve(now=0.0, prefer="http://r0")
    assert slot is not None
    registry.apply([B], now=1.0)
    diff = registry.apply([B, A], now=2.0)
    assert (diff.added, diff.changed) == ((), (slot.replica,))
    registry.release(slot, now=3.0)
    assert labels(registry.replicas) == ["r1", "r0"]
    assert slot.replica.available(3.0)


@pytest.mark.parametrize("wrong", [(), (A, A), (A, ReplicaEndpoint("http://x", name="r0"))])
def test_a_set_that_is_none_changes_nothing(wrong: tuple[ReplicaEndpoint, ...]) -> None:
    registry = make_registry(2)
    before = registry.replicas
    with pytest.raises(ValueError, match="replicas"):
        registry.apply(wrong, now=1.0)
    assert (registry.replicas, registry.config.replicas) == (before, (A, B))


def test_an_ejected_replica_is_taken_back_when_the_last_other_is_removed() -> None:
    registry = make_registry(2)
    for client in ("a", "b", "c"):
        registry.session_failed(registry.replicas[0], "dies", now=0.0, opened=True, client=client)
        heal(registry, registry.replicas[0])
    assert not registry.replicas[0].usable(0.0)
    registry.apply([A], now=1.0)
    assert registry.replicas[0].usable(1.0)


def test_a_policy_keeps_no_turn_of_a_replica_that_is_gone() -> None:
    registry = make_registry(3, balance="round_robin", each={"max_sessions": 99})
    for _ in range(4):
        registry.reserve(now=0.0)
    registry.apply([A, C], now=1.0)
    assert "http://r1" not in vars(registry.policy())["_credit"]


def test_replicas_are_found_by_the_names_of_fastvideo() -> None:
    registry = make_registry(3, primary=1)
    assert registry.all() == list(registry.replicas)
    assert registry.get("http://R1/") is registry.replicas[1]
    assert registry.get("http://nobody") is None
    assert registry.primaries() == [registry.replicas[1]]
    assert [replica.primary for replica in registry.all()] == [False, True, False]
    sicken(registry, registry.replicas[0])
    assert [replica.is_healthy for replica in registry.all()] == [False, True, True]


def test_probes_are_recorded_by_the_names_of_fastvideo() -> None:
    registry = make_registry(1, healthy=False)
    replica = registry.replicas[0]
    assert registry.record_success(replica, recovery_threshold=2, latency_ms=1.5)
    assert (replica.is_healthy, replica.health.last_latency_ms) == (True, 1.5)
    assert not registry.record_failure("http://r0", failure_threshold=2, reason="timeout")
    assert registry.record_failure("http://r0", failure_threshold=2, reason="timeout")
    assert [registry.record_success(replica, latency_ms=1.0, wall=7.0) for _ in range(2)] == [False, True]
    assert replica.health.last_ok_at == 7.0
    assert registry.thresholds.failure == 3, "for that call only"
    with pytest.raises(KeyError):
        registry.record_success("http://nobody", latency_ms=1.0)


def test_a_new_configuration_changes_its_rules_and_keeps_the_records() -> None:
    registry = make_registry(2)
    known = registry.replicas
    config = RouterConfig(replicas=(A, C), failure_threshold=7, slow_start_seconds=9.0, balance="first")
    diff = registry.reconfigure(config, now=1.0)
    assert (labels(diff.added), labels(diff.removed)) == (["r2"], ["r1"])
    assert (registry.config, registry.thresholds.failure) == (config, 7)
    assert registry.replicas[0] is known[0]
    assert {replica.slow_start_seconds for replica in registry.replicas} == {9.0}


def test_a_new_configuration_with_an_unknown_policy_changes_nothing() -> None:
    registry = make_registry(2)
    before, config = registry.replicas, registry.config
    with pytest.raises(ValueError, match="nonsense"):
        registry.reconfigure(RouterConfig(replicas=(A,), balance="nonsense"), now=1.0)
    assert (registry.replicas, registry.config) == (before, config)


def test_a_replica_that_is_listed_again_while_its_sessions_end_is_ready() -> None:
    registry = make_registry(2)
    slot = registry.reserve(now=0.0, prefer="http://r0")
    assert slot is not None
    registry.set_admin_state(slot.replica, AdminState.MAINT, now=1.0)
    registry.apply([B], now=1.0)
    assert slot.replica.removing
    registry.apply([A, B], now=2.0)
    assert (registry.replicas[0], slot.replica.removing, slot.replica.admin) == (slot.replica, False, AdminState.READY)
