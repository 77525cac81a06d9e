"""``trio-router check``: the mistakes in a configuration, what it would run, and how its replicas answer. Runs no router."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import click
import trio
import yaml

from trio_router.cli.settings import load_file
from trio_router.core.config import ConfigFile, RouterConfig, config_schema, file_shape
from trio_router.core.dialects import make_dialect, shared_probe_path
from trio_router.core.errors import ConfigError, Problem, StartError
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica
from trio_router.net.tls import client_tls, replica_tls
from trio_router.replicas.probes import probe_once

#: Time limit for resolving all hosts. A resolver that does not answer shows in the probes.
RESOLVE_SECONDS: Final = 10.0


def run_check(path: str | None, *, probe: bool = False, dump: bool = False, schema: bool = False) -> int:
    """Run the command: print, and return the exit status. Mistakes go to standard error; the verdict is the last line."""
    if schema:
        click.echo(json.dumps(config_schema(), indent=2))
        return 0
    try:
        found = load_file(path)
    except ConfigError as exc:
        _tell(exc.warnings, exc.source, kind="warning: ")
        _tell(exc.found, exc.source)
        click.echo(verdict(len(exc.found), len(exc.warnings)), err=True)
        return 2
    config, warnings = found.config, [*found.warnings]
    click.echo(dump_config(config) if dump else describe_config(config), nl=not dump)
    if probe:
        warnings += trio.run(unresolvable, found)
    _tell(warnings, path, kind="warning: ")
    problems = _unusable_files(config)
    _tell(problems, path)
    silent = 0
    if probe and not problems:
        rows, silent = trio.run(probe_replicas, config)
        click.echo(rows, err=dump)
    last = verdict(len(problems), len(warnings))
    if silent:
        last += f", but {silent} of {len(config.replicas)} replicas did not answer well"
    click.echo(last, err=dump or bool(problems))
    return 1 if problems or silent else 0


def _unusable_files(config: RouterConfig) -> list[Problem]:
    problems = []
    makers = [client_tls]
    if any(replica.base.startswith("https") for replica in config.replicas):
        makers.append(replica_tls)
    for make in makers:
        try:
            make(config)
        except StartError as exc:
            problems.append(Problem(str(exc)))
    return problems


def _tell(problems: Iterable[Problem], source: str | None, *, kind: str = "") -> None:
    for problem in problems:
        click.echo(replace(problem, text=f"{kind}{problem.text}").line(source), err=True)


def describe_config(config: RouterConfig) -> str:
    """What would run, in a few lines for people."""
    scheme = "wss" if config.tls.certificate else "ws"
    lines = []
    for stream in config.streams:
        dialect, balance = stream.dialect or config.dialect, stream.balance or config.balance
        lines.append(
            f"  stream   {scheme}://{config.host}:{config.port}{stream.path}  dialect {dialect}, balance {balance}"
        )
    if config.status_port is not None:
        lines.append(f"  status   http://{config.status_host or config.host}:{config.status_port}/status")
    for replica in config.replicas:
        room = "as reported" if replica.max_sessions == "auto" else str(replica.max_sessions)
        tier = "primary" if replica.primary else "replica"
        presets = f", presets {', '.join(replica.presets)}" if replica.presets else ""
        lines.append(
            f"  {tier:<8} {replica.label}  {replica.base}  sessions {room}, weight {replica.weight:g}{presets}"
        )
    every, path = config.health_check_interval_seconds, config.health_check_path
    lines.append(
        f"  probes   GET {path} every {every:g} s; down after {config.failure_threshold}, "
        f"up after {config.recovery_threshold}"
    )
    return "\n".join(lines)


def dump_config(config: RouterConfig) -> str:
    """The whole configuration as YAML, every default included. Secrets are shown as ``***``, which no file may contain."""
    text: str = yaml.safe_dump(file_shape(config), sort_keys=False, allow_unicode=True, width=120)
    return text


def verdict(problems: int, warnings: int) -> str:
    """The last line of the output: the numbers of problems and warnings."""
    doubts = f", {_count(warnings, 'warning')}" if warnings else ""
    return (_count(problems, "problem") if problems else "configuration is good") + doubts


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


async def unresolvable(found: ConfigFile) -> list[Problem]:
    """A warning for each replica whose host cannot be resolved on this machine."""
    problems = []
    with trio.move_on_after(RESOLVE_SECONDS):
        for index, replica in enumerate(found.config.replicas):
            host = urlsplit(replica.url).hostname
            try:
                await trio.socket.getaddrinfo(host, None)
            except (OSError, UnicodeError) as exc:
                place = found.place(("router", "replicas", index, "url"))
                reason = (exc.strerror if isinstance(exc, OSError) else None) or exc
                problems.append(
                    Problem(f"router.replicas[{index}].url: the host {host!r} cannot be resolved here: {reason}", place)
                )
    return problems


async def probe_replicas(config: RouterConfig) -> tuple[str, int]:
    """Probe every replica once. Returns (one line for each, the number without a good answer)."""
    registry = ReplicaRegistry(config)
    with trio.move_on_after(config.health_check_timeout_seconds * 2 + 1):
        dialects = [make_dialect(stream.dialect or config.dialect) for stream in config.streams]
        await probe_once(registry, config, probe_path=shared_probe_path(config, dialects))
    return "\n".join(_row(replica) for replica in registry.replicas), sum(
        replica.health.last_ok_at is None for replica in registry.replicas
    )


def _row(replica: Replica) -> str:
    health, report = replica.health, replica.report
    if health.last_ok_at is None:
        return f"  {replica.label}: no good answer: {health.last_error or 'none in time'}"
    said = ""
    if report is not None:
        total = "?" if report.total is None else report.total
        said = f", {report.busy if report.busy is not None else '?'} of {total} slots busy"
        said += ", still warming up" if report.warming else ""
    if health.last_error is not None:
        said += f"; {health.last_error}"
    return f"  {replica.label}: ok in {health.last_latency_ms or 0:.0f} ms{said}"
