"""From samples to medians: figures by scenario, peer and name, over the rounds of a run."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bench.peers import DIRECT, TITLES


@dataclass(frozen=True)
class Stat:
    """What was measured: median, smallest, largest, number of samples; and the samples by round."""

    median: float
    low: float
    high: float
    count: int
    rounds: dict[int, float] = field(default_factory=dict)


class Summary:
    """All figures of a run; samples that failed are kept apart and never enter a median."""

    def __init__(self, run: dict[str, Any]) -> None:
        values: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.failures: dict[tuple[str, str], str] = {}
        self.scenarios: list[str] = []
        present = {sample["peer"] for sample in run["samples"]}
        self.peers = [name for name in TITLES if name != DIRECT and name in present]
        self.peers += [DIRECT] if DIRECT in present else []
        for sample in run["samples"]:
            if "failed" in sample:
                self.failures[sample["scenario"], sample["peer"]] = sample["failed"]
                continue
            for name, figures in sample["figures"].items():
                if name not in self.scenarios:
                    self.scenarios.append(name)
                for figure, value in figures.items():
                    values[name, sample["peer"], figure][sample["round"]].append(value)
        self._stats = {key: _stat(by_round) for key, by_round in values.items()}

    def get(self, scenario: str, peer: str, figure: str) -> Stat | None:
        return self._stats.get((scenario, peer, figure))

    def median(self, scenario: str, peer: str, figure: str) -> float | None:
        stat = self.get(scenario, peer, figure)
        return stat.median if stat else None


def _stat(by_round: dict[int, list[float]]) -> Stat:
    flat = [value for values in by_round.values() for value in values]
    rounds = {number: statistics.median(values) for number, values in by_round.items()}
    return Stat(statistics.median(flat), min(flat), max(flat), len(flat), rounds)


def paired_ratios(ours: Stat, other: Stat) -> list[float]:
    """Ours divided by the other's, round by round: what is compared was measured minutes apart at most."""
    both = ours.rounds.keys() & other.rounds.keys()
    return [ours.rounds[number] / other.rounds[number] for number in sorted(both) if other.rounds[number]]
