"""What the sessions of one router share. Wired in `app`, used by `listener` and the sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trio_router.core.config import RouterConfig
from trio_router.core.dialects import Dialect, make_dialect, shared_capacity
from trio_router.core.events import Events
from trio_router.core.replicas.balancing import PolicyFactory
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.session.table import SessionTable
from trio_router.core.websocket.budget import ByteBudget
from trio_router.core.websocket.buffer import Scratch
from trio_router.net.poller import Poller
from trio_router.net.timers import Timers
from trio_router.operations.log_events import fan_out
from trio_router.operations.totals import RefusalTotals, SuspectSessions
from trio_router.relay.rules import RelayParts
from trio_router.replicas.connector import ReplicaConnector
from trio_router.scheduling.admission import Admission
from trio_router.scheduling.identity import Identities


@dataclass(slots=True)
class Services:
    """One of each for a router. ``dialects`` by stream path. Only `reconfigure` changes it."""

    config: RouterConfig
    registry: ReplicaRegistry
    admission: Admission
    identities: Identities
    session_table: SessionTable
    poller: Poller
    timers: Timers
    connector: ReplicaConnector
    relay_parts: RelayParts
    dialects: dict[str, Dialect]
    events: Events

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by ``config`` for what begins from now on; open sessions keep the timeouts and limits they began with.

        The registry is not told: its `reconfigure` comes first, and may refuse.
        """
        self.config = config
        before = self.relay_parts
        before.unplaced.resize(config.limits.unplaced_bytes)
        self.relay_parts = RelayParts(config.timeouts, config.limits, before.scratch, before.timers, before.unplaced)
        self.identities.reconfigure(config)
        self.connector.reconfigure(config)
        self.admission.reconfigure(config)


def make_services(
    config: RouterConfig,
    registry: ReplicaRegistry | None = None,
    *,
    events: Sequence[Events] = (),
    policies: Mapping[str, PolicyFactory] | None = None,
    dialects: Mapping[str, Dialect] | None = None,
) -> Services:
    """Everything that a router needs, nothing of it started.

    ``events`` are told what happens, after the log and the totals. ``policies`` and ``dialects`` are an embedder's own, by
    the names that the configuration uses.

    Raises:
        ValueError: a ``balance`` or a dialect that is neither the router's own nor given.
    """
    by_path = {stream.path: make_dialect(stream.dialect or config.dialect, dialects) for stream in config.streams}
    if registry is None:
        capacity = shared_capacity(by_path.values())
        registry = ReplicaRegistry(config, policies=policies, default_capacity=capacity)
    poller, timers = Poller(), Timers()
    identities = Identities(config, registry)
    session_table = SessionTable()
    return Services(
        config=config,
        registry=registry,
        admission=Admission(config, registry, identities),
        identities=identities,
        session_table=session_table,
        poller=poller,
        timers=timers,
        connector=ReplicaConnector(config, poller, timers),
        relay_parts=RelayParts(
            config.timeouts, config.limits, Scratch(), timers, ByteBudget(config.limits.unplaced_bytes)
        ),
        dialects=by_path,
        events=fan_out((RefusalTotals(session_table), SuspectSessions(session_table), *events)),
    )
