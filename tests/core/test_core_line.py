"""The waiting line: first come first served, and nobody waits behind somebody who wants something else."""

from __future__ import annotations

import pytest
from core_samples import QUICK, heal
from hypothesis import given
from hypothesis import strategies as st

from trio_router.core.config import ReplicaEndpoint
from trio_router.core.line import REMEMBERED_LENGTHS, Ticket, WaitingLine, Wish
from trio_router.core.registry import ReplicaRegistry, serves
from trio_router.core.replica import Replica, Report


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


def queue(line: WaitingLine, *wishes: Wish) -> list[Ticket]:
    tickets = [line.ticket(wish, now=0.0) for wish in wishes]
    for ticket in tickets:
        line.join(ticket)
    return tickets


def replica_of(ticket: Ticket) -> str | None:
    return ticket.slot.replica.label if ticket.slot else None


def test_slots_are_given_in_the_order_of_arrival() -> None:
    line, registry = WaitingLine(), make_registry(1, 1)
    first, second, third = queue(line, Wish(), Wish(), Wish())
    assert line.settle(registry, now=0.0) == [first, second]
    assert {replica_of(first), replica_of(second)} == {"r0", "r1"}
    assert line.places() == [(1, third)]
    assert line.settle(registry, now=0.0) == []
    slot = first.take()
    assert slot is not None
    assert first.take() is None
    registry.release(slot, now=1.0)
    assert line.settle(registry, now=1.0) == [third]
    assert len(line) == 0


def test_who_waits_for_something_busy_holds_up_nobody_who_wants_something_else() -> None:
    line, registry = WaitingLine(), make_registry(1, 1, presets={0: ("wan",), 1: ("ltx",)})
    registry.reserve(now=0.0, preset="wan")
    wan, ltx = queue(line, Wish(preset="wan"), Wish(preset="ltx"))
    assert line.settle(registry, now=0.0) == [ltx]
    assert line.places() == [(1, wan)]


def test_a_wish_is_passed_on_whole() -> None:
    line, registry = WaitingLine(), make_registry(3, 3, 3)
    preferring, hashed, hashed_too = queue(
        line, Wish(prefer="http://r2"), Wish(key="k", balance="hash"), Wish(key="k", balance="hash")
    )
    line.settle(registry, now=0.0)
    assert replica_of(preferring) == "r2"
    assert replica_of(hashed) == replica_of(hashed_too)
    [picky] = queue(line, Wish(balance="first"))
    picky.exclude = {registry.replicas[0]}
    line.settle(registry, now=0.0)
    assert replica_of(picky) == "r1"


def test_a_client_that_comes_back_passes_those_who_wait_for_its_own_lingering_slot() -> None:
    line, registry = WaitingLine(), make_registry(1)
    heal(registry, registry.replicas[0], report=Report(asked_at=0.0, busy=0, total=1))
    slot = registry.reserve(now=1.0, key="ann")
    assert slot is not None
    registry.release(slot, now=2.0, linger=True)
    other, ann, late = queue(line, Wish(), Wish(key="ann", prefer="http://r0"), Wish(key="ann", prefer="http://r0"))
    assert line.settle(registry, now=2.1) == [ann]
    assert line.places() == [(1, other), (2, late)]


def test_a_rank_is_for_good() -> None:
    line = WaitingLine()
    first, second, third = queue(line, Wish(), Wish(), Wish())
    line.leave(first)
    line.leave(first)
    assert [ticket for _, ticket in line.places()] == [second, third]
    line.join(first)
    assert line.places() == [(1, first), (2, second), (3, third)]


def test_an_estimate_is_made_from_how_long_slots_were_held() -> None:
    line = WaitingLine()
    assert line.estimate(1, 2) is None
    for seconds in (30.0, 90.0):
        line.remember(seconds)
    assert [line.estimate(position, 2) for position in (1, 2, 4)] == [30.0, 60.0, 120.0]
    assert line.estimate(1, 0) is None
    for _ in range(REMEMBERED_LENGTHS):
        line.remember(10.0)
    assert line.estimate(3, 1) == pytest.approx(30.0)


@QUICK
@given(
    rooms=st.lists(st.integers(1, 2), min_size=3, max_size=3),
    wishes=st.lists(
        st.tuples(st.sampled_from((None, "wan", "ltx")), st.sets(st.integers(0, 2), max_size=2)), max_size=8
    ),
)
def test_no_slot_is_idle_that_somebody_waits_for_and_nobody_is_passed_by(
    rooms: list[int], wishes: list[tuple[str | None, set[int]]]
) -> None:
    line, registry = WaitingLine(), make_registry(*rooms, presets={0: ("wan",), 1: ("ltx",)})
    tickets = queue(line, *(Wish(preset=preset) for preset, _ in wishes))
    for ticket, (_, exclude) in zip(tickets, wishes, strict=True):
        ticket.exclude = [registry.replicas[i] for i in exclude]

    def could_use(ticket: Ticket, replica: Replica) -> bool:
        return replica not in ticket.exclude and serves(replica, ticket.wish.preset)

    served = line.settle(registry, now=0.0)
    waiting = [ticket for _, ticket in line.places()]
    assert sorted(ticket.number for ticket in (*served, *waiting)) == [ticket.number for ticket in tickets]
    for ticket in waiting:
        assert not any(could_use(ticket, r) for r in registry.replicas if r.available(0.0))
        assert not any(could_use(ticket, s.slot.replica) for s in served if s.slot and s.number > ticket.number)
