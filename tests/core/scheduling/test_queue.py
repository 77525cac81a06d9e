"""The wait queue: first come first served, and no session waits for one with another preset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK, heal
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.replicas.registry import ReplicaRegistry, serves
from trio_router.core.replicas.replica import Replica, Report
from trio_router.core.scheduling.queue import REMEMBERED_LENGTHS, SlotRequest, Waiter, WaitQueue


def make_registry(*rooms: int, presets: dict[int, tuple[str, ...]] | None = None) -> ReplicaRegistry:
    """Healthy replicas r0, r1, … with so many slots each."""
    registry = ReplicaRegistry(
        [
            ReplicaEndpoint(f"http://r{i}", max_sessions=room, presets=(presets or {}).get(i, ()))
            for i, room in enumerate(rooms)
        ]
    )
    for replica in registry.replicas:
        heal(registry, replica)
    return registry


def enqueue(queue: WaitQueue, *slot_requests: SlotRequest) -> list[Waiter]:
    waiters = [queue.new_waiter(slot_request, now=0.0) for slot_request in slot_requests]
    for waiter in waiters:
        queue.join(waiter)
    return waiters


def replica_of(waiter: Waiter) -> str | None:
    return waiter.slot.replica.label if waiter.slot else None


def test_slots_are_given_in_the_order_of_arrival() -> None:
    queue, registry = WaitQueue(), make_registry(1, 1)
    first, second, third = enqueue(queue, SlotRequest(), SlotRequest(), SlotRequest())
    assert queue.dispatch(registry, now=0.0) == [first, second]
    assert {replica_of(first), replica_of(second)} == {"r0", "r1"}
    assert queue.positions() == [(1, third)]
    assert queue.dispatch(registry, now=0.0) == []
    slot = first.take()
    assert slot is not None
    assert first.take() is None
    registry.release(slot, now=1.0)
    assert queue.dispatch(registry, now=1.0) == [third]
    assert len(queue) == 0


def test_who_waits_for_something_busy_holds_up_nobody_who_wants_something_else() -> None:
    queue, registry = WaitQueue(), make_registry(1, 1, presets={0: ("wan",), 1: ("ltx",)})
    registry.reserve(now=0.0, preset="wan")
    wan, ltx = enqueue(queue, SlotRequest(preset="wan"), SlotRequest(preset="ltx"))
    assert queue.dispatch(registry, now=0.0) == [ltx]
    assert queue.positions() == [(1, wan)]


def test_a_wish_is_passed_on_whole() -> None:
    queue, registry = WaitQueue(), make_registry(3, 3, 3)
    preferring, hashed, hashed_too = enqueue(
        queue,
        SlotRequest(prefer="http://r2"),
        SlotRequest(key="k", balance="hash"),
        SlotRequest(key="k", balance="hash"),
    )
    queue.dispatch(registry, now=0.0)
    assert replica_of(preferring) == "r2"
    assert replica_of(hashed) == replica_of(hashed_too)
    [picky] = enqueue(queue, SlotRequest(balance="first"))
    picky.exclude = {registry.replicas[0]}
    queue.dispatch(registry, now=0.0)
    assert replica_of(picky) == "r1"


def test_a_client_that_comes_back_passes_those_who_wait_for_its_own_lingering_slot() -> None:
    queue, registry = WaitQueue(), make_registry(1)
    heal(registry, registry.replicas[0], report=Report(asked_at=0.0, busy=0, total=1))
    slot = registry.reserve(now=1.0, key="ann")
    assert slot is not None
    registry.release(slot, now=2.0, linger=True)
    other, ann, late = enqueue(
        queue, SlotRequest(), SlotRequest(key="ann", prefer="http://r0"), SlotRequest(key="ann", prefer="http://r0")
    )
    assert queue.dispatch(registry, now=2.1) == [ann]
    assert queue.positions() == [(1, other), (2, late)]


def test_a_rank_is_for_good() -> None:
    queue = WaitQueue()
    first, second, third = enqueue(queue, SlotRequest(), SlotRequest(), SlotRequest())
    queue.leave(first)
    queue.leave(first)
    assert [waiter for _, waiter in queue.positions()] == [second, third]
    queue.join(first)
    assert queue.positions() == [(1, first), (2, second), (3, third)]


def test_an_estimate_is_made_from_how_long_slots_were_held() -> None:
    queue = WaitQueue()
    assert queue.estimate(1, 2) is None
    for seconds in (30.0, 90.0):
        queue.remember(seconds)
    assert [queue.estimate(position, 2) for position in (1, 2, 4)] == [30.0, 60.0, 120.0]
    assert queue.estimate(1, 0) is None
    for _ in range(REMEMBERED_LENGTHS):
        queue.remember(10.0)
    assert queue.estimate(3, 1) == pytest.approx(30.0)


@QUICK
@given(
    rooms=st.lists(st.integers(1, 2), min_size=3, max_size=3),
    slot_requests=st.lists(
        st.tuples(st.sampled_from((None, "wan", "ltx")), st.sets(st.integers(0, 2), max_size=2)), max_size=8
    ),
)
def test_no_slot_is_idle_that_somebody_waits_for_and_nobody_is_passed_by(
    rooms: list[int], slot_requests: list[tuple[str | None, set[int]]]
) -> None:
    queue, registry = WaitQueue(), make_registry(*rooms, presets={0: ("wan",), 1: ("ltx",)})
    waiters = enqueue(queue, *(SlotRequest(preset=preset) for preset, _ in slot_requests))
    for waiter, (_, exclude) in zip(waiters, slot_requests, strict=True):
        waiter.exclude = [registry.replicas[i] for i in exclude]

    def could_use(waiter: Waiter, replica: Replica) -> bool:
        return replica not in waiter.exclude and serves(replica, waiter.slot_request.preset)

    served = queue.dispatch(registry, now=0.0)
    waiting = [waiter for _, waiter in queue.positions()]
    assert sorted(waiter.number for waiter in (*served, *waiting)) == [waiter.number for waiter in waiters]
    for waiter in waiting:
        assert not any(could_use(waiter, r) for r in registry.replicas if r.available(0.0))
        assert not any(could_use(waiter, s.slot.replica) for s in served if s.slot and s.number > waiter.number)
