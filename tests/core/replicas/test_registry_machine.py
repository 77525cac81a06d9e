"""The registry as a state machine: whatever happens in whatever order, the counts are right."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tests.core.samples import QUICK, make_registry
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.replicas.failures import WITNESSES
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import Slot
from trio_router.core.replicas.replica import LINGER_SECONDS, AdminState, Replica, Report

COUNT = 3
which = st.integers(0, COUNT - 1)
few = st.integers(0, 4)
clients = st.none() | st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"))


class Registry(RuleBasedStateMachine):
    """Sessions, probes and operators, in any order, on a clock that never goes back."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.registry = make_registry(COUNT, healthy=False, primary=0, slow_start_seconds=7.0, balance="round_robin")
        self.registry.on_capacity = self._hear
        self.now = 0.0
        self.heard = 0
        self.opened: list[Slot] = []
        self.released: list[Slot] = []
        self.all: set[Replica] = set(self.registry.replicas)

    def _some(self, index: int) -> Replica:
        return self.registry.replicas[index % len(self.registry.replicas)]

    def _hear(self) -> None:
        self.heard += 1

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        target=sessions,
        prefer=st.none() | which,
        exclude=st.sets(which, max_size=2),
        key=st.none() | st.sampled_from("ab"),
        connects=st.booleans(),
    )
    def session_comes(self, prefer: int | None, exclude: set[int], key: str | None, connects: bool) -> Slot | None:
        left_out = [self._some(i) for i in exclude]
        known = None if prefer is None else self._some(prefer)
        available = [r for r in self.registry.replicas if r.available(self.now) and r not in left_out]
        own = known is not None and known not in left_out and known.available(self.now, key=key) and not known.refusing
        url = None if known is None else known.url
        slot = self.registry.reserve(now=self.now, prefer=url, exclude=left_out, key=key)
        if slot is None:
            assert not available
            assert not own
            return None
        assert not slot.replica.removing
        if own:
            assert slot.replica is known
        else:
            assert slot.replica in available, "a slot on a replica that is not available"
            assert slot.replica.tier == min(replica.tier for replica in available), "the best tier wins"
        self.opened.append(slot)
        if connects:
            self.registry.slot_connected(slot, now=self.now)
        return slot

    @rule(slot=sessions)
    def session_connects(self, slot: Slot | None) -> None:
        if slot is not None:
            self.registry.slot_connected(slot, now=self.now)

    @rule(included=st.sets(which, min_size=1), primary=which, room=few, extra=st.booleans())
    def operator_applies(self, included: set[int], primary: int, room: int, extra: bool) -> None:
        endpoints = [
            ReplicaEndpoint(f"http://r{i}", primary=i == primary, max_sessions=room or "auto") for i in sorted(included)
        ]
        endpoints += [ReplicaEndpoint("http://extra")] if extra else []
        before = set(self.registry.replicas)
        diff = self.registry.apply(endpoints, now=self.now)
        assert not before & set(diff.added)
        assert set(diff.changed) <= before
        assert all(replica.removing for replica in diff.removed)
        assert [r.endpoint for r in self.registry.replicas if not r.removing] == endpoints
        self.all |= set(diff.added)

    @rule(slot=consumes(sessions), linger=st.booleans(), again=st.booleans())
    def session_goes(self, slot: Slot | None, linger: bool, again: bool) -> None:
        if slot is None:
            return
        before = self.heard
        for _ in range(2 if again else 1):
            self.registry.release(slot, now=self.now, linger=linger)
        assert self.heard == before + 1
        self.released.append(slot)

    @rule(
        index=which,
        outcome=st.sampled_from(("opened", "ended", "rejected", "unreachable", "died", "slow", "refused", "accepted")),
        client=clients,
    )
    def session_reports(self, index: int, outcome: str, client: str | None) -> None:
        replica = self._some(index)
        if outcome == "opened":
            self.registry.session_opened(replica)
        elif outcome == "ended":
            self.registry.session_ended(replica)
        elif outcome == "rejected":
            self.registry.session_rejected(replica, now=self.now)
        elif outcome == "slow":
            self.registry.suspect_dial(replica, "no answer", now=self.now, client=client)
        elif outcome == "refused":
            self.registry.request_refused(replica, 403, now=self.now, client=client or "10.0.0.1")
        elif outcome == "accepted":
            self.registry.request_accepted(replica, now=self.now)
            assert not replica.refusing
        else:
            self.registry.session_failed(replica, "gone", now=self.now, opened=outcome == "died", client=client)

    @rule(index=which, times=st.integers(1, 9), opened=st.booleans())
    def one_client_fails_again_and_again(self, index: int, times: int, opened: bool) -> None:
        """Alone it takes no replica out of service."""
        replica = self._some(index)
        self.registry.session_opened(replica)
        self.registry.session_ended(replica)
        status, usable = replica.health.status, replica.usable(self.now)
        for _ in range(times):
            assert not self.registry.session_failed(replica, "gone", now=self.now, opened=opened, client="10.0.0.9")
        assert replica.health.status is status
        assert replica.usable(self.now) or not usable

    @rule(index=which, busy=st.none() | few, total=st.none() | few, age=st.floats(0.0, 30.0), warming=st.booleans())
    def probe_succeeds(self, index: int, busy: int | None, total: int | None, age: float, warming: bool) -> None:
        replica, asked_at = self._some(index), max(0.0, self.now - age)
        held = set(replica.held_since)
        report = Report(asked_at, busy, total, warming=warming)
        self.registry.probe_succeeded(replica, latency_ms=1.0, wall=self.now, now=self.now, report=report)
        assert set(replica.held_since) == held, "what a replica says changes nothing of what we hold"
        if busy is not None:
            known = sum(since <= asked_at for since in replica.connected_since.values())
            began_later = replica.held - known
            lingered_later = sum(since > asked_at for since in replica.lingering_since)
            assert replica.taken - began_later - lingered_later >= min(busy, replica.taken)
        assert all(self.now - since < LINGER_SECONDS for since in replica.lingering_since)

    @rule(index=which)
    def probe_fails(self, index: int) -> None:
        self.registry.probe_failed(self._some(index), "timeout", now=self.now)

    @rule(index=which, state=st.sampled_from(AdminState))
    def operator_orders(self, index: int, state: AdminState) -> None:
        self.registry.set_admin_state(self._some(index), state, now=self.now)

    @invariant()
    def slots_held_are_sessions_open(self) -> None:
        open_slots = Counter(slot.replica for slot in self.opened if not slot.released)
        assert {r: r.held for r in self.all} == {r: open_slots[r] for r in self.all}
        assert all(set(r.connected_since) <= set(r.held_since) for r in self.all)
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
    def who_is_removed_is_listed_as_long_as_it_has_sessions(self) -> None:
        listed = self.registry.replicas
        assert len({replica.url for replica in listed}) == len(listed)
        assert all(replica in listed for replica in self.all if replica.held)
        assert all(replica.held for replica in listed if replica.removing)
        assert all(len(replica.failures.clients) <= WITNESSES for replica in self.all)

    @invariant()
    def an_outage_is_when_nobody_is_usable(self) -> None:
        since = self.registry.unusable_since(self.now)
        assert (since is None) == any(replica.usable(self.now) for replica in self.registry.replicas)
        assert since is None or since <= self.now

    @invariant()
    def ejection_leaves_somebody(self) -> None:
        could = [r for r in self.registry.replicas if r.schedulable and not r.warming]
        assert not could or any(r.usable(self.now) for r in could)

    def teardown(self) -> None:
        for slot in self.opened:
            self.registry.release(slot, now=self.now)
        assert all(replica.held == 0 for replica in self.registry.replicas)


Registry.TestCase.settings = settings(QUICK, max_examples=40, stateful_step_count=40)
test_the_registry_keeps_its_books = Registry.TestCase
