"""Two runs side by side: each figure of one peer, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.report import TABLES
from bench.stats import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator


def compare(before: dict[str, Any], after: dict[str, Any], peer: str) -> Iterator[str]:
    """Lines of a Markdown table; a change within the spread of both runs is marked as noise."""
    old, new = Summary(before), Summary(after)
    yield "| figure | scenario | before | after | ratio | |"
    yield "|---|---|---|---|---|---|"
    for table in TABLES:
        for scenario in new.scenarios:
            a, b = old.get(scenario, peer, table.figure), new.get(scenario, peer, table.figure)
            if a is None or b is None or (table.only and not scenario.startswith(table.only)):
                continue
            overlap = a.low <= b.high and b.low <= a.high
            ratio = f"{b.median / a.median:.3f}" if a.median else ""
            note = "within the spread" if overlap and a.count > 1 and b.count > 1 else ""
            yield f"| {table.figure} | {scenario} | {a.median:.4g} | {b.median:.4g} | {ratio} | {note} |"
