"""The measured window: CPU time and counters read in the same moment, and percentiles of times."""

from __future__ import annotations

import os
import time
from array import array
from typing import TYPE_CHECKING, Any

from bench import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_MAX_ERRORS = 5


class Times:
    """Durations in seconds, given back as percentiles in microseconds; `record` is one list append."""

    def __init__(self) -> None:
        self._values = array("d")
        self.record: Callable[[float], None] = self._values.append

    def clear(self) -> None:
        del self._values[:]

    def summary(self) -> dict[str, float]:
        return percentiles(self._values)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Nearest-rank percentiles in microseconds, with the number of values; empty when there is none."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    found = {name: ordered[min(last, int(q * len(ordered)))] for name, q in QUANTILES.items()}
    return {
        **{k: round(v * 1e6, 2) for k, v in found.items()},
        "max": round(ordered[-1] * 1e6, 2),
        "n": last + 1,
    }


class Errors:
    """What went wrong, counted, the first few in words."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < _MAX_ERRORS:
            self.first.append(text)


class Window:
    """From `__init__` to `close()`: wall time, CPU time of all watched processes and of this one."""

    def __init__(self, pids: dict[str, list[int]], counters: Callable[[], dict[str, int]]) -> None:
        self._pids = {**pids, "client": [os.getpid()]}
        self._counters = counters
        self._busy = proc.machine_busy()
        self._at, self._cpu, self._counts = self._read()

    def _read(self) -> tuple[float, dict[str, proc.Cpu], dict[str, int]]:
        cpu = {name: proc.cpu_of(pids) for name, pids in self._pids.items()}
        return time.perf_counter(), cpu, self._counters()

    def close(self) -> dict[str, Any]:
        at, cpu, counts = self._read()
        used = {name: cpu[name] - self._cpu[name] for name in cpu}
        others = proc.machine_busy() - self._busy - sum(each.total for each in used.values())
        return {
            "seconds": round(at - self._at, 6),
            "cpu": {name: each.as_dict() for name, each in used.items()},
            "others_cpu": round(max(0.0, others), 3),
            **{name: counts[name] - self._counts[name] for name in counts},
        }
