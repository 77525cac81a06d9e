"""What the sessions of one router share. Wired in `app`, used by `listener` and `session`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .admission import Admission
from .core.balancing import PolicyFactory
from .core.book import SessionBook
from .core.config import RouterConfig
from .core.dialects import Dialect, make_dialect
from .core.flow import Scratch
from .core.registry import ReplicaRegistry
from .identity import Identities
from .keeper import Keeper
from .poller import Poller
from .upstream import Dialler


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
    scratch: Scratch
    dialects: dict[str, Dialect]


def make_services(
    config: RouterConfig,
    registry: ReplicaRegistry | None = None,
    *,
    policies: Mapping[str, PolicyFactory] | None = None,
) -> Services:
    """Everything that a router needs, nothing of it started.

    Raises:
        ValueError: a ``balance`` that is neither the router's own nor in ``policies``.
    """
    registry = registry or ReplicaRegistry(config, policies=policies)
    poller, keeper = Poller(), Keeper()
    identities = Identities(config, registry)
    return Services(
        config=config,
        registry=registry,
        admission=Admission(config, registry, identities),
        identities=identities,
        book=SessionBook(),
        poller=poller,
        keeper=keeper,
        dialler=Dialler(config, poller, keeper),
        scratch=Scratch(),
        dialects={stream.path: make_dialect(stream.dialect or config.dialect) for stream in config.streams},
    )
