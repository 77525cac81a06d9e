"""The Markdown report of a run: method, machine, targets, one table per figure, failures, commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.against import before_after
from bench.peers import DIRECT, TITLES
from bench.stats import Summary
from bench.targets import Target, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.stats import Stat


@dataclass(frozen=True)
class Table:
    """One figure, for the scenarios that have it."""

    title: str
    figure: str
    added_to_direct: bool = False
    only: tuple[str, ...] = ()


_FLOWS = ("push", "browser", "paced", "tls-push", "fastvideo-push")
TABLES = (
    Table(
        "CPU of the router per message, µs",
        "cpu_us_per_message",
        only=("echo", "growth", "paced", "push-2KiB", "tls-echo", "fastvideo-push"),
    ),
    Table("CPU of the router per GiB, s", "cpu_s_per_gib", only=_FLOWS),
    Table("CPU of the router per session opened and closed, ms", "cpu_ms_per_session"),
    Table("Private memory per idle session, KiB", "kib_per_session"),
    Table("Throughput, MiB/s", "mib_per_s", only=_FLOWS),
    Table("Throughput, messages/s", "messages_per_s", only=("echo", "tls-echo")),
    Table("Sessions opened and closed per second", "sessions_per_s"),
    Table("Round trip p50, µs added to direct", "round_trip_p50_us", added_to_direct=True, only=("echo",)),
    Table("Round trip p99, µs added to direct", "round_trip_p99_us", added_to_direct=True, only=("echo",)),
    Table("Round trip p99.9, µs added to direct", "round_trip_p99.9_us", added_to_direct=True, only=("echo",)),
    Table("Paced video: p99 gap from tick to tick (41.7 when perfect), ms", "gap_p99_ms"),
    Table("Paced video: p99.9 gap, ms", "gap_p99.9_ms"),
    Table("Paced video: p50 delay from replica to client, µs", "delay_p50_us", only=("paced",)),
    Table("Paced video: p99 delay, µs", "delay_p99_us", only=("paced",)),
    Table("Paced video: p99.9 delay, µs", "delay_p99.9_us", only=("paced",)),
    Table("Slow reader: p99 delay of the others without it, µs", "alone_delay_p99_us"),
    Table("Slow reader: p99 delay of the others beside it, µs", "beside_delay_p99_us"),
    Table("Slow reader: memory that the router gains, MiB", "memory_growth_mib"),
    Table("Share of one core that the router used (1 is saturated)", "router_cpu_share"),
    Table("Share of one core that the load generator used", "client_cpu_share"),
    Table("Share of one core that programs outside the run used meanwhile", "others_cpu_share"),
)

METHOD = """\
Everything runs on loopback: the replica (picows on uvloop), one router at a time with one worker thread,
the load generator (picows on uvloop). CPU is the time used by the router's processes, user and system,
from the kernel's own counter, within the window in which the load generator counted what it received; it
covers the softirq work done on the router's behalf inside its own system calls. Cells are `median
(smallest - largest)` over all rounds. The load is saturating (closed loop), so with more than one session
a round trip is sessions divided by throughput, and "added to direct" says more at one session than at
many. Every byte count and sampled contents are checked; a router that loses data has a failure instead of
a figure. The machine is not reserved for the run: trust CPU and ratios, not wall time.

Rows `tls-*`: `wss` clients, one certificate (ECDSA P-256) for all, plain to the replica, TLS 1.3 with
TLS_AES_128_GCM_SHA256 (checked in each session) and X25519, full handshakes, session tickets as each sends them
by default. The libraries are those that each router comes with.

Rows `fastvideo-*`: the messages of a FastVideo session, `session_init_v2`, `queue_status`, `gpu_assigned`,
`ltx2_stream_start`, then segments of JSON and of media in 64 KiB pieces. trio_router reads them with the dialect
fastvideo (as in all other rows), and beside it with opaque, which looks into none of them.
"""


def render(run: dict[str, Any]) -> str:
    """The report as one text."""
    summary = Summary(run)
    return "\n".join([
        f"# Benchmark, {run['profile']['name']} mode, {run['profile']['rounds']} rounds",
        "",
        METHOD,
        *_machine(run),
        *_scenarios(run),
        *_targets(evaluate(summary), run["profile"]["rounds"]),
        *before_after(summary),
        *(line for table in TABLES for line in _table(table, summary)),
        *_failures(run, summary),
        *_commands(run),
    ])  # fmt: skip


def _machine(run: dict[str, Any]) -> Iterator[str]:
    facts = run["machine"]
    yield f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory']}, Linux {facts['kernel']},"
    yield f"Python {facts['python']}; {facts['at']}, load {facts['load_average'][0]:.1f} at the start."
    if run["interrupted"]:
        yield "\n**The run was interrupted: this is what had been measured.**"
    yield ""


def _scenarios(run: dict[str, Any]) -> Iterator[str]:
    yield "| scenario | what it is |"
    yield "|---|---|"
    yield from (f"| {name} | {scenario['title']} |" for name, scenario in run["scenarios"].items())
    yield "\nA ladder is filed as growth-N and idle-N, by the number of open sessions.\n"


def _targets(targets: Sequence[Target], rounds: int) -> Iterator[str]:
    yield "## Targets (ratio of medians; in brackets the ratios of single rounds)\n"
    if rounds == 1:
        yield "One round is a smoke test: on a machine that others use too, a close verdict of it means nothing.\n"
    yield "| target | against | at most | measured | rounds | |"
    yield "|---|---|---|---|---|---|"
    for row in targets:
        value = "" if row.value is None else f"{row.value:.3g}"
        spread = "" if row.low is None or row.high is None else f"({row.low:.3g} - {row.high:.3g})"
        yield f"| {row.name} | {row.against} | {row.limit:g} | {value} | {spread} | {row.verdict} |"
    yield ""


def _table(table: Table, summary: Summary) -> Iterator[str]:
    rows = [
        name
        for name in summary.scenarios
        if (not table.only or name.startswith(table.only))
        and any(summary.get(name, peer, table.figure) for peer in summary.peers)
    ]
    if not rows:
        return
    peers = [peer for peer in summary.peers if any(summary.get(row, peer, table.figure) for row in rows)]
    yield f"## {table.title}\n"
    yield "| | " + " | ".join(TITLES[peer] for peer in peers) + " |"
    yield "|---" * (len(peers) + 1) + "|"
    for row in rows:
        cells = [_cell(table, summary, row, peer) for peer in peers]
        yield f"| {row} | " + " | ".join(cells) + " |"
    yield ""


def _cell(table: Table, summary: Summary, scenario: str, peer: str) -> str:
    stat = summary.get(scenario, peer, table.figure)
    if stat is None:
        return "fails" if (scenario, peer) in summary.failures else ""
    direct = summary.median(scenario, DIRECT, table.figure)
    if table.added_to_direct and direct is not None and peer != DIRECT:
        return f"+{stat.median - direct:.4g}"
    return _spread(stat)


def _spread(stat: Stat) -> str:
    if stat.count == 1:
        return f"{stat.median:.4g}"
    return f"{stat.median:.4g} ({stat.low:.3g} - {stat.high:.3g})"


def _failures(run: dict[str, Any], summary: Summary) -> Iterator[str]:
    if summary.failures or run["missing"]:
        yield "## What could not be measured\n"
        yield from (f"- {TITLES[peer]} is left out: {reason}" for peer, reason in run["missing"].items())
        yield from (f"- {scenario}, {TITLES[peer]}: {why}" for (scenario, peer), why in summary.failures.items())
        yield ""


def _commands(run: dict[str, Any]) -> Iterator[str]:
    yield "## Versions and commands\n"
    yield from (f"- {TITLES[name]}: {version}" for name, version in run["versions"].items())
    for name, started in run["launches"].items():
        yield f"\n### {_launched(name)}\n\n    {started['command']}\n"
        yield from (f"    {line}" for line in started["config"].splitlines())
    yield ""


def _launched(name: str) -> str:
    peer, _, tls = name.partition(" ")
    return f"{TITLES[peer]}, TLS" if tls else TITLES[peer]
