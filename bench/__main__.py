"""`python -m bench run`, `report`, `compare` and `balance`."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import run as runner
from bench.balance.report import table
from bench.balance.run import compare as compare_policies
from bench.balance.run import write
from bench.compare import compare as compare_runs
from bench.peers import BEFORE, DEFAULT, DIRECT, OURS, PEERS, MissingPeer, compare_with
from bench.plots import draw_all
from bench.report import render
from bench.scenarios import FULL, QUICK, SCENARIOS
from bench.stats import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAMES = (*PEERS, DIRECT)
_QUICK = tuple(name for name in DEFAULT if name != "trio_ws")  # in no target, and slow


@click.group()
def main() -> None:
    """trio_router beside other proxies, on loopback, in one run."""


@main.command()
@click.option("--quick", is_flag=True, help="Fewer scenarios, one round, short windows: under two minutes.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds over all scenarios [3; 1 with --quick].")
@click.option(
    "--peers",
    help=f"Comma-separated, of: {', '.join(_NAMES)} [all but the variants; --quick leaves trio_ws out].",
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Another checkout of ours, measured beside this one as {BEFORE}.",
)
@click.option("--scenarios", "scenario_names", help=f"Comma-separated, of: {', '.join(SCENARIOS)} [all].")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(__file__).parent / "results")
def run(
    quick: bool, rounds: int | None, peers: str | None, against: Path | None, scenario_names: str | None, out: Path
) -> None:
    """Measure, and write results.json, report.md and plots into --out."""
    profile = QUICK if quick else FULL
    if rounds is not None:
        profile = dataclasses.replace(profile, rounds=rounds)
    chosen = _chosen(scenario_names, [name for name, each in SCENARIOS.items() if each.quick or not quick], SCENARIOS)
    scenarios = [SCENARIOS[name] for name in chosen]
    names = _chosen(peers, _QUICK if quick else DEFAULT, _NAMES)
    if against is not None:
        names = _with_before(names, against)
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record = runner.run(profile, scenarios, names, out, lambda s: click.echo(s, err=True))
    (out / "results.json").write_text(json.dumps(record, indent=1, default=sorted))
    _write_report(record, out)
    if OURS not in record["versions"]:
        click.echo("our own router was not measured", err=True)


@main.command()
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(results: Path) -> None:
    """Write report and plots anew from a results.json."""
    _write_report(json.loads(results.read_text()), results.parent)


@main.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--peer", type=click.Choice(_NAMES), default=OURS, show_default=True)
def compare(before: Path, after: Path, peer: str) -> None:
    """Two results.json side by side, for one peer."""
    for line in compare_runs(json.loads(before.read_text()), json.loads(after.read_text()), peer):
        click.echo(line)


@main.command()
@click.option("--sessions", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--replicas", type=click.IntRange(2), default=50, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same day for the same number.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(__file__).parent / "results")
def balance(sessions: int, replicas: int, seed: int, out: Path) -> None:
    """Simulate a day under each policy, and write balance.json and balance.svg into --out."""
    workload, found = compare_policies(sessions, replicas, seed, lambda s: click.echo(s, err=True))
    for line in table(workload, found):
        click.echo(line)
    for path in write(out, workload, found):
        click.echo(f"written: {path}", err=True)


def _with_before(names: list[str], checkout: Path) -> list[str]:
    if OURS not in names:
        raise click.UsageError(f"--against needs {OURS} among --peers")
    try:
        compare_with(checkout)
    except MissingPeer as error:
        raise click.UsageError(f"--against {checkout}: {error}") from error
    others = [name for name in names if name not in (OURS, BEFORE)]
    return [OURS, BEFORE, *others]


def _chosen(text: str | None, default: Sequence[str], known: Iterable[str]) -> list[str]:
    names = text.split(",") if text else list(default)
    unknown = set(names) - set(known)
    if unknown:
        raise click.UsageError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return names


def _write_report(record: dict[str, Any], out: Path) -> None:
    text = render(record)
    (out / "report.md").write_text(text)
    draw_all(Summary(record), out)
    click.echo(text.partition("## Versions")[0])
    click.echo(f"written: {out}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m bench")
