"""What probes say about a replica, as one table of transitions (the counterpart that asks is `trio_router.replicas.probes`).

```
UNKNOWN  --first success-->  HEALTHY  --failure_threshold failures in a row-->  UNHEALTHY
UNKNOWN  --failure_threshold failures-->  UNHEALTHY  --recovery_threshold successes in a row-->  HEALTHY
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ReplicaStatus(StrEnum):
    """What was observed of a replica. It gets no session before its first good probe."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many in a row it takes to change a status; both at least 1."""

    failure: int = 3
    recovery: int = 2


#: status -> (where enough successes in a row lead, where enough failures in a row lead)
TRANSITIONS: Final = {
    ReplicaStatus.UNKNOWN: (ReplicaStatus.HEALTHY, ReplicaStatus.UNHEALTHY),
    ReplicaStatus.HEALTHY: (ReplicaStatus.HEALTHY, ReplicaStatus.UNHEALTHY),
    ReplicaStatus.UNHEALTHY: (ReplicaStatus.HEALTHY, ReplicaStatus.UNHEALTHY),
}


@dataclass(slots=True)
class ReplicaHealth:
    """What is known of one replica's health. ``last_ok_at`` is Unix seconds, as in FastVideo's router."""

    status: ReplicaStatus = ReplicaStatus.UNKNOWN
    consecutive_failures: int = 0
    consecutive_successes: int = 0
    last_ok_at: float | None = None
    last_latency_ms: float | None = None
    last_error: str | None = None

    def succeeded(
        self, thresholds: Thresholds, *, latency_ms: float | None, wall: float, remark: str | None = None
    ) -> bool:
        """A good probe at ``wall`` (Unix seconds). Returns whether the status changed.

        ``remark``: what in it could not be used all the same; kept as the last error.
        """
        self.consecutive_failures = 0
        self.consecutive_successes += 1
        self.last_ok_at = wall
        self.last_latency_ms = latency_ms
        self.last_error = remark or self.last_error
        # One is enough at the start: waiting for more would only delay the first session (Envoy does the same).
        needed = 1 if self.status is ReplicaStatus.UNKNOWN else thresholds.recovery
        return self._move(0) if self.consecutive_successes >= needed else False

    def failed(self, thresholds: Thresholds, error: str, *, spare: bool = False, times: int = 1) -> bool:
        """A bad probe, a failed dial, or a death under a session. Returns whether the status changed.

        ``spare``: count it, but leave a change of status to somebody with better evidence. ``times``: how many failures
        it stands for; 0 is one that is told, but counts for nothing.
        """
        self.last_error = error
        if not times:
            return False
        self.consecutive_successes = 0
        self.consecutive_failures += times
        return self._move(1) if self.consecutive_failures >= thresholds.failure and not spare else False

    @property
    def degraded(self) -> bool:
        """It failed since it last succeeded, but not often enough to be unhealthy: others are chosen before it."""
        return self.status is ReplicaStatus.HEALTHY and self.consecutive_failures > 0

    def _move(self, column: int) -> bool:
        before = self.status
        self.status = TRANSITIONS[before][column]
        return self.status is not before
