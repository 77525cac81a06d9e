"""One run: the replica and the routers are started, measurements are interleaved, everything is torn down.

Routers stay up for the run (an idle one costs the others nothing), except in scenarios that leave a mess
behind or want clean memory, which get one of their own. In a round the order is ours, peer, ours, peer, and
so on: what is compared was measured within seconds, so that a machine that is slower for a while is so for
both. Another commit of ours (`--against`) is the first of the peers. Every second round goes the other way
round, so that none gains by its place.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from bench import launch, machine, proc
from bench.certificate import Certificate, make
from bench.peers import BEFORE, DIRECT, OPAQUE, OURS, PEERS, PROXIES, MissingPeer
from bench.scenarios import Profile, Scenario, figures_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_CLIENT_TIMEOUT_S = 150.0
_SHOWN = (
    "cpu_us_per_message",
    "cpu_s_per_gib",
    "cpu_ms_per_session",
    "kib_per_session",
    "messages_per_s",
    "sessions_per_s",
    "gap_p99_ms",
    "delay_p99_us",
    "round_trip_p99_us",
    "beside_delay_p99_us",
    "memory_growth_mib",
)


class Fleet:
    """The running routers, started when first asked for."""

    def __init__(self, stack: contextlib.ExitStack, out: Path) -> None:
        self._stack, self.out = stack, out
        self._running: dict[tuple[str, bool], launch.Child] = {}
        self._certificate: Certificate | None = None
        self.launches: dict[str, dict[str, Any]] = {}
        self._logs, self._work = out / "logs", out / "work"
        for directory in (self._logs, self._work):
            shutil.rmtree(directory, ignore_errors=True)  # of the run before
            directory.mkdir(parents=True)
        port = launch.free_port()
        self.replica = stack.enter_context(
            launch.Child("replica", launch.replica_launch(port), port, self._logs / "replica.log")
        )

    @contextlib.contextmanager
    def router(self, name: str, certificate: Certificate | None, *, fresh: bool) -> Iterator[launch.Child | None]:
        """The router, or None for the direct connection."""
        if name == DIRECT:
            yield None
        elif fresh:
            with self._start(name, certificate) as child:
                yield child
        else:
            if (name, certificate is not None) not in self._running or not self._running[
                name, certificate is not None
            ].alive:
                self._running[name, certificate is not None] = self._stack.enter_context(self._start(name, certificate))
            yield self._running[name, certificate is not None]

    def _start(self, name: str, certificate: Certificate | None) -> launch.Child:
        port = launch.free_port()
        workdir = self._work / f"{name}-{port}"
        workdir.mkdir(parents=True, exist_ok=True)
        prepared = PEERS[name].prepare(workdir, port, self.replica.port, certificate)
        prepared = replace(prepared, tls=certificate is not None)
        clean = {"command": " ".join(prepared.argv), "config": prepared.config}
        shown = f"{name} tls" if prepared.tls else name
        self.launches.setdefault(shown, {key: machine.without_paths(text, self.out) for key, text in clean.items()})
        return launch.Child(name, prepared, port, self._logs / f"{name}.log")

    def _made_certificate(self) -> Certificate:
        if self._certificate is None:
            self._certificate = make(self._work)
        return self._certificate

    def measure(self, scenario: Scenario, profile: Profile, name: str) -> dict[str, Any]:
        """The load generator's result, or {"failed": why}."""
        try:
            certificate = self._made_certificate() if scenario.tls else None
            with self.router(name, certificate, fresh=scenario.fresh) as router:
                pids = {"replica": self.replica.pids}
                if router is not None:
                    pids["router"] = router.pids
                elif scenario.kind == "slow":
                    pids["router"] = []
                port = self.replica.port if router is None else router.port
                job = scenario.job(profile, port, pids)
                text = launch.run_client(job, self._logs / "client.log", _CLIENT_TIMEOUT_S, certificate)
                return json.loads(text) if text else {"failed": "the load generator gave no result"}
        except (launch.NotReady, RuntimeError) as error:
            return {"failed": str(error)}


def installed(names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the peers that are here, and why the others are not."""
    versions, missing = {DIRECT: "no router"} if DIRECT in names else {}, {}
    for name in names:
        if name != DIRECT:
            try:
                versions[name] = PEERS[name].version()
            except MissingPeer as error:
                missing[name] = str(error)
    return versions, missing


def order(names: Sequence[str], *, ours_between: bool) -> list[str]:
    """Ours before each of its variants and of the proxies, then the others once; without `ours_between` each once.

    Another commit of ours is always measured right after ours.
    """
    compared = [name for name in (BEFORE, OPAQUE, *PROXIES) if name in names]
    others = [name for name in names if name not in (OURS, *compared)]
    if OURS not in names:
        return [*compared, *others]
    if not ours_between:
        return [OURS, *compared, *others]
    pairs = [name for peer in compared for name in (OURS, peer)]
    return [*(pairs or [OURS]), *others]


def run(
    profile: Profile,
    scenarios: Sequence[Scenario],
    peers: Sequence[str],
    out: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Everything measured, ready to be written as JSON. Interrupted, it gives what there is."""
    proc.raise_file_limit()
    versions, missing = installed(peers)
    for name, reason in missing.items():
        say(f"{name}: left out, {reason}")
    record: dict[str, Any] = {
        "profile": asdict(profile),
        "machine": machine.describe(),
        "versions": versions,
        "missing": missing,
        "scenarios": {scenario.name: asdict(scenario) for scenario in scenarios},
        "samples": [],
        "interrupted": False,
    }
    with contextlib.ExitStack() as stack:
        fleet = Fleet(stack, out)
        record["launches"] = fleet.launches
        try:
            for number in range(profile.rounds):
                for scenario in scenarios:
                    _measure_all(fleet, scenario, profile, list(versions), number, record["samples"], say)
        except KeyboardInterrupt:
            record["interrupted"] = True
    return record


def _measure_all(
    fleet: Fleet,
    scenario: Scenario,
    profile: Profile,
    peers: Sequence[str],
    number: int,
    samples: list[dict[str, Any]],
    say: Callable[[str], None],
) -> None:
    names = [name for name in peers if scenario.takes(name)]
    if profile.name == "quick" and scenario.quick_peers:
        names = [name for name in names if name in scenario.quick_peers or name == BEFORE]
    between = profile.ours_between and scenario.kind != "ladder"  # 8,000 sessions five times over is no gain
    in_order = order(names, ours_between=between)
    for name in reversed(in_order) if number % 2 else in_order:
        result = fleet.measure(scenario, profile, name)
        sample: dict[str, Any] = {"scenario": scenario.name, "peer": name, "round": number, "raw": result}
        if "failed" in result:
            sample["failed"] = machine.without_paths(result["failed"], fleet.out)
        else:
            sample["figures"] = figures_of(scenario, result)
        samples.append(sample)
        say(f"round {number + 1}/{profile.rounds}  {scenario.name:20} {name:11} {_headline(sample)}")


def _headline(sample: dict[str, Any]) -> str:
    if "failed" in sample:
        return f"FAILED: {sample['failed'][:150]}"
    parts = []
    for name, figures in sample["figures"].items():
        values = " ".join(f"{key}={figures[key]:.4g}" for key in _SHOWN if key in figures)
        parts.append(values if name == sample["scenario"] else f"[{name}] {values}")
    return " ".join(parts)
