"""The targets, as ratios computed within one run: median of ours divided by median of theirs.

A target is judged by the median; the spread beside it is that of the ratios of the single rounds, because a
machine that others use too makes single rounds swing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers import OURS, PROXIES, TITLES
from bench.stats import Summary, paired_ratios

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MEDIA = ("push-16KiB", "push-64KiB", "push-256KiB", "push-4MiB")
_IDLE_LIMIT_KIB = 14.0


@dataclass(frozen=True)
class Target:
    """One row: `value` at most `limit`; None when a side was not measured."""

    name: str
    against: str
    limit: float
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        return "pass" if self.value <= self.limit else "MISS"


def evaluate(summary: Summary) -> list[Target]:
    """All targets, in the order in which they were set."""
    return [
        *_media(summary),
        _ratio(summary, "pushed 2 KiB", "push-2KiB", "cpu_s_per_gib", "haproxy", 1.0),
        *_echo(summary),
        _ratio(summary, "browser-like client", "browser", "cpu_s_per_gib", "seed", 0.05),
        _ratio(summary, "opening a session", "churn", "cpu_ms_per_session", "seed", 0.7),
        *_idle(summary),
        _ratio(summary, "p99 gap of the paced mix", "paced", "gap_p99_ms", "haproxy", 1.2),
        _ratio(summary, "p99 delay of the paced mix (beside the aims)", "paced", "delay_p99_us", "haproxy", 1.2),
        *_growth(summary),
    ]


def _ratio(summary: Summary, name: str, scenario: str, figure: str, against: str, limit: float) -> Target:
    ours, other = summary.get(scenario, OURS, figure), summary.get(scenario, against, figure)
    if ours is None or other is None or not other.median:
        return Target(name, TITLES[against], limit, None)
    paired = paired_ratios(ours, other) or [ours.median / other.median]
    return Target(name, TITLES[against], limit, ours.median / other.median, min(paired), max(paired))


def _best(summary: Summary, scenario: str, figure: str, among: Sequence[str]) -> str | None:
    found = [(median, peer) for peer in among if (median := summary.median(scenario, peer, figure)) is not None]
    return min(found)[1] if found else None


def _media(summary: Summary) -> Iterator[Target]:
    rows = []
    for scenario in _MEDIA:
        best = _best(summary, scenario, "cpu_s_per_gib", PROXIES)
        if best is not None:
            name = f"pushed {scenario.removeprefix('push-')}, against the best proxy"
            rows.append(_ratio(summary, name, scenario, "cpu_s_per_gib", best, 1.0))
    yield from rows
    values = [row.value for row in rows if row.value is not None]
    yield Target("pushed 16 KiB to 4 MiB, the worst of them", "best proxy", 1.15, max(values, default=None))


def _echo(summary: Summary) -> Iterator[Target]:
    for sessions in (64, 512):
        for against, limit in (("haproxy", 1.5), ("seed", 0.5)):
            name = f"echo 128 B, {sessions} sessions"
            yield _ratio(summary, name, f"echo-{sessions}", "cpu_us_per_message", against, limit)


def _idle(summary: Summary) -> Iterator[Target]:
    for sessions in (1000, 8000):
        scenario, figure = f"idle-{sessions}", "kib_per_session"
        stat = summary.get(scenario, OURS, figure)
        name = f"memory per idle session at {sessions:,}"
        if stat is None:
            yield Target(f"{name}, KiB", "a number", _IDLE_LIMIT_KIB, None)
            continue
        yield Target(f"{name}, KiB", "a number", _IDLE_LIMIT_KIB, stat.median, stat.low, stat.high)
        for against in ("nginx", "envoy"):
            yield _ratio(summary, name, scenario, figure, against, 1.0)


def _growth(summary: Summary) -> Iterator[Target]:
    few = summary.get("growth-10", OURS, "cpu_us_per_message")
    many = summary.get("growth-8000", OURS, "cpu_us_per_message")
    name = "cost per message at 8,000 sessions"
    if few is None or many is None:
        yield Target(name, "ours at 10", 1.3, None)
        return
    paired = paired_ratios(many, few)
    yield Target(name, "ours at 10", 1.3, many.median / few.median, min(paired), max(paired))
