"""Two commits of ours in one run, interleaved: the table "before and after".

The ratio of a round is after divided by before, both measured within seconds; the row shows the median of the rounds
and their spread. Above 1 the newer commit costs more. The order of a round is turned round in every second one.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.peers import BEFORE, OURS
from bench.stats import Summary, paired_ratios

if TYPE_CHECKING:
    from collections.abc import Iterator

COSTS = (
    "cpu_us_per_message",
    "cpu_s_per_gib",
    "cpu_ms_per_session",
    "opening_cpu_ms",
    "kib_per_session",
    "gap_p99_ms",
    "delay_p99_us",
    "memory_growth_mib",
)
WORSE = 1.03


def before_after(summary: Summary) -> Iterator[str]:
    """Lines of Markdown; none when only one commit was measured."""
    rows = [row for name in summary.scenarios for figure in COSTS if (row := _row(summary, name, figure))]
    if not rows:
        return
    yield "## Before and after (median of the rounds' ratios, after divided by before)\n"
    yield "| scenario | figure | before | after | ratio | rounds | |"
    yield "|---|---|---|---|---|---|---|"
    yield from rows
    yield ""


def _row(summary: Summary, scenario: str, figure: str) -> str | None:
    before, after = summary.get(scenario, BEFORE, figure), summary.get(scenario, OURS, figure)
    if before is None or after is None:
        return None
    ratios = paired_ratios(after, before)
    if not ratios:
        return None
    ratio = statistics.median(ratios)
    note = "worse" if ratio > WORSE else ""
    spread = f"({min(ratios):.3f} - {max(ratios):.3f})"
    return f"| {scenario} | {figure} | {before.median:.4g} | {after.median:.4g} | {ratio:.3f} | {spread} | {note} |"
