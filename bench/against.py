"""Two commits of ours in one run, interleaved: the section "Before/after".

The ratio of a round is after divided by before, both measured within seconds of each other; a row shows the
median of the rounds and their spread. Above 1 the newer commit costs more. "worse" and "better" need more than
3 % and all rounds on the same side, and at least three rounds.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.peers import BEFORE, OURS
from bench.stats import Summary, paired_ratios

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Each figure, and the beginnings of the scenarios that it is shown for; all, when empty.
COSTS: dict[str, tuple[str, ...]] = {
    "cpu_us_per_message": ("echo", "growth", "tls-echo"),
    "cpu_s_per_gib": ("push", "browser", "paced", "tls-push", "fastvideo-push"),
    "cpu_ms_per_session": (),
    "opening_cpu_ms": (),
    "kib_per_session": (),
    "round_trip_p99_us": ("echo", "tls-echo"),
    "gap_p99_ms": (),
    "delay_p99_us": (),
    "beside_delay_p99_us": (),
}
_MARGIN = 0.03
_ROUNDS_TO_JUDGE = 3


def before_after(summary: Summary) -> Iterator[str]:
    """Lines of Markdown; none when only one commit was measured."""
    found = ((name, figure) for name in summary.scenarios for figure, only in COSTS.items() if _shown(name, only))
    rows = [row for name, figure in found if (row := _row(summary, name, figure))]
    if not rows:
        return
    yield "## Before/after (after divided by before: median of the rounds, and their spread)\n"
    yield "| scenario | figure | before | after | ratio | rounds | |"
    yield "|---|---|---|---|---|---|---|"
    yield from rows
    yield ""


def _shown(scenario: str, only: tuple[str, ...]) -> bool:
    return not only or scenario.startswith(only)


def _row(summary: Summary, scenario: str, figure: str) -> str | None:
    before, after = summary.get(scenario, BEFORE, figure), summary.get(scenario, OURS, figure)
    ratios = paired_ratios(after, before) if before and after else []
    if before is None or after is None or not ratios:
        return None
    cells = (
        scenario,
        figure,
        f"{before.median:.4g}",
        f"{after.median:.4g}",
        f"{statistics.median(ratios):.3f}",
        f"({min(ratios):.3f} - {max(ratios):.3f})",
        _verdict(ratios),
    )
    return f"| {' | '.join(cells)} |"


def _verdict(ratios: Sequence[float]) -> str:
    if len(ratios) < _ROUNDS_TO_JUDGE:
        return ""
    ratio = statistics.median(ratios)
    if ratio > 1 + _MARGIN and min(ratios) > 1:
        return "worse"
    return "better" if ratio < 1 - _MARGIN and max(ratios) < 1 else ""
