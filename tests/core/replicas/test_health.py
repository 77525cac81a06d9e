"""The table of transitions, and the behaviours of FastVideo's router that embedding programs rely on."""

from __future__ import annotations

import pytest

from trio_router.core.replicas.health import TRANSITIONS, ReplicaHealth, ReplicaStatus, Thresholds

THRESHOLDS = Thresholds(failure=3, recovery=2)


def observe(health: ReplicaHealth, probes: str, thresholds: Thresholds = THRESHOLDS) -> list[bool]:
    """``+`` is a good probe, ``-`` a bad one; which of them changed the status."""
    return [
        health.succeeded(thresholds, latency_ms=1.5, wall=1000.0) if probe == "+" else health.failed(thresholds, "down")
        for probe in probes
    ]


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(ReplicaStatus)
    assert {to for row in TRANSITIONS.values() for to in row} == {ReplicaStatus.HEALTHY, ReplicaStatus.UNHEALTHY}


@pytest.mark.parametrize(
    ("probes", "status"),
    [
        ("", "unknown"),
        ("+", "healthy"),
        ("--", "unknown"),
        ("---", "unhealthy"),
        ("--+", "healthy"),
        ("+--", "healthy"),
        ("+---", "unhealthy"),
        ("+--+--", "healthy"),
        ("---+", "unhealthy"),
        ("---++", "healthy"),
        ("---+-+", "unhealthy"),
        ("---+-++", "healthy"),
    ],
)
def test_a_status_follows_from_the_probes(probes: str, status: str) -> None:
    health = ReplicaHealth()
    observe(health, probes)
    assert health.status == status


@pytest.mark.parametrize("recovery", [1, 2, 5])
def test_the_very_first_success_is_enough_whatever_the_recovery_threshold(recovery: int) -> None:
    health = ReplicaHealth()
    assert observe(health, "+", Thresholds(failure=3, recovery=recovery)) == [True]
    assert health.status is ReplicaStatus.HEALTHY


@pytest.mark.parametrize("failure", [1, 2, 5])
def test_failures_below_the_threshold_change_nothing_and_the_one_that_reaches_it_does(failure: int) -> None:
    health = ReplicaHealth(status=ReplicaStatus.HEALTHY)
    assert observe(health, "-" * (failure + 1), Thresholds(failure, 1)) == [*[False] * (failure - 1), True, False]
    assert health.consecutive_failures == failure + 1


def test_only_a_flip_is_reported() -> None:
    assert observe(ReplicaHealth(), "++---++") == [True, False, False, False, True, False, True]


def test_one_success_forgets_failures_and_one_failure_forgets_successes() -> None:
    health = ReplicaHealth()
    observe(health, "--")
    assert (health.consecutive_failures, health.consecutive_successes) == (2, 0)
    observe(health, "++")
    assert (health.consecutive_failures, health.consecutive_successes) == (0, 2)
    observe(health, "-")
    assert (health.consecutive_failures, health.consecutive_successes) == (1, 0)


def test_the_latest_good_probe_is_remembered_and_a_bad_one_leaves_it() -> None:
    health = ReplicaHealth()
    assert (health.last_ok_at, health.last_latency_ms) == (None, None)
    health.succeeded(THRESHOLDS, latency_ms=3.0, wall=100.0)
    health.succeeded(THRESHOLDS, latency_ms=4.0, wall=105.0)
    health.failed(THRESHOLDS, "timeout")
    assert (health.last_ok_at, health.last_latency_ms, health.last_error) == (105.0, 4.0, "timeout")


@pytest.mark.parametrize(
    ("probes", "suspect"), [("", False), ("+", False), ("+-", True), ("+-+", False), ("+---", False)]
)
def test_suspect_is_healthy_but_failed_since(probes: str, suspect: bool) -> None:
    health = ReplicaHealth()
    observe(health, probes)
    assert health.degraded is suspect
