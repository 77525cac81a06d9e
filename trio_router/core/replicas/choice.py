"""Which replica a session gets: from the state of the replicas to one slot on one of them. Nothing here waits."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trio_router.core.config import RouterConfig
from trio_router.core.replicas.balancing import Policy, PolicyFactory, make_policy
from trio_router.core.replicas.replica import Replica
from trio_router.core.replicas.replica_set import ReplicaSet


@dataclass(eq=False, slots=True)
class Slot:
    """Capacity for one session on ``replica``, from `ReplicaChoice.reserve` until `ReplicaRegistry.release`."""

    replica: Replica
    number: int
    key: str | None = None  # the affinity key of its client
    released: bool = False


class ReplicaChoice(ReplicaSet):
    """The questions that a session asks of the replicas, and the slot that it gets."""

    def __init__(
        self,
        config: RouterConfig,
        *,
        rng: random.Random | None = None,
        policies: Mapping[str, PolicyFactory] | None = None,
        default_capacity: int | None = 1,
    ) -> None:
        super().__init__(config, default_capacity=default_capacity)
        self.rng = rng or random.Random()
        names = (config.balance, *(stream.balance for stream in config.streams))
        self._policies = {name: make_policy(name, policies) for name in names if name is not None}
        self._given_policies = policies
        self._numbers = itertools.count(1)
        self._began: float | None = None  # when it was called for the first time

    def candidates(self, *, now: float, preset: str | None = None, exclude: Collection[Replica] = ()) -> list[Replica]:
        """The available replicas of the best tier (see `Replica.tier`); empty if there are none."""
        fitting = [
            replica
            for replica in self.replicas
            if replica.available(now) and replica not in exclude and serves(replica, preset)
        ]
        if not fitting:
            return []
        best = min(replica.tier for replica in fitting)
        return [replica for replica in fitting if replica.tier == best]

    def select(self, *, now: float = 0.0, key: str | None = None, balance: str | None = None) -> Replica | None:
        """The replica that such a session would get, or None. Reserves nothing."""
        found = self.candidates(now=now)
        return self.policy(balance).choose(found, key=key, now=now, rng=self.rng) if found else None

    def reserve(
        self,
        *,
        now: float,
        key: str | None = None,
        preset: str | None = None,
        exclude: Collection[Replica] = (),
        prefer: str | None = None,
        balance: str | None = None,
    ) -> Slot | None:
        """Pick a replica and take a slot on it, or None when no fitting one is available.

        ``prefer`` is the URL of a replica that knows the client: taken if it is available, whatever the policy says. A
        slot that lingers there under the same ``key`` is the client's own and counts as free for it.
        """
        for replica in self.replicas:
            replica.forget_over(now)
        known = [r for r in self.replicas if r.url == prefer and r not in exclude] if prefer else []
        if known and known[0].available(now, key=key) and not known[0].refusing and serves(known[0], preset):
            return self._take(known[0], now, key)
        found = self.candidates(now=now, preset=preset, exclude=exclude)
        if not found:
            return None
        return self._take(self.policy(balance).choose(found, key=key, now=now, rng=self.rng), now, key)

    def policy(self, balance: str | None = None) -> Policy:
        """The policy of this name, or of the configuration. It keeps its state from one session to the next.

        Raises:
            ValueError: there is none of this name.
        """
        name = balance or self.config.balance
        if name not in self._policies:
            self._policies[name] = make_policy(name, self._given_policies)
        return self._policies[name]

    def has_capacity(self, now: float) -> bool:
        """Whether any replica is available."""
        return any(replica.available(now) for replica in self.replicas)

    def keys_with_capacity(self, now: float) -> set[str]:
        """The affinity keys with lingering slots on replicas that have no free slot for other clients."""
        found: set[str] = set()
        for replica in self.replicas:
            if replica.lingering:
                keys = {slot.key for slot in replica.lingering if slot.key is not None}
                found |= {key for key in keys if replica.available(now, key=key)}
        return found

    def fits(self, *, preset: str | None = None, exclude: Collection[Replica] = ()) -> bool:
        """Whether waiting may help: a fitting replica is not ordered away, though it may be full or down now."""
        return any(r.expected and r not in exclude and serves(r, preset) for r in self.replicas)

    def unusable_since(
        self, now: float, *, preset: str | None = None, exclude: Collection[Replica] = ()
    ) -> float | None:
        """Since when such a session has had no usable replica.

        None: it has one now, though it may be full. ``-inf``: none is to come at all. Before the first probe has
        answered, the outage began with the first question.
        """
        began = self._begin(now)
        since = -math.inf
        for replica in self.replicas:
            if replica.expected and replica not in exclude and serves(replica, preset):
                if replica.usable(now):
                    return None
                since = max(since, replica.usable_until, began)
        return since

    def serves_anywhere(self, preset: str | None) -> bool:
        """Whether any replica, in whatever state, is configured to serve this preset."""
        return any(serves(replica, preset) for replica in self.replicas)

    def next_change(self, now: float) -> float:
        """When a slot may become free by the passing of time alone, at the earliest; infinity if never."""
        times = [
            time
            for r in self.replicas
            for time in (r.full_until, r.ejected_until, r.grows_at(now), *r.lingers_until)
            if time > now
        ]
        return min(times, default=math.inf)

    def _begin(self, now: float) -> float:
        if self._began is None:
            self._began = now
        return self._began

    def _take(self, replica: Replica, now: float, key: str | None) -> Slot:
        slot = Slot(replica, next(self._numbers), key)
        replica.held_since[slot.number] = replica.changed_at = now
        return slot

    def _forget(self, replica: Replica) -> None:
        for policy in self._policies.values():
            policy.forget(replica)


def serves(replica: Replica, preset: str | None) -> bool:
    """Whether the replica's list of presets allows this one; no list, or no preset asked for, allows any."""
    return preset is None or not replica.endpoint.presets or preset in replica.endpoint.presets
