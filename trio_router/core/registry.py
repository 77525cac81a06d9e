"""The replicas and what is known of each. The only place that changes a `Replica`; nothing here waits, so no lock.

Signals come in (probes, dials, ends of sessions), a slot goes out. Each method decides and changes in one go.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from .balancing import Policy, make_policy
from .config import ReplicaEndpoint, RouterConfig
from .health import ReplicaStatus, Thresholds
from .replica import FULL_SECONDS, AdminState, Replica, Report


@dataclass(eq=False, slots=True)
class Slot:
    """Room for one session on ``replica``, from being picked until `ReplicaRegistry.release`."""

    replica: Replica
    number: int
    released: bool = False


class ReplicaRegistry:
    """All replicas in the order of the configuration.

    ``config`` is a `RouterConfig` or the endpoints alone (then with the defaults). ``on_room`` is called, without
    waiting, whenever a slot may have become free: whoever keeps a line of waiters looks at it then.

    Raises:
        ValueError: without any replica.
    """

    def __init__(self, config: RouterConfig | Sequence[ReplicaEndpoint], *, rng: random.Random | None = None) -> None:
        if not isinstance(config, RouterConfig):
            if not config:
                raise ValueError("a registry needs at least one replica")
            config = RouterConfig(replicas=tuple(config))
        self.config = config
        self.thresholds = Thresholds(config.failure_threshold, config.recovery_threshold)
        default = None if config.dialect == "opaque" else 1
        self.replicas = tuple(
            Replica(endpoint, default_capacity=default, slow_start_seconds=config.slow_start_seconds)
            for endpoint in config.replicas
        )
        self.rng = rng or random.Random()
        self.on_room: Callable[[], None] = lambda: None
        self._policies: dict[str, Policy] = {config.balance: make_policy(config.balance)}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        states = ", ".join(f"{r.label}={r.health.status}:{r.taken}" for r in self.replicas)
        return f"<ReplicaRegistry {states}>"

    # What a session asks

    def candidates(self, *, now: float, preset: str | None = None, exclude: Collection[Replica] = ()) -> list[Replica]:
        """The available replicas of the best tier: primaries before others, and unsuspected before suspect ones."""
        fitting = [
            replica
            for replica in self.replicas
            if replica.available(now) and replica not in exclude and serves(replica, preset)
        ]
        if not fitting:
            return []
        best = min(_tier(replica) for replica in fitting)
        return [replica for replica in fitting if _tier(replica) == best]

    def select(self, *, now: float = 0.0, key: str | None = None, balance: str | None = None) -> Replica | None:
        """The replica that such a session would get, or None. Reserves nothing."""
        found = self.candidates(now=now)
        return self._policy(balance).choose(found, key=key, now=now, rng=self.rng) if found else None

    def reserve(
        self,
        *,
        now: float,
        key: str | None = None,
        preset: str | None = None,
        exclude: Collection[Replica] = (),
        prefer: str | None = None,
        balance: str | None = None,
    ) -> Slot | None:
        """Pick a replica and take a slot on it, or None when no fitting one is available.

        ``prefer`` is the URL of a replica that knows the client: taken if it is available, whatever the policy says.
        """
        known = [r for r in self.replicas if r.url == prefer and r not in exclude] if prefer else []
        if known and known[0].available(now) and serves(known[0], preset):
            return self._take(known[0], now)
        found = self.candidates(now=now, preset=preset, exclude=exclude)
        if not found:
            return None
        return self._take(self._policy(balance).choose(found, key=key, now=now, rng=self.rng), now)

    def room(self, now: float) -> bool:
        """Whether any replica is available."""
        return any(replica.available(now) for replica in self.replicas)

    def fits(self, *, preset: str | None = None, exclude: Collection[Replica] = ()) -> bool:
        """Whether waiting may help: a fitting replica is healthy, though it may be full, ejected or warming up now."""
        return any(r.promising and r not in exclude and serves(r, preset) for r in self.replicas)

    def serves_anywhere(self, preset: str | None) -> bool:
        """Whether any replica, in whatever state, is configured to serve this preset."""
        return any(serves(replica, preset) for replica in self.replicas)

    def next_change(self, now: float) -> float:
        """When a slot may become free by the passing of time alone, at the earliest; infinity if never."""
        times = [time for r in self.replicas for time in (r.full_until, r.ejected_until, r.grows_at(now)) if time > now]
        return min(times, default=math.inf)

    # What a session reports

    def release(self, slot: Slot, *, now: float, linger: bool = False) -> None:
        """Give the slot back, exactly once; a second call does nothing.

        ``linger``: the replica may still be busy with what the session had begun. If it reports on itself, the slot
        stays taken until a report that was asked for after now says otherwise.
        """
        if slot.released:
            return
        slot.released = True
        replica = slot.replica
        del replica.held_since[slot.number]
        replica.changed_at = now
        if linger and replica.report is not None and replica.report.busy is not None:
            replica.lingering_since.append(now)
        self.on_room()

    def session_opened(self, replica: Replica) -> None:
        """A session passed the commit point there: what failed to come so far is forgotten, but not who died behind it."""
        replica.sessions_total += 1
        replica.failures_in_a_row = 0
        if not replica.deaths_in_a_row:
            replica.ejections = 0

    def session_ended(self, replica: Replica) -> None:
        """A session that had opened there is over, and not because the replica failed: nothing is held against it."""
        replica.deaths_in_a_row = 0
        replica.ejections = 0

    def session_rejected(self, replica: Replica, *, now: float) -> None:
        """It is up but full: not asked again for a moment, unless it reports room."""
        replica.full_until = now + FULL_SECONDS

    def session_failed(
        self, replica: Replica, error: str, *, now: float, opened: bool = False, client: str | None = None
    ) -> bool:
        """A dial failed or the replica died under a session, ``opened``: behind its commit point.

        Returns whether its status changed.
        """
        replica.failures_total += 1
        if opened:
            replica.deaths_in_a_row += 1
        else:
            replica.failures_in_a_row += 1
        # Sessions may take no replica away that nobody can stand in for: only its own probes can say that it is down.
        last = not any(other.usable(now) for other in self.replicas if other is not replica)
        changed = replica.health.failed(self.thresholds, error, spare=last)
        most = self.config.ejection.failures
        # Deaths are counted on over an ejection: a replica that opens each session and drops it never stops failing.
        if replica.deaths_in_a_row % most == 0 if opened else replica.failures_in_a_row >= most:
            self._eject(replica, now)
        self._reprieve(now)
        return changed

    # SHIM
    def slot_connected(self, slot: Slot, *, now: float) -> None: ...
    def request_refused(self, replica: Replica, status: int, *, now: float, client: str) -> None: ...
    def request_accepted(self, replica: Replica, *, now: float) -> None: ...
    def suspect_dial(self, replica: Replica, error: str, *, now: float) -> None: ...

    # What the health loop reports

    def probe_succeeded(
        self,
        replica: Replica,
        *,
        latency_ms: float | None,
        wall: float,
        now: float,
        report: Report | None = None,
        remark: str | None = None,
    ) -> bool:
        """A good probe; ``report`` is what else the replica said of itself. Returns whether its status changed.

        ``remark``: why something in it could not be used. It is the replica's ``last_error`` then.
        """
        before = replica.health.status
        changed = replica.health.succeeded(self.thresholds, latency_ms=latency_ms, wall=wall, remark=remark)
        if changed:
            replica.recovered_at = now if before is ReplicaStatus.UNHEALTHY else None
        if report is not None:
            replica.settle(report)
        if report is None or report.busy is None:
            replica.forget_lingering(now)  # nobody will ever tell that they are free
        self._reprieve(now)
        self.on_room()
        return changed

    def probe_failed(self, replica: Replica, error: str, *, now: float) -> bool:
        """A bad probe. Returns whether its status changed."""
        changed = replica.health.failed(self.thresholds, error)
        self._reprieve(now)
        return changed

    def order(self, replica: Replica, state: AdminState, *, now: float) -> None:
        """What an operator wants of it."""
        replica.admin = state
        self._reprieve(now)
        self.on_room()

    def _policy(self, balance: str | None) -> Policy:
        name = balance or self.config.balance
        if name not in self._policies:
            self._policies[name] = make_policy(name)  # type: ignore[arg-type]  # checked by the configuration
        return self._policies[name]

    def _take(self, replica: Replica, now: float) -> Slot:
        slot = Slot(replica, next(self._numbers))
        replica.held_since[slot.number] = replica.changed_at = now
        return slot

    def _eject(self, replica: Replica, now: float) -> None:
        if not any(other.usable(now) for other in self.replicas if other is not replica):
            return  # the last one: a bad replica is better than none
        rule = self.config.ejection
        replica.ejections += 1
        replica.failures_in_a_row = 0
        replica.ejected_until = now + min(rule.base_seconds * replica.ejections, rule.max_seconds)

    def _reprieve(self, now: float) -> None:
        """Take ejected replicas back when no other is left."""
        if any(replica.usable(now) for replica in self.replicas):
            return
        ejected = [r for r in self.replicas if r.promising and not r.warming]
        for replica in ejected:
            replica.ejected_until = now
        if ejected:
            self.on_room()


def serves(replica: Replica, preset: str | None) -> bool:
    """Whether the replica's list of presets allows this one; no list, or no preset asked for, allows any."""
    return preset is None or not replica.endpoint.presets or preset in replica.endpoint.presets


def _tier(replica: Replica) -> tuple[bool, bool]:
    return (not replica.endpoint.primary, replica.health.suspect)
