"""The plots of a run, as SVG: bars with their spread, and lines for growth. Lower is better in all of
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers import COLORS, DIRECT, TITLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.stats import Summary


@dataclass(frozen=True)
class Bars:
    """One picture: a group of bars per scenario, a bar per peer."""

    file: str
    title: str
    figure: str
    scenarios: tuple[str, ...]
    log: bool = False


_PUSHED = ("push-2KiB", "push-16KiB", "push-64KiB", "push-256KiB", "push-4MiB", "browser")
BARS = (
    Bars("cpu-per-gib", "CPU seconds of the router per GiB", "cpu_s_per_gib", _PUSHED, log=True),
    Bars(
        "cpu-per-message",
        "CPU µs of the router per echoed message",
        "cpu_us_per_message",
        ("echo-1", "echo-64", "echo-512"),
        log=True,
    ),
    Bars(
        "opening",
        "CPU ms of the router per session opened and closed",
        "cpu_ms_per_session",
        ("churn",),
        log=True,
    ),
    Bars(
        "tls-cpu-per-gib",
        "TLS: CPU seconds of the router per GiB",
        "cpu_s_per_gib",
        ("tls-push-16KiB", "tls-push-64KiB", "tls-push-256KiB"),
    ),
    Bars("tls-cpu-per-message", "TLS: CPU µs of the router per echoed message", "cpu_us_per_message", ("tls-echo-64",)),
    Bars(
        "tls-opening", "TLS: CPU ms of the router per session opened and closed", "cpu_ms_per_session", ("tls-churn",)
    ),
    Bars(
        "fastvideo-cpu-per-gib",
        "a FastVideo session's traffic: CPU seconds of the router per GiB",
        "cpu_s_per_gib",
        ("fastvideo-push-64KiB",),
    ),
    Bars(
        "fastvideo-opening",
        "a FastVideo session's greeting: CPU ms of the router per session opened and closed",
        "cpu_ms_per_session",
        ("fastvideo-churn",),
    ),
    Bars("memory", "KiB of the router per idle session", "kib_per_session", ("idle-1000", "idle-8000")),
    Bars("gap", "paced video at 200 sessions: p99 gap, ms", "gap_p99_ms", ("paced",)),
    Bars("delay", "paced video at 200 sessions: p99 delay, µs", "delay_p99_us", ("paced",), log=True),
    Bars(
        "latency",
        "echo: p99 round trip, µs",
        "round_trip_p99_us",
        ("echo-1", "echo-64", "echo-512"),
        log=True,
    ),
)


def draw_all(summary: Summary, out: Path) -> list[Path]:
    """Write every plot there are figures for; the paths of those written."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    drawn = [path for bars in BARS if (path := _bars(bars, summary, out)) is not None]
    growth = _growth(summary, out)
    return [*drawn, growth] if growth is not None else drawn


def _figure() -> tuple[Figure, Axes]:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(8, 3.6), layout="constrained")


def _save(figure: Figure, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _bars(bars: Bars, summary: Summary, out: Path) -> Path | None:
    groups = [name for name in bars.scenarios if any(summary.get(name, peer, bars.figure) for peer in summary.peers)]
    peers = [peer for peer in summary.peers if any(summary.get(name, peer, bars.figure) for name in groups)]
    if not groups:
        return None
    figure, axes = _figure()
    width = 0.85 / len(peers)
    for offset, peer in enumerate(peers):
        _peer_bars(axes, bars, summary, groups, peer, (offset - (len(peers) - 1) / 2) * width, width)
    if bars.log:
        axes.set_yscale("log")
    axes.set_xticks(range(len(groups)), groups)
    axes.set_title(bars.title, loc="left")
    axes.legend(ncols=len(peers), fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    return _save(figure, out / f"{bars.file}.svg")


def _peer_bars(
    axes: Axes, bars: Bars, summary: Summary, groups: Sequence[str], peer: str, shift: float, width: float
) -> None:
    found = [(at, stat) for at, name in enumerate(groups) if (stat := summary.get(name, peer, bars.figure))]
    below = [stat.median - stat.low for _, stat in found]
    above = [stat.high - stat.median for _, stat in found]
    axes.bar(
        [at + shift for at, _ in found],
        [stat.median for _, stat in found],
        width,
        yerr=[below, above],
        error_kw={"elinewidth": 0.8},
        color=COLORS[peer],
        label=TITLES[peer],
    )


def _growth(summary: Summary, out: Path) -> Path | None:
    figure, axes = _figure()
    names = sorted((name for name in summary.scenarios if name.startswith("growth-")), key=_sessions)
    for peer in summary.peers:
        points = list(_points(summary, names, peer)) if peer != DIRECT else []
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=COLORS[peer], label=TITLES[peer])
    if not axes.lines:
        return None
    axes.set(xscale="log", yscale="log", xlabel="open sessions")
    axes.set_title("CPU µs of the router per message, ten in flight", loc="left")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _save(figure, out / "growth.svg")


def _sessions(name: str) -> int:
    return int(name.partition("-")[2])


def _points(summary: Summary, names: Sequence[str], peer: str) -> Iterator[tuple[int, float]]:
    for name in names:
        median = summary.median(name, peer, "cpu_us_per_message")
        if median is not None:
            yield _sessions(name), median
