"""What is counted of a day."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.balance.day import Day


@dataclass(frozen=True, slots=True)
class Figures:
    """One router's day. Shares from 0 to 1, times in seconds; ``busy`` is each replica's share of its time and slots."""

    router: str
    sessions: int
    refused: float
    timed_out: float
    broken: float
    wait_p50: float
    wait_p99: float
    wait_mean: float
    jain: float
    max_to_mean: float
    same_replica: float
    rejections: int
    longest_queue: int
    waits: tuple[float, ...]
    busy: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures(router: str, day: Day) -> Figures:
    """Sessions count as often as they came; who came back after a death counts again."""
    came = len(day.waits) + day.refused + day.timed_out
    waits = sorted(day.waits)
    busy = tuple(m.busy_seconds / (m.up_seconds * m.capacity) for m in day.machines if m.up_seconds)
    return Figures(
        router=router,
        sessions=came,
        refused=(day.refused + day.timed_out) / came,
        timed_out=day.timed_out / came,
        broken=day.broken / came,
        wait_p50=percentile(waits, 50),
        wait_p99=percentile(waits, 99),
        wait_mean=sum(waits) / max(1, len(waits)),
        jain=jain(busy),
        max_to_mean=max(busy) * len(busy) / sum(busy) if sum(busy) else 0.0,
        same_replica=day.returned_home / max(1, day.returned),
        rejections=day.rejections,
        longest_queue=day.longest_queue,
        waits=tuple(round(wait, 3) for wait in waits),
        busy=tuple(round(share, 4) for share in busy),
    )


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest value that at least so many percent are not above; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-percent * len(ordered) // 100) - 1))]


def jain(shares: tuple[float, ...]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has it all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
