"""When a silent leg is pinged, and when it is dead."""

from __future__ import annotations

from trio_router.core.config import TimeoutsConfig
from trio_router.core.liveness import Pulse, Verdict

TIMEOUTS = TimeoutsConfig(ping_interval_seconds=20.0, dead_peer_seconds=60.0)


def watch(pulse: Pulse, until: float, *, hears: tuple[float, ...] = ()) -> list[tuple[float, Verdict]]:
    """What is done and when, if the leg is looked at exactly when it is due."""
    done: list[tuple[float, Verdict]] = []
    coming = list(hears)
    while (now := pulse.due(TIMEOUTS)) <= until:
        while coming and coming[0] <= now:
            pulse.heard_at = coming.pop(0)
        verdict = pulse.check(now, TIMEOUTS)
        if verdict is not Verdict.FINE:
            done.append((now, verdict))
        if verdict is Verdict.DEAD:
            break
    return done


def test_a_silent_leg_is_pinged_at_intervals_and_then_dead() -> None:
    assert watch(Pulse(100.0), 1000.0) == [(120.0, Verdict.PING), (140.0, Verdict.PING), (160.0, Verdict.DEAD)]


def test_any_frame_is_life() -> None:
    assert watch(Pulse(0.0), 95.0, hears=(10.0, 25.0, 44.0, 63.0, 82.0)) == []


def test_after_a_frame_the_silence_begins_anew() -> None:
    done = watch(Pulse(0.0), 200.0, hears=(59.0,))
    assert done == [
        (20.0, Verdict.PING),
        (40.0, Verdict.PING),
        (79.0, Verdict.PING),
        (99.0, Verdict.PING),
        (119.0, Verdict.DEAD),
    ]


def test_a_moment_before_it_is_due_nothing_is_to_be_done() -> None:
    pulse = Pulse(0.0)
    assert pulse.due(TIMEOUTS) == 20.0
    assert [pulse.check(now, TIMEOUTS) for now in (0.0, 19.9, 20.0, 20.0, 39.9, 40.0)] == [
        Verdict.FINE,
        Verdict.FINE,
        Verdict.PING,
        Verdict.FINE,
        Verdict.FINE,
        Verdict.PING,
    ]
    assert pulse.due(TIMEOUTS) == 60.0
    assert pulse.check(60.0, TIMEOUTS) is Verdict.DEAD


def test_a_check_that_comes_late_finds_it_dead_and_pings_no_more() -> None:
    assert Pulse(0.0).check(500.0, TIMEOUTS) is Verdict.DEAD
