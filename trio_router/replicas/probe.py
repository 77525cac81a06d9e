"""One probe of one replica: what is asked, what counts as good, and what it says of itself. It changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

import trio

from trio_router.core.config import RouterConfig
from trio_router.core.replicas.replica import Replica, Report
from trio_router.core.replicas.report import read_fields, read_report, report_without_ready
from trio_router.replicas.probe_client import Answer, ProbeClient, ProbeError, words


class HttpGet(Protocol):
    """Fetches ``url``; returns (latency in ms, None) or (anything, what went wrong). An exception is a failure too."""

    def __call__(self, url: str, *, timeout: float) -> Awaitable[tuple[float | None, str | None]]:
        """See the class."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What one probe found. ``error`` None: it was good; then ``remark`` says what in it could not be read all the same."""

    error: str | None = None
    latency_ms: float | None = None
    report: Report | None = None
    remark: str | None = None


class Probe:
    """Asks ``replica`` through ``client``, or its health path alone through ``http_get``.

    ``path`` is the health path, if it is not the configuration's.
    """

    def __init__(
        self,
        config: RouterConfig,
        replica: Replica,
        client: ProbeClient,
        http_get: HttpGet | None = None,
        path: str | None = None,
    ) -> None:
        self.replica = replica
        self._client = client
        self._injected = http_get
        self._base = replica.endpoint.base
        self._health_path = path or config.health_check_path
        self._timeout = config.health_check_timeout_seconds
        self._reports = True  # until the replica answers 404 to `/readyz`
        self._unread_since: float | None = None  # since when `/readyz` has given nothing that can be read

    async def __call__(self) -> Found:
        """Ask for the health path and, if that is good, for `/readyz`. Each whole answer has the probe's timeout."""
        if self._injected is not None:
            return await self._inject(self._injected)
        asked_at = trio.current_time()
        answer = await self._get(self._health_path)
        if isinstance(answer, str):
            return Found(answer)
        latency = answer.seconds * 1000
        if answer.status >= 400:
            return Found(f"HTTP {answer.status}", latency)
        report, unread = await self._report(answer, asked_at)
        remarks = {self._health_path: answer.unread, "/readyz": unread}
        return Found(None, latency, report, "; ".join(f"{path}: {why}" for path, why in remarks.items() if why) or None)

    async def _inject(self, http_get: HttpGet) -> Found:
        with trio.move_on_after(self._timeout):
            try:
                latency, error = await http_get(self._base + self._health_path, timeout=self._timeout)
            except Exception as exc:  # whatever it raises is a bad probe, and no more
                return Found(words(exc))
            return Found(error, latency)
        return Found(self._late())

    async def _get(self, path: str) -> Answer | str:
        """The answer, or why there is none. It stays in time also if its body comes drop by drop."""
        with trio.move_on_after(self._timeout):
            try:
                return await self._client.get(self._base + path)
            except ProbeError as exc:
                return str(exc)
        return self._late()

    def _late(self) -> str:
        return f"no answer within {self._timeout:g} s"

    async def _report(self, health: Answer, asked_at: float) -> tuple[Report | None, str | None]:
        """What the replica says of itself, and why `/readyz` could not be read.

        The probe was good before: without a report there is only less to know.
        """
        said = read_fields(health.body or b"")
        if not self._reports:
            return read_report(said, {}, asked_at), None
        ready = await self._get("/readyz")
        if isinstance(ready, Answer) and (ready.body is not None or ready.status == 404):
            self._reports, self._unread_since = ready.status != 404, None
            return read_report(said, read_fields(ready.body or b""), asked_at), None
        if self._unread_since is None:
            self._unread_since = asked_at
        last, since = self.replica.report, self._unread_since
        why = ready if isinstance(ready, str) else ready.unread
        return report_without_ready(said, last, asked_at, unread_since=since), why
