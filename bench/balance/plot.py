"""One picture of a day: who was refused, how long the others waited, how evenly the replicas worked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.balance.figures import Figures
from bench.balance.workload import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_day(workload: Workload, found: list[Figures], path: Path) -> Path:
    """Three panels side by side, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "balance", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    figure, (refused, waits, busy) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    colors = {each.router: f"C{index}" for index, each in enumerate(found)}
    _refused(refused, found, colors)
    _waits(waits, found, colors)
    _busy(busy, found, colors)
    handles = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=len(found), frameon=False, loc="outside lower center")
    slots = sum(workload.capacities)
    figure.suptitle(
        f"A day of {len(workload.arrivals)} sessions on {len(workload.capacities)} replicas with {slots} slots, "
        f"{len(workload.outages)} outages (simulated, seed {workload.seed})"
    )
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _refused(axes: Axes, found: list[Figures], colors: dict[str, str]) -> None:
    names = [each.router for each in found]
    bars = axes.barh(names, [100 * each.refused for each in found], color=[colors[name] for name in names])
    axes.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 115), xlabel="% of the sessions that came")
    axes.set_title("refused, or waited in vain", loc="left")


def _waits(axes: Axes, found: list[Figures], colors: dict[str, str]) -> None:
    for each in found:
        count = len(each.waits)
        shares = [100 * (1 - index / count) for index in range(count)]
        axes.step(each.waits, shares, where="post", color=colors[each.router])
    axes.set(xlabel="seconds", ylabel="% that waited longer", yscale="log", ylim=(0.05, 100))
    axes.set_title("time in the line, of those who were served", loc="left")


def _busy(axes: Axes, found: list[Figures], colors: dict[str, str]) -> None:
    for each in found:
        axes.plot([100 * share for share in sorted(each.busy, reverse=True)], color=colors[each.router])
    axes.set(xlabel="replicas, busiest first", ylabel="% of its slots and time in use", ylim=(0, 100))
    axes.set_title("evenness", loc="left")
