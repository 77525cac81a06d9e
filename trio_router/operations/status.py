"""The body of `/status`, from snapshots of the registry and the session table. FastVideo's router's keys come first."""

from __future__ import annotations

from typing import Any, TypedDict

from trio_router._version import __version__
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.table import OpenSession, SessionTable


class ReplicaRow(TypedDict):
    """One replica. Times ``*_at`` are Unix seconds, ``*_seconds`` are spans."""

    url: str
    primary: bool
    status: str
    last_ok_at: float | None
    last_latency_ms: float | None
    consecutive_failures: int
    name: str
    weight: float
    admin: str
    available: bool
    open_sessions: int
    capacity: int | None
    slots_taken: int
    lingering: int
    others: int
    reported_busy: int | None
    reported_total: int | None
    warming: bool
    refusing: bool
    removing: bool
    ejected_for_seconds: float | None
    full_for_seconds: float | None
    sessions_total: int
    failures_total: int
    last_error: str | None


class TryRow(TypedDict):
    """A replica that did not take a session, and why."""

    replica: str
    why: str


class SessionRow(TypedDict):
    """One open session. Up: client to replica; down: replica to client."""

    id: str
    client: str
    key: str | None
    replica: str | None
    phase: str
    seconds: float
    bytes_up: int
    bytes_down: int
    messages_up: int
    messages_down: int
    tries: list[TryRow]


class RouterRow(TypedDict):
    """The router itself, and its totals. ``refused``: connections that never became a session, by reason."""

    version: str
    uptime_seconds: float
    draining: bool
    balance: str
    dialect: str
    open_sessions: int
    sessions_total: int
    outcomes: dict[str, int]
    refused: dict[str, int]
    bytes_up: int
    bytes_down: int


class StatusBody(TypedDict):
    """The body of `/status`. ``queue``: the waiting sessions, in order."""

    replicas: list[ReplicaRow]
    router: RouterRow
    queue: list[dict[str, Any]]
    sessions: list[SessionRow]


def replica_row(replica: Replica, now: float) -> ReplicaRow:
    """One replica: FastVideo's router's keys, then ours. ``now`` is the registry's clock."""
    health = replica.health
    return {
        "url": replica.url,
        "primary": replica.endpoint.primary,
        "status": str(health.status),
        "last_ok_at": health.last_ok_at,
        "last_latency_ms": health.last_latency_ms,
        "consecutive_failures": health.consecutive_failures,
        "name": replica.label,
        "weight": replica.endpoint.weight,
        "admin": str(replica.admin),
        "available": replica.available(now),
        "open_sessions": replica.held,
        "capacity": replica.capacity(now),
        "slots_taken": replica.taken,
        "lingering": len(replica.lingering),
        "others": replica.others,
        "reported_busy": replica.report.busy if replica.report else None,
        "reported_total": replica.report.total if replica.report else None,
        "warming": replica.warming,
        "refusing": replica.refusing,
        "removing": replica.removing,
        "ejected_for_seconds": _left(replica.ejected_until, now),
        "full_for_seconds": _left(replica.full_until, now),
        "sessions_total": replica.sessions_total,
        "failures_total": replica.failures_total,
        "last_error": health.last_error,
    }


def session_row(session: OpenSession, now: float) -> SessionRow:
    """One open session at ``now``."""
    up, down = session.traffic()
    return {
        "id": session.id,
        "client": session.client,
        "key": session.key,
        "replica": session.replica,
        "phase": str(session.phase),
        "seconds": round(now - session.opened_at, 3),
        "bytes_up": up.bytes,
        "bytes_down": down.bytes,
        "messages_up": up.messages,
        "messages_down": down.messages,
        "tries": [{"replica": tried.replica, "why": tried.why} for tried in session.tries],
    }


def status_body(
    registry: ReplicaRegistry,
    session_table: SessionTable,
    *,
    now: float,
    uptime: float,
    draining: bool,
    queue: list[dict[str, Any]],
) -> StatusBody:
    """The whole body, at ``now`` on the registry's clock; ``uptime`` in seconds."""
    return {
        "replicas": [replica_row(replica, now) for replica in registry.replicas],
        "router": {
            "version": __version__,
            "uptime_seconds": round(uptime, 3),
            "draining": draining,
            "balance": registry.config.balance,
            "dialect": registry.config.dialect,
            "open_sessions": len(session_table.open),
            "sessions_total": session_table.opened_total,
            "outcomes": dict(session_table.outcomes),
            "refused": dict(session_table.refused),
            "bytes_up": session_table.bytes_up,
            "bytes_down": session_table.bytes_down,
        },
        "queue": queue,
        "sessions": [session_row(session, now) for session in session_table],
    }


def _left(until: float, now: float) -> float | None:
    return round(until - now, 1) if until > now else None
