"""The set of replicas: which ones exist, and how that changes while sessions are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.config.models import bare_url
from trio_router.core.replicas.replica import AdminState, Replica


@dataclass(frozen=True, slots=True)
class ReplicaDiff:
    """What one `ReplicaRegistry.apply` changed. A removed replica may stay listed while it has sessions."""

    added: tuple[Replica, ...] = ()
    changed: tuple[Replica, ...] = ()
    removed: tuple[Replica, ...] = ()


class ReplicaSet:
    """Replicas in the order of the configuration; those that are being removed come last.

    ``replicas`` is never changed in place: it is replaced, then ``on_replicas_changed`` is called.
    """

    def __init__(self, config: RouterConfig, *, default_capacity: int | None = 1) -> None:
        self.config = config
        self._default_capacity = default_capacity
        self.replicas: tuple[Replica, ...] = tuple(self._make(endpoint) for endpoint in config.replicas)
        self.on_replicas_changed: Callable[[], None] = lambda: None

    def _make(self, endpoint: ReplicaEndpoint) -> Replica:
        return Replica(
            endpoint, default_capacity=self._default_capacity, slow_start_seconds=self.config.slow_start_seconds
        )

    # The names of FastVideo's registry

    def all(self) -> list[Replica]:
        """Every replica, also one that is being removed."""
        return list(self.replicas)

    def get(self, url: str) -> Replica | None:
        """The replica with this URL; case of the host and a trailing slash do not matter."""
        base = bare_url(url)
        return next((replica for replica in self.replicas if replica.endpoint.base == base), None)

    def primaries(self) -> list[Replica]:
        """Those that are configured as primary."""
        return [replica for replica in self.replicas if replica.primary]

    # Changing it

    def _exchange(self, endpoints: Sequence[ReplicaEndpoint], *, now: float) -> ReplicaDiff:
        """Make ``endpoints`` the set. The URL is a replica's identity: the same URL keeps its record."""
        known = {replica.endpoint.base: replica for replica in self.replicas}
        added, changed, wanted = [], [], []
        for endpoint in endpoints:
            replica = known.pop(endpoint.base, None)
            if replica is None:
                replica = self._make(endpoint)
                replica.usable_until = now
                added.append(replica)
            elif replica.endpoint != endpoint or replica.removing:
                if replica.removing:  # what was ordered before it was taken out does not hold any more
                    replica.admin = AdminState.READY
                replica.endpoint, replica.removing = endpoint, False
                changed.append(replica)
            wanted.append(replica)
        removed = [replica for replica in known.values() if not replica.removing]
        for replica in removed:
            replica.removing = True
        self.replicas = (*wanted, *(replica for replica in known.values() if replica.held))
        return ReplicaDiff(tuple(added), tuple(changed), tuple(removed))

    def _drop(self, replica: Replica) -> None:
        """Remove it: its last session has ended."""
        self.replicas = tuple(other for other in self.replicas if other is not replica)
        self.on_replicas_changed()
