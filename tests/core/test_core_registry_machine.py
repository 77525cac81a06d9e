"""The registry as a state machine: whatever happens in whatever order, the counts are right."""

from __future__ import annotations

from collections import Counter

from core_samples import QUICK, make_registry
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from trio_router.core.health import ReplicaStatus
from trio_router.core.registry import Slot
from trio_router.core.replica import LINGER_SECONDS, AdminState, Report

COUNT = 3
which = st.integers(0, COUNT - 1)
few = st.integers(0, 4)


class Registry(RuleBasedStateMachine):
    """Sessions, probes and operators, in any order, on a clock that never goes back."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.registry = make_registry(COUNT, healthy=False, primary=0, slow_start_seconds=7.0, balance="round_robin")
        self.registry.on_room = self._hear
        self.now = 0.0
        self.heard = 0
        self.opened: list[Slot] = []
        self.released: list[Slot] = []

    def _hear(self) -> None:
        self.heard += 1

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=sessions, prefer=st.none() | which, exclude=st.sets(which, max_size=2))
    def session_comes(self, prefer: int | None, exclude: set[int]) -> Slot | None:
        replicas = self.registry.replicas
        left_out = [replicas[i] for i in exclude]
        url = None if prefer is None else replicas[prefer].url
        available = [r for r in replicas if r.available(self.now) and r not in left_out]
        slot = self.registry.reserve(now=self.now, prefer=url, exclude=left_out)
        if slot is None:
            assert not available
            return None
        assert slot.replica in available, "a slot on a replica that is not available"
        if prefer is not None and replicas[prefer] in available:
            assert slot.replica is replicas[prefer]
        elif replicas[0] in available:
            assert slot.replica is replicas[0], "a primary wins"
        self.opened.append(slot)
        return slot

    @rule(slot=consumes(sessions), linger=st.booleans(), again=st.booleans())
    def session_goes(self, slot: Slot | None, linger: bool, again: bool) -> None:
        if slot is None:
            return
        before = self.heard
        for _ in range(2 if again else 1):
            self.registry.release(slot, now=self.now, linger=linger)
        assert self.heard == before + 1
        self.released.append(slot)

    @rule(index=which, outcome=st.sampled_from(("opened", "ended", "rejected", "unreachable", "died")))
    def session_reports(self, index: int, outcome: str) -> None:
        replica = self.registry.replicas[index]
        if outcome == "opened":
            self.registry.session_opened(replica)
        elif outcome == "ended":
            self.registry.session_ended(replica)
        elif outcome == "rejected":
            self.registry.session_rejected(replica, now=self.now)
        else:
            self.registry.session_failed(replica, "gone", now=self.now, opened=outcome == "died")

    @rule(index=which, busy=st.none() | few, total=st.none() | few, age=st.floats(0.0, 30.0), warming=st.booleans())
    def probe_succeeds(self, index: int, busy: int | None, total: int | None, age: float, warming: bool) -> None:
        replica, asked_at = self.registry.replicas[index], max(0.0, self.now - age)
        held = set(replica.held_since)
        report = Report(asked_at, busy, total, warming=warming)
        self.registry.probe_succeeded(replica, latency_ms=1.0, wall=self.now, now=self.now, report=report)
        assert set(replica.held_since) == held, "what a replica says changes nothing of what we hold"
        if busy is not None:
            began_later = sum(since > asked_at for since in replica.held_since.values())
            lingered_later = sum(since > asked_at for since in replica.lingering_since)
            assert replica.taken - began_later - lingered_later >= min(busy, replica.taken)
        assert all(self.now - since < LINGER_SECONDS for since in replica.lingering_since)

    @rule(index=which)
    def probe_fails(self, index: int) -> None:
        self.registry.probe_failed(self.registry.replicas[index], "timeout", now=self.now)

    @rule(index=which, state=st.sampled_from(AdminState))
    def operator_orders(self, index: int, state: AdminState) -> None:
        self.registry.set_admin_state(self.registry.replicas[index], state, now=self.now)

    @invariant()
    def slots_held_are_sessions_open(self) -> None:
        open_slots = Counter(slot.replica.url for slot in self.opened if not slot.released)
        assert {r.url: r.held for r in self.registry.replicas} == {
            r.url: open_slots[r.url] for r in self.registry.replicas
        }
        assert len(self.opened) - len(self.released) == open_slots.total()
        assert len({slot.number for slot in self.opened}) == len(self.opened)

    @invariant()
    def no_count_is_negative_and_room_is_what_is_not_taken(self) -> None:
        for replica in self.registry.replicas:
            assert replica.others >= 0
            assert replica.taken == replica.held + len(replica.lingering_since) + replica.others
            capacity = replica.capacity(self.now)
            assert capacity is not None
            assert 0 <= capacity <= (replica.full_capacity or 0)
            if replica.available(self.now):
                assert replica.health.status is ReplicaStatus.HEALTHY
                assert replica.admin is AdminState.READY
                assert replica.taken < capacity
                assert self.now >= max(replica.full_until, replica.ejected_until)

    @invariant()
    def ejection_leaves_somebody(self) -> None:
        could = [r for r in self.registry.replicas if r.promising and not r.warming]
        assert not could or any(r.usable(self.now) for r in could)

    def teardown(self) -> None:
        for slot in self.opened:
            self.registry.release(slot, now=self.now)
        assert all(replica.held == 0 for replica in self.registry.replicas)


Registry.TestCase.settings = settings(QUICK, max_examples=40, stateful_step_count=40)
test_the_registry_keeps_its_books = Registry.TestCase
