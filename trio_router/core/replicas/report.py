"""Parses the bodies of a replica's `/health` and `/readyz`. Whatever bytes come, the result is in bounds.

A body that cannot be parsed gives no report, and a count is never larger than ``MOST``, so callers can calculate with
it safely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from trio_router.core.replicas.replica import Report

#: Larger counts are reduced to this one: far more than any machine has GPUs or sessions, and small for any arithmetic.
MOST: Final = 1_000_000
#: While `/readyz` cannot be read, its last report is kept for this many seconds: a few probes. Then only its capacity is.
KEEP_SECONDS: Final = 30.0


def read_fields(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object; none if the body is anything else, however deep or long. Never raises."""
    try:
        value = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):  # not JSON, not text, or nested too deeply
        return {}
    return value if isinstance(value, dict) else {}


def read_report(health: Mapping[str, Any], ready: Mapping[str, Any], asked_at: float) -> Report | None:
    """The report in the fields of FastVideo's `/health` and `/readyz`, requested at ``asked_at``; None if they hold none."""
    total, available, sessions = (
        _count(ready.get("total_gpus")),
        _count(ready.get("available_gpus")),
        _count(health.get("sessions")),
    )
    busy = [] if sessions is None else [sessions]
    if total is not None and available is not None:
        busy.append(max(0, total - available))
    warming = ready.get("status") == "warming" or _count(ready.get("ready_gpu_workers")) == 0
    if total is None and not busy and not warming:
        return None
    return Report(asked_at, max(busy, default=None), total, warming)


def report_without_ready(
    health: Mapping[str, Any], last: Report | None, asked_at: float, *, unread_since: float
) -> Report | None:
    """The report when `/readyz` gave nothing that could be read since ``unread_since``. None: keep the ``last`` one.

    One lost answer must not make a replica of four GPUs one of the default capacity, nor a busy one free.
    """
    if last is None:
        return read_report(health, {}, asked_at)
    if asked_at - unread_since < KEEP_SECONDS:
        return None
    return Report(asked_at, _count(health.get("sessions")), last.total)


def _count(value: object) -> int | None:
    """A count, at most ``MOST``. None if it is not one (negative, a fraction, a truth value, a string)."""
    return min(value, MOST) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _integer(digits: str) -> int:
    """An integer of JSON in constant time: Python refuses one of 4,300 digits, and with it the whole body."""
    if len(digits) <= 18:
        return int(digits)
    return -1 if digits.startswith("-") else MOST
