"""One replica: what was configured, what was observed, and how many of its slots are taken.

A slot is *held* by a session of ours from the moment it is picked, and *connected* once the replica can know of it. It is
*lingering* after the client left while the replica may still be busy with it; taken by *others* if clients opened
sessions there directly. The last two come from the replica's own reports, which lag: a report is compared only with
the state at the time when it was requested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from trio_router.core.config import ReplicaEndpoint
from trio_router.core.replicas.failures import FailureStreak
from trio_router.core.replicas.health import ReplicaHealth, ReplicaStatus

#: A replica that rejected a session is not chosen for this long, unless it reports capacity. It is full, not unhealthy.
FULL_SECONDS = 2.0
#: A lingering slot of a replica that stops reporting is freed after this many seconds: longer than any segment takes.
LINGER_SECONDS = 120.0


class AdminState(StrEnum):
    """What operators ordered, beside what was observed."""

    READY = "ready"
    DRAIN = "drain"  # keeps its sessions, gets no new ones
    MAINT = "maint"  # not probed either


@dataclass(frozen=True, slots=True)
class Report:
    """A replica's report on itself, requested at ``asked_at``. None: not reported."""

    asked_at: float
    busy: int | None = None
    total: int | None = None
    warming: bool = False


@dataclass(frozen=True, slots=True)
class Lingering:
    """A slot whose client left at ``since`` while the replica may be busy with it; ``key`` is the client's affinity key.

    ``until`` is when it is free again, where the replica reports nothing; None: when a report says so.
    """

    since: float
    key: str | None = None
    until: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.until is not None and now >= self.until


@dataclass(eq=False, slots=True)
class Replica:
    """The registry's record of one replica. Only the registry changes it; all may read it."""

    endpoint: ReplicaEndpoint
    default_capacity: int | None = 1  # for ``max_sessions: auto`` while nothing is reported; None: without a limit
    slow_start_seconds: float = 0.0
    health: ReplicaHealth = field(default_factory=ReplicaHealth)
    admin: AdminState = AdminState.READY
    held_since: dict[int, float] = field(default_factory=dict)  # slot number -> when it was picked
    connected_since: dict[int, float] = field(default_factory=dict)  # slot number -> when its connection stood
    lingering: list[Lingering] = field(default_factory=list)
    first_over_at: float = math.inf  # when the first of them becomes free by the passing of time alone
    others: int = 0
    report: Report | None = None
    full_until: float = 0.0
    ejected_until: float = 0.0
    ejections: int = 0
    failures: FailureStreak = field(default_factory=FailureStreak)  # sessions that failed before their commit point
    deaths: FailureStreak = field(default_factory=FailureStreak)  # sessions that failed after it
    doubts: FailureStreak = field(default_factory=FailureStreak)  # both, since the last good probe
    lost_after_commit: bool = False  # a session failed after its commit point, and none has ended well since
    suspected: bool = False  # a dial timed out, and no probe was good since
    refusing: bool = False  # it answers upgrades with a 4xx that other replicas do not give
    refused_clients: tuple[str, ...] = ()  # the last few different ones in a row that it answered so
    refused_since: float = math.inf
    accepted_at: float = -math.inf  # when it accepted an upgrade last
    removing: bool = False  # not configured any more; listed until its last session ends
    usable_until: float = -math.inf  # when it was known to be usable last
    changed_at: float = -math.inf  # when one of our slots here was taken or given back last
    recovered_at: float | None = None
    sessions_total: int = 0
    failures_total: int = 0

    @property
    def url(self) -> str:
        """The URL as configured."""
        return self.endpoint.url

    @property
    def label(self) -> str:
        """Its name in logs and status."""
        return self.endpoint.label

    @property
    def primary(self) -> bool:
        """Whether it is in the preferred tier."""
        return self.endpoint.primary

    @property
    def is_healthy(self) -> bool:
        """Whether its probes are good; it may still be full, or ordered not to serve."""
        return self.health.status is ReplicaStatus.HEALTHY

    @property
    def lingering_since(self) -> list[float]:
        """When the client of each lingering slot left, oldest first."""
        return [slot.since for slot in self.lingering]

    @property
    def held(self) -> int:
        """Sessions of ours that hold a slot here."""
        return len(self.held_since)

    @property
    def taken(self) -> int:
        """Slots that cannot be assigned: held, lingering, or used by others."""
        return len(self.held_since) + len(self.lingering) + self.others

    @property
    def warming(self) -> bool:
        """It reports that it is not ready yet."""
        return self.report is not None and self.report.warming

    @property
    def full_capacity(self) -> int | None:
        """Slots in all, without slow start; None: without a limit."""
        configured = self.endpoint.max_sessions
        if configured != "auto":
            return configured
        if self.report is not None and self.report.total is not None:
            return self.report.total
        return self.default_capacity

    def capacity(self, now: float) -> int | None:
        """Slots in all at ``now``: while a recovery is young, only a part of them (but one at least)."""
        full = self.full_capacity
        if full is None or self.recovered_at is None or self.slow_start_seconds <= 0:
            return full
        share = (now - self.recovered_at) / self.slow_start_seconds
        return full if share >= 1 else min(full, max(1, int(full * share + 1e-9)))  # a step begins at `grows_at`

    def grows_at(self, now: float) -> float:
        """When a recovery will have given back one slot more; infinity if it has given back all."""
        full, has = self.full_capacity, self.capacity(now)
        if full is None or has is None or has >= full or self.recovered_at is None:
            return math.inf
        return self.recovered_at + self.slow_start_seconds * (has + 1) / full

    def free(self, now: float, *, key: str | None = None) -> bool:
        """Whether it has capacity for one more session, as far as is known.

        The lingering slots of the client with this ``key`` count as free for it.
        """
        if now < self.full_until:
            return False
        capacity = self.capacity(now)
        if capacity is None or self.taken < capacity:
            return True
        open_to_it = sum(slot.is_over(now) or (key is not None and slot.key == key) for slot in self.lingering)
        return self.taken - open_to_it < capacity

    @property
    def expected(self) -> bool:
        """Whether sessions may be sent here at some time, whatever its health: no operator ordered it away."""
        return self.admin is AdminState.READY and not self.removing

    @property
    def schedulable(self) -> bool:
        """Healthy, and ordered to be ready: if sessions are not sent here now, they will be."""
        return self.is_healthy and self.expected

    @property
    def degraded(self) -> bool:
        """It failed something since its last good probe: others are tried before it, and a probe is wanted."""
        return self.health.degraded or self.suspected or bool(self.doubts)

    @property
    def tier(self) -> tuple[bool, bool, bool]:
        """Replicas of the lowest tier are tried first: one that refuses every upgrade last, primaries before others."""
        return (self.refusing, not self.primary, self.degraded)

    def usable(self, now: float) -> bool:
        """Whether sessions are sent here at all: schedulable, not ejected, not warming up."""
        return self.schedulable and now >= self.ejected_until and not self.warming

    def available(self, now: float, *, key: str | None = None) -> bool:
        """Whether a session (of the client with this key) can be sent here now. The only definition of it."""
        return self.usable(now) and self.free(now, key=key)

    def wants_probe(self, now: float) -> bool:
        """Whether an early probe would determine which slots are free, or whether it is still alive."""
        return (
            any(slot.until is None for slot in self.lingering)
            or now < self.full_until
            or self.degraded
            or self.report_stale
        )

    @property
    def report_stale(self) -> bool:
        """Sessions that it reported as others' may be ours: one began or ended while the report was being requested."""
        return self.others > 0 and self.report is not None and self.changed_at >= self.report.asked_at

    def apply_report(self, report: Report) -> None:
        """Apply a report. It does not know what happened here since its ``asked_at``."""
        self.report = report
        if report.busy is None:
            self.others = 0
            return
        asked = report.asked_at
        # A slot that was picked but not connected is not among the busy ones that it counted.
        ours = sum(since <= asked for since in self.connected_since.values())
        unexplained = max(0, report.busy - ours)
        old = [slot for slot in self.lingering if slot.since <= asked]
        young = [slot for slot in self.lingering if slot.since > asked]
        still = min(len(old), unexplained)
        self.lingering = old[len(old) - still :] + young
        self.others = unexplained - still
        if 0 < self.full_until <= asked + FULL_SECONDS:
            # The rejection came before this report was requested: the report is newer.
            self.full_until = 0.0

    @property
    def lingers_until(self) -> list[float]:
        """When lingering slots become free by the passing of time alone."""
        return [slot.until for slot in self.lingering if slot.until is not None]

    def forget_over(self, now: float) -> None:
        """Give up slots whose time has passed."""
        if now >= self.first_over_at:
            self.lingering = [slot for slot in self.lingering if not slot.is_over(now)]
            self.first_over_at = min(self.lingers_until, default=math.inf)

    def forget_lingering(self, now: float) -> None:
        """Free lingering slots on which the replica no longer reports, or whose time has passed."""
        self.lingering = [
            slot for slot in self.lingering if now - slot.since < LINGER_SECONDS and not slot.is_over(now)
        ]
