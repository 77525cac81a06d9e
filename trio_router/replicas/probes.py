"""The probe loop: asks every replica how it is, and tells the registry. What follows from it is `core.health`'s table.

Probes run side by side, each with its own timeout, so that a slow replica delays nobody. The loop ends when its scope
is cancelled, and by nothing else: whatever goes wrong in a turn is a failed probe of that replica, and its next turn comes.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import Final

import trio

from trio_router.core.config import RouterConfig
from trio_router.core.errors import StartError
from trio_router.core.events import Events
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica
from trio_router.operations.log_events import EventLog
from trio_router.operations.logging import get_logger
from trio_router.replicas.probe import Found, Probe
from trio_router.replicas.probe import HttpGet as HttpGet
from trio_router.replicas.probe_client import words
from trio_router.replicas.probe_clients import Clients
from trio_router.replicas.probe_tasks import following

log = get_logger("trio_router.replicas.probes")

#: Probes are spread by so much, so that several routers do not ask in step (HAProxy's spread-checks, Envoy's jitter).
JITTER: Final = 0.1
#: While a report would settle something (a GPU that may be free again), it is asked for this often (Ray Serve: 250 ms).
SOON_SECONDS: Final = 0.25


async def run_health_check_loop(
    registry: ReplicaRegistry,
    config: RouterConfig,
    *,
    http_get: HttpGet | None = None,
    events: Events | None = None,
    probe_path: Callable[[RouterConfig], str] | None = None,
) -> None:
    """Probe all replicas, the first time at once, then every ``health_check_interval_seconds`` ± 10 %, for ever.

    ``http_get`` is called with each replica's URL plus the health path instead of going to the network; the replicas'
    own reports (`/readyz`) are then not asked for. ``events`` is told what changes; without it, that is logged.
    ``probe_path`` gives the health path, if it is not the configuration's.

    The loop follows the registry: a replica that is added is probed at once, one that is removed no more once its last
    session has ended. After `ReplicaRegistry.reconfigure` the probes go by the configuration that it was given.

    Raises:
        StartError: there are https replicas, and the CA file for them cannot be used.
    """
    told, path = _Told(registry, events or EventLog()), probe_path or _configured_path
    async with Clients() as clients:
        if any(_is_secure(replica) for replica in registry.replicas):
            await clients.get(config, secure=True)

        async def probe(replica: Replica, config: RouterConfig) -> None:
            try:
                client = await clients.get(config, secure=_is_secure(replica))
            except StartError as exc:  # it was added at run time; at the start this ends the router
                registry.probe_failed(replica, str(exc), now=trio.current_time())
                log.error("replica cannot be probed", replica=replica.label, error=str(exc))
                return
            prober = _Prober(registry, replica, Probe(config, replica, client, http_get, path(config)), told)
            await prober.run(config.health_check_interval_seconds)

        async with trio.open_nursery() as nursery:
            with following(registry, config, nursery, probe, lambda config: (path(config), *_times(config))):
                await trio.sleep_forever()


async def probe_once(
    registry: ReplicaRegistry, config: RouterConfig, *, events: Events | None = None, probe_path: str | None = None
) -> None:
    """One probe of each replica, side by side. ``probe_path`` is the health path, if it is not the configuration's."""
    told = _Told(registry, events or EventLog())
    async with Clients() as clients, trio.open_nursery() as nursery:
        for replica in registry.replicas:
            client = await clients.get(config, secure=_is_secure(replica))
            nursery.start_soon(_Prober(registry, replica, Probe(config, replica, client, path=probe_path), told).turn)


def _configured_path(config: RouterConfig) -> str:
    return config.health_check_path


def _times(config: RouterConfig) -> tuple[float, float]:
    return config.health_check_interval_seconds, config.health_check_timeout_seconds


def _is_secure(replica: Replica) -> bool:
    return replica.endpoint.base.startswith("https")


class _Told:
    """What the probers of one loop tell its sink, and whether any replica was usable when that was last told."""

    def __init__(self, registry: ReplicaRegistry, events: Events) -> None:
        self.events = events
        self._registry = registry
        self._usable: bool | None = None

    def look(self, now: float) -> None:
        """Tell if the last usable replica is gone, or one is back. At the start only when all probes agree that none is.

        Only probes and operators take the last one away (`ReplicaRegistry.session_failed`), so each turn is often enough.
        """
        replicas = self._registry.replicas
        usable = any(replica.usable(now) for replica in replicas)
        if usable is self._usable:
            return
        first = self._usable is None
        if first and not usable and any(replica.health.status is ReplicaStatus.UNKNOWN for replica in replicas):
            return
        self._usable = usable
        if not (first and usable):
            self.events.replicas_usable(usable)


class _Prober:
    """The turns of one replica."""

    def __init__(self, registry: ReplicaRegistry, replica: Replica, probe: Probe, told: _Told) -> None:
        self._registry = registry
        self._replica = replica
        self._probe = probe
        self._told = told
        self._remark: str | None = None  # told last
        self._broken = 0  # turns that raised, in all
        self._breaking: str | None = None  # what the last turn raised

    async def run(self, interval: float) -> None:
        while True:
            await self.turn()
            await self._wait(interval * random.uniform(1 - JITTER, 1 + JITTER))

    async def _wait(self, seconds: float) -> None:
        """Until the next probe is due; sooner when a report is wanted."""
        due = trio.current_time() + seconds
        while (now := trio.current_time()) < due:
            await trio.sleep(min(SOON_SECONDS, due - now))
            if self._replica.wants_probe(trio.current_time()):
                return

    async def turn(self) -> None:
        """One probe, unless the replica is in maintenance. Raises nothing: a turn that breaks is a failed probe."""
        try:
            if self._replica.admin is not AdminState.MAINT:
                self._tell(await self._probe())
            self._told.look(trio.current_time())
            self._breaking = None
        except Exception as exc:
            self._note_broken(exc)
            with contextlib.suppress(Exception):  # the same again: it was said
                self._tell(Found(words(exc)))

    def _tell(self, found: Found) -> None:
        replica, registry, now = self._replica, self._registry, trio.current_time()
        if replica.admin is AdminState.MAINT:  # ordered while it was being asked: what it says has no effect any more
            return
        if found.error is None:
            changed = registry.probe_succeeded(
                replica,
                latency_ms=found.latency_ms,
                wall=time.time(),
                now=now,
                report=found.report,
                remark=found.remark,
            )
        else:
            changed = registry.probe_failed(replica, found.error, now=now)
        if changed:
            self._told.events.replica_changed(replica, found.error)
        if found.error is not None:
            self._told.events.probe_failed(replica, found.error)
        if found.error is None and found.remark != self._remark:
            self._remark = found.remark
            if found.remark is not None:
                self._told.events.replica_unread(replica, found.remark)

    def _note_broken(self, exc: Exception) -> None:
        """Count it; log it with its traceback, but only once for as long as it is the same."""
        self._broken += 1
        said, self._breaking = self._breaking, words(exc)
        if said != self._breaking:
            log.exception("a probe turn is broken", replica=self._replica.label, broken_turns=self._broken)
