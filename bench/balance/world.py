"""What the replicas really are. A router learns of it only by dialling, by probes, and by sessions that die."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.balance.workload import Workload


@dataclass(slots=True)
class Session:
    """One session. ``remaining``: seconds that it still wants to be served."""

    number: int
    user: int
    came_at: float
    remaining: float
    began_at: float = 0.0
    replica: int | None = None


@dataclass(slots=True)
class Machine:
    """One replica. ``busy`` are its sessions, ``lingering`` those whose client left while it was generating."""

    capacity: int
    alive: bool = False
    busy: set[int] = field(default_factory=set)
    lingering: int = 0
    busy_seconds: float = 0.0
    up_seconds: float = 0.0
    up_since: float = 0.0

    @property
    def accepts(self) -> bool:
        """A free GPU. One that is still generating for somebody who left is none."""
        return self.alive and len(self.busy) + self.lingering < self.capacity

    def start(self, now: float) -> None:
        self.alive, self.up_since = True, now

    def stop(self, now: float) -> None:
        if self.alive:
            self.up_seconds += now - self.up_since
        self.alive = False
        self.lingering = 0


def machines(workload: Workload) -> list[Machine]:
    """As they are before the day begins: all off."""
    return [Machine(capacity) for capacity in workload.capacities]
