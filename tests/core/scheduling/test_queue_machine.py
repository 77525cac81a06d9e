"""The registry, its slots and the wait queue together, in any order of events, against a plain account of them."""

from __future__ import annotations

import random
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from trio_router.core.config import EjectionConfig, ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.registry import ReplicaRegistry, Slot
from trio_router.core.replicas.replica import LINGER_SECONDS, AdminState, Replica, Report
from trio_router.core.scheduling.queue import SlotRequest, Waiter, WaitQueue

REPLICAS: Final = (
    ReplicaEndpoint("http://r0", primary=True, max_sessions=2),
    ReplicaEndpoint("http://r1", presets=("wan",)),
    ReplicaEndpoint("http://r2", presets=("wan", "ltx"), max_sessions=3),
    ReplicaEndpoint("http://r3"),
)
which = st.sampled_from(range(len(REPLICAS)))
presets = st.sampled_from((None, "wan", "ltx", "hy"))
policies = st.sampled_from((None, "first", "round_robin", "random_two", "hash"))


class Line(RuleBasedStateMachine):
    """``turns`` are the waiters that got a slot, in order; ``placed`` the slots of sessions that are under way."""

    waiting = Bundle("waiting")
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        config = RouterConfig(
            replicas=REPLICAS, slow_start_seconds=8, ejection=EjectionConfig(failures=2, base_seconds=5, max_seconds=20)
        )
        self.now = 0.0
        self.registry = ReplicaRegistry(config, rng=random.Random(1))
        self.line = WaitQueue()
        self.registry.on_capacity = self._settle
        self.placed: dict[int, tuple[Waiter, Slot]] = {}
        self.waiters: list[Waiter] = []
        for replica in self.registry.replicas:
            self._probe(replica, None)

    # What the admission does

    def _settle(self) -> None:
        standing = list(self.line.waiters)
        own = {(r.url, slot.key) for r in self.registry.replicas if not r.available(self.now) for slot in r.lingering}
        served = self.line.dispatch(self.registry, now=self.now)
        passed_by = [waiter for waiter in standing if waiter not in served]
        for waiter in served:
            slot = waiter.take()
            assert slot is not None
            assert waiter.take() is None
            self.placed[waiter.number] = (waiter, slot)
            for other in passed_by:
                if (slot.replica.url, waiter.slot_request.key) in own:
                    continue  # its own lingering slot is free for nobody else
                if other.number < waiter.number:
                    assert not _could_use(other, slot.replica), "somebody before it could have used this slot"

    def _probe(self, replica: Replica, report: Report | None) -> None:
        self.registry.probe_succeeded(replica, latency_ms=1.0, wall=self.now, now=self.now, report=report)

    def _join(self, waiter: Waiter) -> None:
        self.line.join(waiter)
        self._settle()

    def _come(self, slot_request: SlotRequest) -> Waiter:
        waiter = self.line.new_waiter(slot_request, now=self.now)
        assert all(other.number < waiter.number for other in self.waiters)
        self.waiters.append(waiter)
        self._join(waiter)
        return waiter

    # What happens

    @rule(seconds=st.floats(0.001, 12.0))
    def time_passes(self, seconds: float) -> None:
        """As `Admission.run` does it: never over the moment at which a slot may become free by itself."""
        end = self.now + seconds
        while (change := self.registry.next_change(self.now)) <= end:
            self.now = change
            self._settle()
        self.now = end

    @rule(
        target=waiting,
        preset=presets,
        key=st.none() | st.sampled_from("abc"),
        prefer=st.none() | which,
        balance=policies,
    )
    def client_comes(self, preset: str | None, key: str | None, prefer: int | None, balance: str | None) -> Waiter:
        url = None if prefer is None else REPLICAS[prefer].url
        return self._come(SlotRequest(preset=preset, key=key, prefer=url, balance=balance))

    @rule(target=waiting, number=st.integers(2, 6), preset=presets)
    def a_crowd_comes(self, number: int, preset: str | None) -> MultipleResults[Waiter]:
        return multiple(*[self._come(SlotRequest(preset=preset)) for _ in range(number)])

    @rule(waiter=consumes(waiting), linger=st.booleans())
    def client_leaves(self, waiter: Waiter, linger: bool) -> None:
        """From the line, or in the middle of its session."""
        self.line.leave(waiter)
        self.waiters.remove(waiter)
        if waiter.number in self.placed:
            _, slot = self.placed.pop(waiter.number)
            self.registry.session_ended(slot.replica)
            for _ in range(2):  # the second time must do nothing
                self.registry.release(slot, now=self.now, linger=linger)

    @rule(waiter=waiting)
    def replica_opens_it(self, waiter: Waiter) -> None:
        if waiter.number in self.placed:
            self.registry.session_opened(self.placed[waiter.number][1].replica)

    @rule(waiter=waiting, exclude=st.booleans(), opened=st.booleans())
    def replica_loses_it(self, waiter: Waiter, exclude: bool, opened: bool) -> None:
        """A rejection, a failed dial or a death; the session wants another replica, at its old rank."""
        if waiter.number not in self.placed:
            return
        _, slot = self.placed.pop(waiter.number)
        if exclude:
            self.registry.session_failed(slot.replica, "died", now=self.now, opened=opened)
            waiter.exclude = (*waiter.exclude, slot.replica)
        else:
            self.registry.session_rejected(slot.replica, now=self.now)
        self.registry.release(slot, now=self.now)
        self._join(waiter)

    @rule(
        index=which,
        busy=st.integers(0, 4),
        total=st.none() | st.integers(0, 4),
        age=st.floats(0, 2),
        warming=st.booleans(),
    )
    def replica_reports(self, index: int, busy: int, total: int | None, age: float, warming: bool) -> None:
        report = Report(max(0.0, self.now - age), busy, total, warming and busy == 0)
        self._probe(self.registry.replicas[index], report)

    @rule(index=which, good=st.booleans())
    def probes_flip_it(self, index: int, good: bool) -> None:
        replica = self.registry.replicas[index]
        for _ in range(3):
            if good:
                self._probe(replica, None)
            else:
                self.registry.probe_failed(replica, "timeout", now=self.now)

    @rule(index=which, state=st.sampled_from(AdminState))
    def operator_orders(self, index: int, state: AdminState) -> None:
        self.registry.set_admin_state(self.registry.replicas[index], state, now=self.now)

    @precondition(lambda self: self.line.waiters)
    @rule()
    def everything_recovers(self) -> None:
        """Every replica is well and empties itself: the line does so too, as far as it may use any replica at all."""
        self.now += LINGER_SECONDS
        for replica in self.registry.replicas:
            self.registry.set_admin_state(replica, AdminState.READY, now=self.now)
        while True:
            for number in list(self.placed):
                waiter, slot = self.placed.pop(number)
                self.registry.release(slot, now=self.now)
            for replica in self.registry.replicas:
                for _ in range(2):
                    self._probe(replica, Report(self.now, 0, 3))
            if not self.placed:
                break
        for waiter in self.line.waiters:
            assert not any(_could_use(waiter, replica) for replica in self.registry.replicas), "starved"

    # What is always so

    @invariant()
    def slots_held_are_sessions_placed(self) -> None:
        held = {replica.url: replica.held for replica in self.registry.replicas}
        mine = [slot.replica.url for _, slot in self.placed.values()]
        assert held == {replica.url: mine.count(replica.url) for replica in self.registry.replicas}
        assert all(not slot.released for _, slot in self.placed.values())

    @invariant()
    def everybody_waits_or_is_placed_and_nobody_both(self) -> None:
        waiting = [waiter.number for waiter in self.line.waiters]
        assert waiting == sorted(set(waiting))
        assert not set(waiting) & set(self.placed)

    @invariant()
    def nobody_waits_while_a_fitting_slot_is_free(self) -> None:
        for waiter in self.line.waiters:
            free = [r for r in self.registry.replicas if r.available(self.now) and _could_use(waiter, r)]
            assert not free, f"{waiter} waits while {free} is free"

    @invariant()
    def an_ejected_replica_is_not_the_last(self) -> None:
        if not any(replica.usable(self.now) for replica in self.registry.replicas):
            assert all(self.now >= r.ejected_until for r in self.registry.replicas if r.schedulable and not r.warming)

    def teardown(self) -> None:
        self.line.waiters.clear()
        for _, slot in self.placed.values():
            self.registry.release(slot, now=self.now)
        self.now += LINGER_SECONDS
        for replica in self.registry.replicas:
            self._probe(replica, Report(self.now, 0, 1))
        assert [replica.taken for replica in self.registry.replicas] == [0] * len(REPLICAS)


def _could_use(waiter: Waiter, replica: Replica) -> bool:
    preset, listed = waiter.slot_request.preset, replica.endpoint.presets
    return replica not in waiter.exclude and (preset is None or not listed or preset in listed)


Line.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
test_the_queue_gives_every_slot_to_the_first_who_can_use_it = Line.TestCase
