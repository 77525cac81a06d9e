"""What the sessions of one router share. Wired in `app`, used by `listener` and the sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trio_router.admission import Admission
from trio_router.core.balancing import PolicyFactory
from trio_router.core.book import SessionBook
from trio_router.core.budget import ByteBudget
from trio_router.core.config import RouterConfig
from trio_router.core.dialects import Dialect, make_dialect
from trio_router.core.events import Events
from trio_router.core.flow import Scratch
from trio_router.core.registry import ReplicaRegistry
from trio_router.core.totals import RefusalTotals, SuspectSessions
from trio_router.eventlog import fan_out
from trio_router.identity import Identities
from trio_router.keeper import Keeper
from trio_router.poller import Poller
from trio_router.relay.rules import RelayParts
from trio_router.upstream import Dialler


@dataclass(frozen=True, slots=True)
class Services:
    """One of each for a router. ``dialects`` by stream path."""

    config: RouterConfig
    registry: ReplicaRegistry
    admission: Admission
    identities: Identities
    book: SessionBook
    poller: Poller
    keeper: Keeper
    dialler: Dialler
    relay_parts: RelayParts
    dialects: dict[str, Dialect]
    events: Events


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
    registry = registry or ReplicaRegistry(config, policies=policies)
    poller, keeper = Poller(), Keeper()
    identities = Identities(config, registry)
    book = SessionBook()
    return Services(
        config=config,
        registry=registry,
        admission=Admission(config, registry, identities),
        identities=identities,
        book=book,
        poller=poller,
        keeper=keeper,
        dialler=Dialler(config, poller, keeper),
        relay_parts=RelayParts(
            config.timeouts, config.limits, Scratch(), keeper, ByteBudget(config.limits.unplaced_bytes)
        ),
        dialects={stream.path: make_dialect(stream.dialect or config.dialect, dialects) for stream in config.streams},
        events=fan_out((RefusalTotals(book), SuspectSessions(book), *events)),
    )
