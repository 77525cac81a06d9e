"""One replica: what was configured, what was observed, and how many of its slots are taken.

A slot is *held* by a session of ours from the moment it is picked; *lingering* after the client left while the replica
may still be busy with what it had begun; taken by *others* who opened sessions there directly. The last two come from
the replica's own reports, which lag: a report is compared only with what was so when it was asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from .config import ReplicaEndpoint
from .health import ReplicaHealth, ReplicaStatus

#: A replica that rejected a session is not asked again for so long, unless it reports room before. It is full, not sick.
FULL_SECONDS = 2.0
#: A lingering slot whose replica stops reporting is given up after so long: longer than any segment takes.
LINGER_SECONDS = 120.0


class AdminState(StrEnum):
    """What operators ordered, beside what was observed."""

    READY = "ready"
    DRAIN = "drain"  # keeps its sessions, gets no new ones
    MAINT = "maint"  # not probed either


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica said of itself, asked for at ``asked_at``. None: it did not say."""

    asked_at: float
    busy: int | None = None
    total: int | None = None
    warming: bool = False


@dataclass(eq=False, slots=True)
class Replica:
    """The registry's record of one replica. Only the registry changes it; everybody may read it."""

    endpoint: ReplicaEndpoint
    default_capacity: int | None = 1  # for ``max_sessions: auto`` while nothing is reported; None: without a limit
    slow_start_seconds: float = 0.0
    health: ReplicaHealth = field(default_factory=ReplicaHealth)
    admin: AdminState = AdminState.READY
    held_since: dict[int, float] = field(default_factory=dict)  # slot number -> when it was picked
    lingering_since: list[float] = field(default_factory=list)
    others: int = 0
    report: Report | None = None
    full_until: float = 0.0
    ejected_until: float = 0.0
    ejections: int = 0
    failures_in_a_row: int = 0  # sessions that did not come to be (no probes)
    deaths_in_a_row: int = 0  # sessions that it opened and failed
    changed_at: float = -math.inf  # when one of our slots here was taken or given back last
    recovered_at: float | None = None
    sessions_total: int = 0
    failures_total: int = 0

    @property
    def url(self) -> str:
        """As configured."""
        return self.endpoint.url

    @property
    def label(self) -> str:
        """What logs and status call it."""
        return self.endpoint.label

    @property
    def held(self) -> int:
        """Sessions of ours that hold a slot here."""
        return len(self.held_since)

    @property
    def taken(self) -> int:
        """Slots that cannot be given away, whoever has them."""
        return len(self.held_since) + len(self.lingering_since) + self.others

    @property
    def warming(self) -> bool:
        """It says of itself that it is not ready yet."""
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

    def free(self, now: float) -> bool:
        """Whether it has room for one more session, as far as anybody knows."""
        if now < self.full_until:
            return False
        capacity = self.capacity(now)
        return capacity is None or self.taken < capacity

    @property
    def promising(self) -> bool:
        """Healthy, and ordered to be ready: if sessions are not sent here now, they will be."""
        return self.health.status is ReplicaStatus.HEALTHY and self.admin is AdminState.READY

    def usable(self, now: float) -> bool:
        """Whether sessions are sent here at all: promising, not ejected, not warming up."""
        return self.promising and now >= self.ejected_until and not self.warming

    def available(self, now: float) -> bool:
        """Whether a session can be sent here now. Spelt once; everybody asks this."""
        return self.usable(now) and self.free(now)

    def wants_probe(self, now: float) -> bool:
        """Whether a probe sooner than the usual interval would settle whose slots are free, or whether it still lives."""
        return bool(self.lingering_since) or now < self.full_until or self.health.suspect or self.doubtful

    @property
    def doubtful(self) -> bool:
        """Those whom it reported as others' sessions may be ours: one began or ended while it was being asked."""
        return self.others > 0 and self.report is not None and self.changed_at >= self.report.asked_at

    def settle(self, report: Report) -> None:
        """Take in what the replica said. What happened here since ``asked_at`` it could not know yet."""
        self.report = report
        if report.busy is None:
            self.others = 0
            return
        asked = report.asked_at
        ours = sum(since <= asked for since in self.held_since.values())
        unexplained = max(0, report.busy - ours)
        old = [since for since in self.lingering_since if since <= asked]
        young = [since for since in self.lingering_since if since > asked]
        still = min(len(old), unexplained)
        self.lingering_since = old[len(old) - still :] + young
        self.others = unexplained - still
        if 0 < self.full_until <= asked + FULL_SECONDS:
            # The rejection came before this report was asked for: now the report is the better witness.
            self.full_until = 0.0

    def forget_lingering(self, now: float) -> None:
        """Give up slots that nobody reports on any more."""
        self.lingering_since = [since for since in self.lingering_since if now - since < LINGER_SECONDS]
