"""``trio-router check``: what a configuration would run, and how its replicas answer."""

from __future__ import annotations

import trio

from .core.config import RouterConfig
from .core.registry import ReplicaRegistry
from .core.replica import Replica
from .health import probe_once


def describe_config(config: RouterConfig) -> str:
    """What would run, in a few lines for people."""
    scheme = "wss" if config.tls.certificate else "ws"
    lines = ["configuration is good"]
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


async def probe_replicas(config: RouterConfig) -> tuple[str, bool]:
    """Ask every replica once. Returns (a line for each, whether all answered well)."""
    registry = ReplicaRegistry(config)
    with trio.move_on_after(config.health_check_timeout_seconds * 2 + 1):
        await probe_once(registry, config)
    return "\n".join(_row(replica) for replica in registry.replicas), all(
        replica.health.last_ok_at is not None for replica in registry.replicas
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
