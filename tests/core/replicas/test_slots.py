"""How many sessions fit on a replica: held, lingering and others' slots, and what its reports change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.core.samples import heal, make_registry, sicken
from trio_router.core.replicas.registry import ReplicaRegistry, Slot
from trio_router.core.replicas.replica import FULL_SECONDS, LINGER_SECONDS, AdminState, Replica, Report


def one_replica(**config: Any) -> tuple[ReplicaRegistry, Replica]:
    registry = make_registry(1, **config)
    return registry, registry.replicas[0]


def take(registry: ReplicaRegistry, now: float, *, key: str | None = None, connect: bool = True) -> Slot:
    slot = registry.reserve(now=now, key=key)
    assert slot is not None
    if connect:
        registry.slot_connected(slot, now=now)
    return slot


def busy(registry: ReplicaRegistry, replica: Replica, count: int, *, asked_at: float) -> None:
    """A good probe that reports this many open sessions, out of 10."""
    heal(registry, replica, now=asked_at + 0.1, report=Report(asked_at=asked_at, busy=count, total=10))


def counts(replica: Replica) -> tuple[int, int, int]:
    """(held, lingering, others)."""
    return replica.held, len(replica.lingering_since), replica.others


@pytest.mark.parametrize(
    ("default", "configured", "reported", "capacity"),
    [
        (1, "auto", None, 1),
        (3, "auto", None, 3),
        (None, "auto", None, None),
        (1, "auto", 4, 4),
        (None, "auto", 4, 4),
        (1, 2, 4, 2),
        (1, "auto", 0, 0),
    ],
)
def test_capacity_is_what_was_configured_else_reported_else_the_dialects(
    default: int | None, configured: int | str, reported: int | None, capacity: int | None
) -> None:
    registry, replica = one_replica(default_capacity=default, each={"max_sessions": configured})
    heal(registry, replica, report=Report(asked_at=0.0, total=reported))
    assert replica.full_capacity == replica.capacity(0.0) == capacity
    assert replica.free(0.0) is (capacity != 0)


def test_slots_are_given_until_none_is_left_and_again_after_a_release() -> None:
    registry, replica = one_replica(each={"max_sessions": 2})
    first, second = take(registry, 0.0), take(registry, 0.0)
    assert registry.reserve(now=0.0) is None
    assert (replica.held, replica.available(0.0), replica.usable(0.0)) == (2, False, True)
    registry.release(first, now=1.0)
    registry.release(first, now=1.0)
    assert replica.held == 1
    take(registry, 1.0)
    assert registry.reserve(now=1.0) is None
    assert second.number != first.number


def test_without_a_limit_there_is_always_room() -> None:
    registry, replica = one_replica(default_capacity=None)
    for _ in range(50):
        take(registry, 0.0)
    assert replica.available(0.0)


def test_a_slot_lingers_only_on_a_replica_that_reports() -> None:
    registry, replica = one_replica()
    registry.release(take(registry, 0.0), now=1.0, linger=True)
    assert counts(replica) == (0, 0, 0)
    busy(registry, replica, 0, asked_at=2.0)
    registry.release(take(registry, 3.0), now=4.0, linger=True)
    assert counts(replica) == (0, 1, 0)
    registry.release(take(registry, 5.0), now=6.0, linger=False)
    assert counts(replica) == (0, 1, 0)


def test_where_nothing_is_reported_a_slot_lingers_for_the_dialects_time() -> None:
    registry, replica = one_replica()
    registry.release(take(registry, 0.0, key="ann"), now=1.0, linger_seconds=2.0)
    assert counts(replica) == (0, 1, 0)
    assert not replica.wants_probe(1.0), "no report would settle it"
    assert not replica.available(2.9)
    assert replica.available(2.9, key="ann"), "its own client does not stand in its own way"
    assert registry.next_change(1.0) == 3.0
    assert replica.available(3.0)
    assert registry.next_change(3.0) == float("inf")
    take(registry, 3.0)
    assert counts(replica) == (1, 0, 0)


def test_a_good_probe_forgets_slots_whose_time_has_passed_and_no_others() -> None:
    registry, replica = one_replica(each={"max_sessions": 2})
    first, second = take(registry, 0.0), take(registry, 0.0)
    registry.release(first, now=1.0, linger_seconds=1.0)
    registry.release(second, now=1.0, linger_seconds=3.0)
    heal(registry, replica, now=2.0)
    assert counts(replica) == (0, 1, 0)


def test_a_report_settles_what_the_dialects_time_only_guesses() -> None:
    registry, replica = one_replica(each={"max_sessions": 2})
    registry.release(take(registry, 0.0), now=1.0, linger_seconds=500.0)
    busy(registry, replica, 0, asked_at=2.0)
    assert counts(replica) == (0, 0, 0)
    registry.release(take(registry, 3.0), now=4.0, linger_seconds=500.0)
    assert counts(replica) == (0, 0, 0), "it reports, and is not busy with a session that has ended"


def test_a_lingering_slot_is_taken_until_a_report_that_was_asked_for_afterwards() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 0, asked_at=0.0)
    registry.release(take(registry, 1.0), now=5.0, linger=True)
    assert replica.wants_probe(5.0)
    busy(registry, replica, 0, asked_at=4.9)
    assert counts(replica) == (0, 1, 0)
    busy(registry, replica, 1, asked_at=5.5)
    assert counts(replica) == (0, 1, 0)
    busy(registry, replica, 0, asked_at=6.0)
    assert counts(replica) == (0, 0, 0)
    assert not replica.wants_probe(6.0)


def test_of_several_lingering_slots_the_youngest_stay_that_the_report_still_counts() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 0, asked_at=0.0)
    slots = [take(registry, 1.0) for _ in range(4)]
    for now, slot in enumerate(slots, start=10):
        registry.release(slot, now=float(now), linger=True)
    busy(registry, replica, 2, asked_at=12.5)
    assert replica.lingering_since == [11.0, 12.0, 13.0]
    assert replica.others == 0


def test_what_a_report_counts_and_we_do_not_know_belongs_to_others() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 3, asked_at=0.0)
    assert counts(replica) == (0, 0, 3)
    take(registry, 1.0)
    busy(registry, replica, 3, asked_at=2.0)
    assert (counts(replica), replica.taken) == ((1, 0, 2), 3)
    busy(registry, replica, 0, asked_at=3.0)
    assert counts(replica) == (1, 0, 0)


def test_a_session_that_began_after_the_question_explains_nothing() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 0, asked_at=0.0)
    take(registry, 10.0)
    busy(registry, replica, 1, asked_at=9.0)
    assert counts(replica) == (1, 0, 1)
    busy(registry, replica, 1, asked_at=10.0)
    assert counts(replica) == (1, 0, 0)


def test_a_replica_that_stops_reporting_has_no_others_and_loses_its_lingering_slots_in_time() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 2, asked_at=0.0)
    registry.release(take(registry, 1.0), now=10.0, linger=True)
    heal(registry, replica, now=11.0, report=Report(asked_at=11.0))
    assert counts(replica) == (0, 1, 0)
    heal(registry, replica, now=10.0 + LINGER_SECONDS - 0.1)
    assert counts(replica) == (0, 1, 0)
    heal(registry, replica, now=10.0 + LINGER_SECONDS)
    assert counts(replica) == (0, 0, 0)


def test_a_report_asked_for_after_a_rejection_is_the_better_witness() -> None:
    registry, replica = one_replica()
    registry.session_rejected(replica, now=10.0)
    assert replica.wants_probe(10.0)
    busy(registry, replica, 0, asked_at=9.9)
    assert not replica.free(10.5)
    busy(registry, replica, 0, asked_at=10.0)
    assert replica.free(10.5)
    registry.session_rejected(replica, now=20.0)
    heal(registry, replica, now=20.5, report=Report(asked_at=20.4))
    assert not replica.free(20.0 + FULL_SECONDS - 0.1)
    assert replica.free(20.0 + FULL_SECONDS)


def test_room_is_announced_when_a_slot_may_have_become_free() -> None:
    registry, replica = one_replica()
    slot = take(registry, 0.0)
    steps: dict[str, Callable[[], object]] = {
        "release": lambda: registry.release(slot, now=0.0),
        "again": lambda: registry.release(slot, now=0.0),
        "probe": lambda: heal(registry, replica),
        "order": lambda: registry.set_admin_state(replica, AdminState.READY, now=0.0),
        "failure": lambda: registry.probe_failed(replica, "x", now=0.0),
    }
    told: list[None] = []
    registry.on_capacity = lambda: told.append(None)
    after = {}
    for what, step in steps.items():
        told.clear()
        step()
        after[what] = len(told)
    assert after == {"release": 1, "again": 0, "probe": 1, "order": 1, "failure": 0}


def test_slow_start_gives_a_recovered_replica_its_capacity_bit_by_bit() -> None:
    registry, replica = one_replica(slow_start_seconds=10.0, each={"max_sessions": 4})
    assert replica.capacity(0.0) == 4  # the first success is no recovery
    sicken(registry, replica)
    heal(registry, replica, now=100.0)
    heal(registry, replica, now=100.0)
    assert [replica.capacity(now) for now in (100.0, 104.9, 105.0, 107.5, 110.0)] == [1, 1, 2, 3, 4]


def test_without_slow_start_a_recovered_replica_has_all_its_capacity() -> None:
    registry, replica = one_replica(each={"max_sessions": 4})
    sicken(registry, replica)
    heal(registry, replica, now=100.0)
    heal(registry, replica, now=100.0)
    assert replica.capacity(100.0) == 4


def test_a_suspect_replica_wants_a_probe_soon() -> None:
    registry, replica = one_replica()
    assert not replica.wants_probe(0.0)
    registry.probe_failed(replica, "timeout", now=0.0)
    assert replica.wants_probe(0.0)


def test_others_are_doubtful_when_a_session_of_ours_began_or_ended_while_the_replica_was_asked() -> None:
    registry, replica = one_replica()
    slot = take(registry, 1.0)
    busy(registry, replica, 2, asked_at=2.0)
    assert (replica.others, replica.report_stale, replica.wants_probe(2.0)) == (1, False, False)
    registry.release(slot, now=3.0)
    assert (replica.report_stale, replica.wants_probe(3.0)) == (True, True)
    busy(registry, replica, 1, asked_at=4.0)
    assert (replica.others, replica.report_stale) == (1, False)
    take(registry, 5.0)
    assert (replica.others, replica.report_stale) == (1, True)
    busy(registry, replica, 1, asked_at=6.0)
    assert (replica.others, replica.report_stale) == (0, False)


def test_a_slot_that_was_not_connected_when_the_report_was_asked_for_explains_nothing() -> None:
    """The busy GPU is still the one that was left: it is not given away because somebody else was just picked for it."""
    registry, replica = one_replica()
    heal(registry, replica, report=Report(asked_at=0.0, busy=0, total=2))
    registry.release(take(registry, 1.0), now=5.0, linger=True)
    picked = take(registry, 5.0, connect=False)
    heal(registry, replica, now=6.1, report=Report(asked_at=6.0, busy=1, total=2))
    assert (counts(replica), replica.available(6.1)) == ((1, 1, 0), False)
    registry.slot_connected(picked, now=6.5)
    heal(registry, replica, now=7.1, report=Report(asked_at=7.0, busy=1, total=2))
    assert (counts(replica), replica.available(7.1)) == ((1, 0, 0), True)


def test_a_connection_that_comes_to_stand_while_the_replica_is_asked_is_asked_for_again() -> None:
    registry, replica = one_replica()
    picked = take(registry, 1.0, connect=False)
    busy(registry, replica, 1, asked_at=2.0)
    assert (counts(replica), replica.report_stale) == ((1, 0, 1), False)
    registry.slot_connected(picked, now=2.1)
    assert replica.wants_probe(2.1)
    busy(registry, replica, 1, asked_at=3.0)
    assert (counts(replica), replica.wants_probe(3.1)) == ((1, 0, 0), False)


def test_a_connection_of_a_slot_that_was_given_back_is_nobodys() -> None:
    registry, replica = one_replica()
    slot = take(registry, 1.0, connect=False)
    registry.release(slot, now=2.0)
    registry.slot_connected(slot, now=3.0)
    assert replica.connected_since == {}
    registry.release(take(registry, 4.0), now=5.0)
    assert replica.connected_since == {}


def test_a_client_that_comes_back_does_not_stand_in_its_own_way() -> None:
    registry = make_registry(2)
    for replica in registry.replicas:
        heal(registry, replica, report=Report(asked_at=0.0, busy=0, total=1))
    home = registry.replicas[0]
    slot = registry.reserve(now=1.0, prefer=home.url, key="ann")
    assert slot is not None
    registry.release(slot, now=2.0, linger=True)
    assert (home.available(2.0), home.available(2.0, key="bob"), home.available(2.0, key="ann")) == (False, False, True)
    assert registry.keys_with_capacity(2.0) == {"ann"}
    other = registry.reserve(now=2.1, prefer=home.url, key="bob")
    assert other is not None
    assert other.replica is not home
    assert registry.reserve(now=2.1, key="ann") is None, "it counts only where it is known"
    again = registry.reserve(now=2.2, prefer=home.url, key="ann")
    assert again is not None
    assert again.replica is home
    assert registry.keys_with_capacity(2.2) == set()
    assert registry.reserve(now=2.3, prefer=home.url, key="ann") is None, "once"


def test_a_rejection_outweighs_a_lingering_slot_of_ones_own() -> None:
    registry, replica = one_replica()
    heal(registry, replica, report=Report(asked_at=0.0, busy=0, total=1))
    registry.release(take(registry, 1.0, key="ann"), now=2.0, linger=True)
    registry.session_rejected(replica, now=2.5)
    assert registry.reserve(now=2.6, prefer=replica.url, key="ann") is None


@pytest.mark.parametrize("said", [None, Report(asked_at=100.0), Report(asked_at=100.0, total=4)])
def test_each_lingering_slot_of_a_replica_that_stops_reporting_is_given_up_in_its_own_time(said: Report | None) -> None:
    registry, replica = one_replica(each={"max_sessions": 4})
    busy(registry, replica, 0, asked_at=0.0)
    slots = [take(registry, 1.0) for _ in range(3)]
    for now, slot in zip((10.0, 20.0, 30.0), slots, strict=True):
        registry.release(slot, now=now, linger=True)
    left = []
    for since in (10.0, 20.0, 30.0):
        for now in (since + LINGER_SECONDS - 0.5, since + LINGER_SECONDS):
            heal(registry, replica, now=now, report=said)
            left.append(len(replica.lingering))
    assert left == [3, 2, 2, 1, 1, 0]


def test_a_replica_that_goes_on_reporting_keeps_its_lingering_slots_however_long() -> None:
    registry, replica = one_replica()
    busy(registry, replica, 0, asked_at=0.0)
    registry.release(take(registry, 1.0), now=10.0, linger=True)
    busy(registry, replica, 1, asked_at=11.0 + LINGER_SECONDS)
    assert counts(replica) == (0, 1, 0)
