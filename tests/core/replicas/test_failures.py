"""Whose fault a failure is: one client takes no replica out of service, whatever it sends; two that fail there may."""

from __future__ import annotations

import math

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.replicas.failures import WITNESSES, FailureStreak
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import ACCEPTED_SECONDS, ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica


def pair() -> tuple[ReplicaRegistry, Replica, Replica]:
    registry = make_registry(2)
    first, second = registry.replicas
    return registry, first, second


def fail(registry: ReplicaRegistry, replica: Replica, *clients: str | None, opened: bool = False) -> list[bool]:
    return [registry.session_failed(replica, "dies", now=0.0, opened=opened, client=client) for client in clients]


@pytest.mark.parametrize("opened", [False, True])
def test_failures_of_one_client_alone_take_no_replica_out_of_service(opened: bool) -> None:
    registry, bad, good = pair()
    assert fail(registry, bad, *["10.0.0.1"] * 50, opened=opened) == [False] * 50
    assert bad.usable(0.0)
    assert (bad.health.status, bad.health.consecutive_failures) == (ReplicaStatus.HEALTHY, 0)
    assert (bad.failures_total, bad.health.last_error) == (50, "dies")
    assert [bad.degraded, bad.wants_probe(0.0)] == [True, True]
    assert registry.candidates(now=0.0) == [good], "it is tried last"
    assert not registry.probe_failed(bad, "timeout", now=0.0), "nor do they help one bad probe"
    heal(registry, bad)
    assert [bad.degraded, bad.wants_probe(0.0)] == [False, False]


@pytest.mark.parametrize("opened", [False, True])
def test_a_second_client_makes_the_failures_of_the_first_count(opened: bool) -> None:
    registry, bad, _ = pair()
    assert fail(registry, bad, "10.0.0.1", "10.0.0.1", "10.0.0.2", opened=opened) == [False, False, True]
    assert bad.health.status is ReplicaStatus.UNHEALTHY
    assert bad.ejected_until == 30.0


def test_a_failure_that_no_client_can_cause_counts_alone_and_vouches_for_no_client() -> None:
    registry, bad, _ = pair()
    fail(registry, bad, None, *["10.0.0.1"] * 9, None)
    assert bad.usable(0.0)
    assert bad.health.consecutive_failures == 2
    assert fail(registry, bad, None) == [True]
    assert not bad.usable(0.0)


def test_a_session_that_opens_forgets_who_failed_before() -> None:
    registry, bad, _ = pair()
    fail(registry, bad, "10.0.0.1", "10.0.0.1")
    registry.session_opened(bad)
    assert not bad.degraded
    fail(registry, bad, "10.0.0.2", "10.0.0.2")
    assert bad.usable(0.0)
    fail(registry, bad, "10.0.0.1")
    assert not bad.usable(0.0)


def test_only_the_last_few_clients_are_kept() -> None:
    streak = FailureStreak()
    assert not streak
    for number in range(1000):
        streak.add(f"10.0.0.{number}")
    streak.add("10.0.0.998")
    assert streak.clients[-2:] == ("10.0.0.999", "10.0.0.998")
    assert (len(streak.clients), streak.count) == (WITNESSES, 1001)
    streak.clear()
    assert not streak


def test_a_dial_that_timed_out_makes_a_replica_suspect_and_no_more() -> None:
    registry, slow, other = pair()
    for _ in range(20):
        registry.suspect_dial(slow, "no answer within 5 s", now=0.0)
    assert slow.usable(0.0)
    assert (slow.health.consecutive_failures, slow.health.last_error) == (0, "no answer within 5 s")
    assert (slow.degraded, slow.wants_probe(0.0)) == (True, True)
    assert registry.select() is other
    heal(registry, slow)
    assert not slow.degraded
    registry.suspect_dial(slow, "no answer within 5 s", now=0.0)
    slot = registry.reserve(now=0.0, prefer=slow.url)
    assert slot is not None
    registry.slot_connected(slot, now=0.0)
    assert not slow.degraded


def test_dials_of_different_clients_that_time_out_in_a_row_eject() -> None:
    registry, slow, _ = pair()
    for client in ("10.0.0.1", "10.0.0.1", "10.0.0.1"):
        registry.suspect_dial(slow, "no answer", now=0.0, client=client)
        heal(registry, slow)
    assert slow.usable(0.0)
    registry.suspect_dial(slow, "no answer", now=0.0, client="10.0.0.2")
    assert not slow.usable(0.0)
    assert slow.health.status is ReplicaStatus.HEALTHY


def refuse(registry: ReplicaRegistry, replica: Replica, *clients: str, now: float = 0.0) -> list[Replica]:
    changed: list[Replica] = []
    for client in clients:
        changed += registry.request_refused(replica, 403, now=now, client=client)
    return changed


def test_a_replica_that_refuses_everybody_while_another_accepts_is_tried_last() -> None:
    registry = make_registry(2, primary=0)
    hole, good = registry.replicas
    assert registry.request_accepted(good, now=0.0) == ()
    assert refuse(registry, hole, "10.0.0.1", "10.0.0.2", now=10.0) == []
    assert registry.select() is hole
    assert refuse(registry, hole, "10.0.0.3", now=10.0) == [hole]
    assert refuse(registry, hole, "10.0.0.4", now=10.0) == [], "that is known"
    assert registry.select() is good, "last, even of a better tier"
    assert hole.health.last_error == "answered upgrades with HTTP 403"
    slot = registry.reserve(now=10.0, prefer=hole.url)
    assert slot is not None
    assert slot.replica is good, "also for a client that it knows"
    last = registry.reserve(now=10.0)
    assert last is not None
    assert last.replica is hole, "but before nothing"
    assert registry.request_accepted(hole, now=20.0) == (hole,)
    assert not hole.refusing


def test_the_other_one_may_accept_afterwards() -> None:
    registry, hole, good = pair()
    assert refuse(registry, hole, "10.0.0.1", "10.0.0.2", "10.0.0.3") == []
    assert registry.request_accepted(good, now=500.0) == (hole,)


@pytest.mark.parametrize("why", ["one client", "nobody accepts", "accepted long ago", "accepted between"])
def test_refusals_that_may_be_the_clients_fault_count_for_nothing(why: str) -> None:
    registry, hole, good = pair()
    if why != "nobody accepts":
        registry.request_accepted(good, now=0.0)
    now = ACCEPTED_SECONDS + 1.0 if why == "accepted long ago" else 1.0
    clients = ["10.0.0.1"] * 9 if why == "one client" else ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    refuse(registry, hole, *clients[:-1], now=now)
    if why == "accepted between":
        registry.request_accepted(hole, now=now)
    assert refuse(registry, hole, clients[-1], now=now) == []
    assert not hole.refusing


@pytest.mark.parametrize("what", ["restart", "order"])
def test_a_replica_that_was_restarted_or_ordered_back_is_given_another_chance(what: str) -> None:
    registry, hole, good = pair()
    registry.request_accepted(good, now=0.0)
    refuse(registry, hole, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    heal(registry, hole)
    assert hole.refusing, "a good probe says nothing of upgrades"
    if what == "restart":
        sicken(registry, hole)
        heal(registry, hole)
        heal(registry, hole)
    else:
        registry.set_admin_state(hole, AdminState.READY, now=1.0)
    assert not hole.refusing


def test_a_replica_under_suspicion_is_tried_last_and_probed_and_nothing_is_counted_against_it() -> None:
    registry = make_registry(2)
    suspect, other = registry.replicas
    lost = []
    registry.on_loss = lambda: lost.append(1)
    for _ in range(10):
        registry.suspect(suspect, "dropped the connection", now=0.0)
    assert (suspect.usable(0.0), suspect.wants_probe(0.0), suspect.failures_total) == (True, True, 0)
    assert suspect.health.last_error == "dropped the connection"
    assert registry.candidates(now=0.0) == [other]
    assert len(lost) == 10
    heal(registry, suspect)
    assert registry.candidates(now=0.0) == [suspect, other]


def test_a_suspected_replica_is_tried_last_and_nothing_is_counted() -> None:
    registry = make_registry(2)
    bad, good = registry.replicas
    lost: list[bool] = []
    registry.on_loss = lambda: lost.append(bad.suspected)
    registry.suspect(bad, "reset", now=5.0)
    assert (bad.suspected, bad.usable_until, bad.failures_total, bad.health.last_error) == (True, 5.0, 0, "reset")
    assert lost == [True], "probed at once"
    assert registry.select(now=5.0) is good


def test_dials_that_time_out_are_counted() -> None:
    registry = make_registry(2)
    bad = registry.replicas[0]
    registry.suspect_dial(bad, "timeout", now=0.0)
    registry.suspect_dial(bad, "timeout", now=1.0)
    assert bad.failures_total == 2


def test_an_acceptance_counts_from_the_first_of_the_refusals() -> None:
    registry = make_registry(2)
    bad, good = registry.replicas
    registry.request_accepted(good, now=0.0)
    changed = [registry.request_refused(bad, 403, now=now, client=str(now)) for now in (50.0, 100.0, 150.0)]
    assert changed == [(), (), (bad,)]


def test_a_session_that_may_use_no_replica_waits_for_none() -> None:
    registry = make_registry(2)
    assert registry.unusable_since(0.0) is None
    assert registry.unusable_since(0.0, exclude=registry.replicas) == -math.inf


def test_a_policy_that_nobody_knows_is_an_error_of_whoever_asks() -> None:
    with pytest.raises(ValueError, match="nobody's"):
        make_registry(2).select(balance="nobody's")
