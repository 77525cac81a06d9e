"""The table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.balance.figures import Figures
from bench.balance.workload import Workload

COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("refused", lambda f: f"{f.refused:.2%}"),
    ("of these waited in vain", lambda f: f"{f.timed_out:.2%}"),
    ("wait p50", lambda f: f"{f.wait_p50:.1f} s"),
    ("wait p99", lambda f: f"{f.wait_p99:.1f} s"),
    ("evenness (Jain)", lambda f: f"{f.jain:.3f}"),
    ("busiest / mean", lambda f: f"{f.max_to_mean:.2f}"),
    ("same replica again", lambda f: f"{f.same_replica:.0%}"),
    ("unseen rejections", lambda f: f"{f.rejections}"),
    ("longest line", lambda f: f"{f.longest_queue}"),
)


def table(workload: Workload, found: list[Figures]) -> Iterator[str]:
    """Markdown."""
    slots = sum(workload.capacities)
    yield f"{len(workload.arrivals)} sessions, {len(workload.capacities)} replicas with {slots} slots, "
    yield f"{len(workload.outages)} outages, a fifth of the replicas from noon on; seed {workload.seed}."
    yield ""
    yield "| | " + " | ".join(name for name, _ in COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for figures in found:
        yield f"| {figures.router} | " + " | ".join(cell(figures) for _, cell in COLUMNS) + " |"
