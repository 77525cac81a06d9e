"""The probe loop: asks every replica how it is, and tells the registry. What follows from it is `core.health`'s table.

Probes run side by side, each with its own timeout, so that a slow replica delays nobody. The loop ends when its scope
is cancelled.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Awaitable
from typing import Any, Final, Protocol

import httpx
import trio

from .core.config import RouterConfig
from .core.registry import ReplicaRegistry
from .core.replica import AdminState, Replica, Report
from .logs import get_logger
from .tls import replica_tls

log = get_logger("trio_router.health")

#: Probes are spread by so much, so that several routers do not ask in step (HAProxy's spread-checks, Envoy's jitter).
JITTER: Final = 0.1
#: While a report would settle something (a GPU that may be free again), it is asked for this often (Ray Serve: 250 ms).
SOON_SECONDS: Final = 0.25


class HttpGet(Protocol):
    """Fetches ``url``; returns (latency in ms, None) or (anything, what went wrong). An exception is a failure too."""

    def __call__(self, url: str, *, timeout: float) -> Awaitable[tuple[float | None, str | None]]:
        """See the class."""
        ...


async def run_health_check_loop(
    registry: ReplicaRegistry, config: RouterConfig, *, http_get: HttpGet | None = None
) -> None:
    """Probe all replicas, the first time at once, then every ``health_check_interval_seconds`` ± 10 %, for ever.

    ``http_get`` is called with each replica's URL plus the health path instead of going to the network; the replicas'
    own reports (`/readyz`) are then not asked for.
    """
    async with _client(registry, config) as client, trio.open_nursery() as nursery:
        for replica in registry.replicas:
            prober = _Prober(registry, config, replica, http_get, client)
            nursery.start_soon(prober.run, name=f"probes of {replica.label}")


async def probe_once(registry: ReplicaRegistry, config: RouterConfig) -> None:
    """One probe of each replica, side by side."""
    async with _client(registry, config) as client, trio.open_nursery() as nursery:
        for replica in registry.replicas:
            nursery.start_soon(_Prober(registry, config, replica, None, client).probe)


def _client(registry: ReplicaRegistry, config: RouterConfig) -> httpx.AsyncClient:
    """One for all probes. Loading the system's certificates takes 20 ms and 3 MiB: only if a replica needs them."""
    secure = any(replica.endpoint.base.startswith("https") for replica in registry.replicas)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(verify=replica_tls(config) if secure else False, limits=limits, trust_env=False)


class _Prober:
    """Asks one replica."""

    def __init__(
        self,
        registry: ReplicaRegistry,
        config: RouterConfig,
        replica: Replica,
        http_get: HttpGet | None,
        client: httpx.AsyncClient,
    ) -> None:
        self._registry = registry
        self._config = config
        self._replica = replica
        self._injected = http_get
        self._client = client
        self._reports = True  # until the replica answers 404 to `/readyz`

    async def run(self) -> None:
        interval = self._config.health_check_interval_seconds
        while True:
            if self._replica.admin is not AdminState.MAINT:
                await self.probe()
            await self._wait(interval * random.uniform(1 - JITTER, 1 + JITTER))

    async def _wait(self, seconds: float) -> None:
        """Until the next probe is due; sooner when a report is wanted."""
        due = trio.current_time() + seconds
        while (now := trio.current_time()) < due:
            await trio.sleep(min(SOON_SECONDS, due - now))
            if self._replica.wants_probe(trio.current_time()):
                return

    async def probe(self) -> None:
        url = self._replica.endpoint.base + self._config.health_check_path
        timeout = self._config.health_check_timeout_seconds
        asked_at = trio.current_time()
        health: dict[str, Any] | None = None
        report: Report | None = None
        error: str | None = f"no answer within {timeout:g} s"
        latency: float | None = None
        with trio.move_on_after(timeout):
            try:
                if self._injected is not None:
                    latency, error = await self._injected(url, timeout=timeout)
                else:
                    latency, error, health = await self._ask(url)
            except Exception as exc:  # whatever an injected http_get raises is a bad probe, and no more
                error = _words(exc)
        if health is not None:
            report = await self._report(health, asked_at)
        self._tell(latency, error, report)

    def _tell(self, latency: float | None, error: str | None, report: Report | None) -> None:
        replica, registry = self._replica, self._registry
        if error is None:
            changed = registry.probe_succeeded(
                replica, latency_ms=latency, wall=time.time(), now=trio.current_time(), report=report
            )
        else:
            changed = registry.probe_failed(replica, error, now=trio.current_time())
        if changed:
            log_flip(replica, error)

    async def _ask(self, url: str) -> tuple[float, str | None, dict[str, Any] | None]:
        started = time.perf_counter()
        answer = await self._client.get(url)
        latency = (time.perf_counter() - started) * 1000
        if answer.status_code >= 400:
            return latency, f"HTTP {answer.status_code}", None
        return latency, None, _fields(answer)

    async def _report(self, health: dict[str, Any], asked_at: float) -> Report | None:
        """What the replica says of itself. It was found to be well before: without an answer there is only less to know."""
        ready: dict[str, Any] = {}
        if self._reports:
            with trio.move_on_after(self._config.health_check_timeout_seconds), contextlib.suppress(httpx.HTTPError):
                answer = await self._client.get(self._replica.endpoint.base + "/readyz")
                self._reports = answer.status_code != 404
                ready = _fields(answer)
        return read_report(health, ready, asked_at)


def log_flip(replica: Replica, error: str | None) -> None:
    """One line when a replica's status changes; none for single probes or dials."""
    level = log.info if error is None else log.warning
    level(f"replica is {replica.health.status}", url=replica.url, error=error, **_room(replica))


def log_ejection(replica: Replica, error: str, *, seconds: float) -> None:
    """One line when a replica is left out for a while because sessions failed on it."""
    log.warning("replica is ejected", url=replica.url, seconds=round(seconds, 1), error=error, **_room(replica))


def _room(replica: Replica) -> dict[str, object]:
    reported = replica.report.busy if replica.report is not None else None
    return {"replica": replica.label, "capacity": replica.full_capacity, "held": replica.held, "reported": reported}


def _words(exc: BaseException) -> str:
    """The type and the message; when it has none (httpx, of a TLS error), the message of what caused it."""
    cause: BaseException = exc
    while not str(cause) and (deeper := cause.__cause__ or cause.__context__):
        cause = deeper
    return f"{type(exc).__name__}: {cause}".rstrip(": ")


def _fields(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = json.loads(answer.content[:65536])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_report(health: dict[str, Any], ready: dict[str, Any], asked_at: float) -> Report | None:
    """What FastVideo's `/health` and `/readyz` bodies say . None: nothing."""
    total, available, sessions = (
        _count(ready.get("total_gpus")),
        _count(ready.get("available_gpus")),
        _count(health.get("sessions")),
    )
    busy = [] if sessions is None else [sessions]
    if total is not None and available is not None:
        busy.append(max(0, total - available))
    warming = ready.get("status") == "warming" or ready.get("ready_gpu_workers") == 0
    if total is None and not busy and not warming:
        return None
    return Report(asked_at, max(busy, default=None), total, warming)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
