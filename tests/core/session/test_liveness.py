"""When a silent connection is pinged, and when it is dead."""

from __future__ import annotations

from trio_router.core.config import TimeoutsConfig
from trio_router.core.session.liveness import Delivery, Keepalive, KeepaliveAction

TIMEOUTS = TimeoutsConfig(ping_interval_seconds=20.0, dead_peer_seconds=60.0)


def watch(keepalive: Keepalive, until: float, *, hears: tuple[float, ...] = ()) -> list[tuple[float, KeepaliveAction]]:
    """What is done and when, if the connection is looked at exactly when it is due."""
    done: list[tuple[float, KeepaliveAction]] = []
    coming = list(hears)
    while (now := keepalive.due(TIMEOUTS)) <= until:
        while coming and coming[0] <= now:
            keepalive.last_received_at = coming.pop(0)
        verdict = keepalive.check(now, TIMEOUTS)
        if verdict is not KeepaliveAction.FINE:
            done.append((now, verdict))
        if verdict is KeepaliveAction.DEAD:
            break
    return done


def test_a_silent_connection_is_pinged_at_intervals_and_then_dead() -> None:
    assert watch(Keepalive(100.0), 1000.0) == [
        (120.0, KeepaliveAction.PING),
        (140.0, KeepaliveAction.PING),
        (160.0, KeepaliveAction.DEAD),
    ]


def test_any_frame_is_life() -> None:
    assert watch(Keepalive(0.0), 95.0, hears=(10.0, 25.0, 44.0, 63.0, 82.0)) == []


def test_after_a_frame_the_silence_begins_anew() -> None:
    done = watch(Keepalive(0.0), 200.0, hears=(59.0,))
    assert done == [
        (20.0, KeepaliveAction.PING),
        (40.0, KeepaliveAction.PING),
        (79.0, KeepaliveAction.PING),
        (99.0, KeepaliveAction.PING),
        (119.0, KeepaliveAction.DEAD),
    ]


def test_a_moment_before_it_is_due_nothing_is_to_be_done() -> None:
    keepalive = Keepalive(0.0)
    assert keepalive.due(TIMEOUTS) == 20.0
    assert [keepalive.check(now, TIMEOUTS) for now in (0.0, 19.9, 20.0, 20.0, 39.9, 40.0)] == [
        KeepaliveAction.FINE,
        KeepaliveAction.FINE,
        KeepaliveAction.PING,
        KeepaliveAction.FINE,
        KeepaliveAction.FINE,
        KeepaliveAction.PING,
    ]
    assert keepalive.due(TIMEOUTS) == 60.0
    assert keepalive.check(60.0, TIMEOUTS) is KeepaliveAction.DEAD


def test_a_check_that_comes_late_finds_it_dead_and_pings_no_more() -> None:
    assert Keepalive(0.0).check(500.0, TIMEOUTS) is KeepaliveAction.DEAD


def checks(*deliveries: Delivery | None) -> list[KeepaliveAction]:
    """One check every 20 s of a silent connection."""
    keepalive = Keepalive(0.0)
    return [keepalive.check(20.0 * number, TIMEOUTS, one) for number, one in enumerate(deliveries, start=1)]


def test_bytes_that_are_taken_while_others_wait_are_life() -> None:
    assert checks(*(Delivery(1000 * n, 5) for n in range(1, 6))) == [KeepaliveAction.PING, *[KeepaliveAction.FINE] * 4]


def test_who_takes_no_byte_of_those_that_wait_is_dead() -> None:
    assert checks(*[Delivery(1000, 5)] * 3) == [KeepaliveAction.PING, KeepaliveAction.PING, KeepaliveAction.DEAD]


def test_a_kernel_that_takes_all_is_no_sign_of_its_process() -> None:
    """It acknowledges the router's own pings, too."""
    assert checks(*(Delivery(16 * n, 0) for n in range(1, 4))) == [
        KeepaliveAction.PING,
        KeepaliveAction.PING,
        KeepaliveAction.DEAD,
    ]


def test_where_nobody_knows_only_frames_count() -> None:
    assert checks(None, None, None) == [KeepaliveAction.PING, KeepaliveAction.PING, KeepaliveAction.DEAD]


def test_a_dead_connection_is_measured_from_the_last_byte_it_took() -> None:
    deliveries = [Delivery(1, 5), Delivery(2, 5), *[Delivery(2, 5)] * 3]
    assert checks(*deliveries) == [
        KeepaliveAction.PING,
        KeepaliveAction.FINE,
        KeepaliveAction.PING,
        KeepaliveAction.PING,
        KeepaliveAction.DEAD,
    ]


def test_silence_while_nobody_was_reading_means_nothing() -> None:
    keepalive = Keepalive(0.0)
    keepalive.excuse(50.0)
    assert keepalive.check(100.0, TIMEOUTS) is KeepaliveAction.PING
    assert keepalive.check(110.0, TIMEOUTS) is KeepaliveAction.DEAD


def test_silence_while_nobody_read_is_excused() -> None:
    keepalive = Keepalive(0.0)
    keepalive.excuse(59.0)
    assert keepalive.due(TIMEOUTS) == 79.0
    assert keepalive.check(60.0, TIMEOUTS) is KeepaliveAction.FINE
    assert watch(keepalive, 1000.0)[-1] == (119.0, KeepaliveAction.DEAD)


def test_bytes_that_were_acknowledged_for_the_first_time_are_life() -> None:
    keepalive = Keepalive(0.0)
    keepalive.check(10.0, TIMEOUTS, Delivery(acknowledged=0, unsent=5))
    assert keepalive.check(60.0, TIMEOUTS, Delivery(acknowledged=1, unsent=4)) is KeepaliveAction.FINE


def test_bytes_that_came_are_life() -> None:
    keepalive = Keepalive(0.0)
    keepalive.received(50.0)
    assert keepalive.check(69.0, TIMEOUTS) is KeepaliveAction.FINE
    assert keepalive.check(109.0, TIMEOUTS) is KeepaliveAction.PING
    assert keepalive.check(110.0, TIMEOUTS) is KeepaliveAction.DEAD
