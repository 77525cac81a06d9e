"""What is measured: the scenarios of a run, and the figures that come out of each result.

Every figure is a float whose name ends in its unit. "CPU" is the CPU time of the router's processes during
the measured window, divided by what the load generator received in that window. A window has a length, not
a number of messages: a slow router then takes no longer than a fast one, and every router is measured
saturated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bench import wire
from bench.peers import BEFORE, DIRECT, OPAQUE, OURS, TLS

Figures = dict[str, float]


@dataclass(frozen=True)
class Profile:
    """How long and how much. Times in seconds; a scenario's `stretch` multiplies the window."""

    name: str
    rounds: int
    warmup_s: float
    window_s: float
    settle_s: float
    rungs: tuple[int, ...]
    ours_between: bool


FULL = Profile("full", 3, 0.5, 2.0, 1.0, (1, 10, 100, 1000, 8000), ours_between=True)
QUICK = Profile("quick", 1, 0.1, 0.35, 0.3, (10, 1000), ours_between=False)


@dataclass(frozen=True)
class Scenario:
    """One kind of load. `fresh`: the router is started for it alone. `quick_peers`, `only`: all, when
    empty. `tls`: clients are `wss`."""

    name: str
    title: str
    kind: str
    sessions: int
    options: dict[str, Any] = field(default_factory=dict)
    stretch: float = 1.0
    fresh: bool = False
    quick: bool = True
    quick_peers: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    tls: bool = False

    def takes(self, peer: str) -> bool:
        """Whether it is run with this peer; the dialect opaque is, only where it is named."""
        return peer in self.only if self.only else peer not in self.never | {OPAQUE}

    def job(self, profile: Profile, port: int, pids: dict[str, list[int]]) -> wire.Job:
        options, sessions = {**self.options, "tls": self.tls}, self.sessions
        if self.kind == "ladder":
            options |= {"rungs": profile.rungs, "settle_s": profile.settle_s}
            sessions = profile.rungs[-1]
        window = profile.window_s * self.stretch
        return wire.Job(self.kind, port, sessions, profile.warmup_s, window, pids, options)


def _echo(sessions: int, *, quick: bool) -> Scenario:
    title = f"echo of {wire.ECHO_BYTES} B text, {sessions} sessions"
    return Scenario(f"echo-{sessions}", title, "echo", sessions, quick=quick)


def _push(label: str, size: int, sessions: int, *, quick: bool) -> Scenario:
    title = f"{label} frames pushed, {sessions} sessions"
    return Scenario(f"push-{label.replace(' ', '')}", title, "push", sessions, {"size": size}, quick=quick)


def _with_tls(plain: Scenario) -> Scenario:
    return replace(plain, name=f"tls-{plain.name}", title=f"TLS: {plain.title}", only=TLS, tls=True)


_CHURN = Scenario("churn", "opening and closing sessions, 16 at a time", "churn", 16)
_OVER_TLS = (
    _push("16 KiB", 16 * wire.KIB, 16, quick=False),
    _push("64 KiB", 64 * wire.KIB, 16, quick=True),
    _push("256 KiB", 256 * wire.KIB, 4, quick=False),
    _echo(64, quick=False),
    _CHURN,
)
_DIALECTS = frozenset({OURS, BEFORE, OPAQUE, "haproxy", DIRECT})
_FASTVIDEO = (
    Scenario(
        "fastvideo-push-64KiB",
        "segments as FastVideo sends them, JSON and media in 64 KiB pieces, at full speed, 16 sessions",
        "video",
        16,
        only=_DIALECTS,
    ),
    Scenario(
        "fastvideo-churn",
        "opening with FastVideo's greeting and closing, 16 at a time",
        "churn",
        16,
        {"greeting": True},
        only=_DIALECTS,
    ),
)
_FEW = frozenset({OURS, "haproxy", DIRECT})
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _echo(1, quick=True),
        _echo(64, quick=True),
        _echo(512, quick=False),
        _push("2 KiB", 2 * wire.KIB, 64, quick=True),
        _push("16 KiB", 16 * wire.KIB, 16, quick=True),
        _push("64 KiB", 64 * wire.KIB, 16, quick=False),
        _push("256 KiB", 256 * wire.KIB, 4, quick=True),
        _push("4 MiB", 4 * wire.MIB, 2, quick=False),
        Scenario(
            "browser",
            "256 KiB incompressible frames to a client that offers permessage-deflate, 4 sessions",
            "push",
            4,
            {"size": 256 * wire.KIB, "browser": True},
            quick_peers=_FEW | {"seed"},
        ),
        Scenario("paced", "video at its own pace, 200 sessions", "paced", 200, stretch=2.5),
        _CHURN,
        Scenario(
            "slow",
            "one reader that stands still among 50 paced sessions",
            "slow",
            50,
            stretch=2.0,
            fresh=True,
            quick_peers=_FEW,
        ),
        Scenario(
            "ladder",
            "ever more open sessions, the same ten messages in flight",
            "ladder",
            0,
            stretch=0.75,
            fresh=True,
            quick_peers=_FEW | {"nginx", "envoy", "seed"},
            never=frozenset({DIRECT}),
        ),
        *map(_with_tls, _OVER_TLS),
        *_FASTVIDEO,
    )
}


def figures_of(scenario: Scenario, result: dict[str, Any]) -> dict[str, Figures]:
    """The figures by the name they are filed under; a ladder gives several (`idle-N`, `growth-N`)."""
    match scenario.kind:
        case "ladder":
            return _ladder(result["rungs"])
        case "slow":
            return {scenario.name: _slow(result)}
        case "churn":
            return {scenario.name: _churn(result)}
        case _:
            return {scenario.name: _flow(result)}


def _flow(result: dict[str, Any]) -> Figures:
    seconds, messages, size = result["seconds"], result["messages"], result["bytes"]
    if not messages:
        return {}
    cpu = result["cpu"]
    figures = {
        "messages_per_s": messages / seconds,
        "mib_per_s": size / wire.MIB / seconds,
        "client_cpu_share": cpu["client"]["total"] / seconds,
        "replica_cpu_share": cpu["replica"]["total"] / seconds,
        "others_cpu_share": result["others_cpu"] / seconds,
    }
    if "router" in cpu:
        figures["cpu_us_per_message"] = cpu["router"]["total"] / messages * 1e6
        figures["cpu_s_per_gib"] = cpu["router"]["total"] / size * wire.GIB
        figures["router_cpu_share"] = cpu["router"]["total"] / seconds
    for source, unit, scale in (("round_trip_us", "us", 1), ("delay_us", "us", 1), ("gap_us", "ms", 1e-3)):
        figures |= _spread(source.removesuffix("_us"), unit, scale, result.get(source, {}))
    return figures | {key: float(result[key]) for key in ("deflate", "late_ticks") if key in result}


def _spread(name: str, unit: str, scale: float, found: dict[str, float]) -> Figures:
    return {f"{name}_{q}_{unit}": found[q] * scale for q in ("p50", "p99", "p99.9") if q in found}


def _churn(result: dict[str, Any]) -> Figures:
    count, seconds, cpu = result["messages"], result["seconds"], result["cpu"]
    figures = {"sessions_per_s": count / seconds, "client_cpu_share": cpu["client"]["total"] / seconds}
    figures["others_cpu_share"] = result["others_cpu"] / seconds
    if "router" in cpu and count:
        figures["cpu_ms_per_session"] = cpu["router"]["total"] / count * 1e3
        figures["router_cpu_share"] = cpu["router"]["total"] / seconds
    return figures | _spread("opening", "ms", 1e-3, result["opening_us"])


def _slow(result: dict[str, Any]) -> Figures:
    figures: Figures = {}
    for phase in ("alone", "beside"):
        flow = _flow(result[phase])
        wanted = ("gap_p99_ms", "gap_p99.9_ms", "delay_p50_us", "delay_p99_us", "delay_p99.9_us")
        figures |= {f"{phase}_{key}": flow[key] for key in wanted if key in flow}
    before, after = (result["memory"][when]["private"] for when in ("before", "after"))
    return figures | {"memory_growth_mib": (after - before) / wire.MIB}


def _ladder(rungs: list[dict[str, Any]]) -> dict[str, Figures]:
    filed: dict[str, Figures] = {}
    # The rung before the first thousand has warmed up everything that is paid for once.
    base = next((rung for rung in reversed(rungs) if rung["sessions"] < 1000), rungs[0])
    for rung in rungs:
        flow, count = _flow(rung["flow"]), rung["sessions"]
        filed[f"growth-{count}"] = flow
        if count >= 1000:
            grown = rung["memory"]["private"] - base["memory"]["private"]
            opening = rung["opening"]
            filed[f"idle-{count}"] = {
                "kib_per_session": grown / wire.KIB / (count - base["sessions"]),
                "opening_cpu_ms": opening["cpu"]["router"]["total"] / max(1, opening["opened"]) * 1e3,
            }
    return filed
