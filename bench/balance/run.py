"""The same day through every router."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from bench.balance.day import Day
from bench.balance.figures import Figures, figures
from bench.balance.routers import Ours, Router, Seed
from bench.balance.workload import Workload, draw
from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.config.blocks import Balance

SEED = "seed"
POLICIES: tuple[Balance, ...] = get_args(Balance)
ROUTERS = (*POLICIES, SEED)


def config_for(workload: Workload) -> RouterConfig:
    """The defaults of the router: a line of 100, for 300 s; replicas report their slots."""
    return RouterConfig(replicas=tuple(ReplicaEndpoint(f"http://r{i}") for i in range(len(workload.capacities))))


def play(workload: Workload, name: str) -> tuple[Day, Router]:
    """One day."""
    config = config_for(workload)
    router: Router = (
        Seed(config) if name == SEED else Ours(config, next(p for p in POLICIES if p == name), workload.seed)
    )
    return Day(workload, router, config.queue.timeout_seconds).run(), router


def compare(sessions: int, replicas: int, seed: int, say: Callable[[str], None]) -> tuple[Workload, list[Figures]]:
    """All of them."""
    workload = draw(sessions, replicas, seed)
    found = []
    for name in ROUTERS:
        started = time.perf_counter()
        found.append(figures(name, play(workload, name)[0]))
        say(f"{name}: a day in {time.perf_counter() - started:.1f} s")
    return workload, found


def record(workload: Workload, found: list[Figures]) -> dict[str, Any]:
    """For the JSON."""
    return {
        "seed": workload.seed,
        "sessions": len(workload.arrivals),
        "replicas": len(workload.capacities),
        "slots": sum(workload.capacities),
        "outages": len(workload.outages),
        "routers": [each.as_dict() for each in found],
    }


def write(out: Path, workload: Workload, found: list[Figures]) -> list[Path]:
    """JSON and plot."""
    from bench.balance.plot import draw_day

    out.mkdir(parents=True, exist_ok=True)
    path = out / "balance.json"
    path.write_text(json.dumps(record(workload, found), indent=1))
    return [path, draw_day(workload, found, out / "balance.svg")]
