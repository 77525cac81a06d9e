"""Which of several available replicas takes a session. One small class for each policy; all share one Protocol.

A policy is given only replicas that are available, all of one tier, at least one. It never counts or reserves.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from trio_router.core.replicas.replica import Replica


class Policy(Protocol):
    """Chooses a replica for a session. Inherit from it to write one of your own: only `choose` has no default."""

    #: Whether a key always leads to the same replica while the set is the same: a cookie is then of no use.
    uses_key: bool = False

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """Return one of ``candidates`` (never empty). ``key`` is the client's affinity key, if it has one."""
        raise NotImplementedError

    def forget(self, replica: Replica) -> None:
        """The replica was removed: drop what is kept about it."""
        return None


#: Makes a policy: a class without required arguments, or a function.
PolicyFactory = Callable[[], Policy]


def load(replica: Replica, now: float) -> float:
    """The taken share of its capacity, divided by its weight. Without a limit: its sessions divided by its weight."""
    return replica.taken / ((replica.capacity(now) or 1) * replica.endpoint.weight)


class LeastSessions(Policy):
    """The least loaded by share of capacity and weight. Ties are broken at random, by weight."""

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """See `Policy.choose`."""
        loads = [load(replica, now) for replica in candidates]
        least = min(loads)
        tied = [r for r, share in zip(candidates, loads, strict=True) if share <= least * (1 + 1e-9)]
        return rng.choices(tied, weights=[r.endpoint.weight * (r.capacity(now) or 1) for r in tied])[0]


class First(Policy):
    """The first in the order of the configuration: fills one before the next, so that others can be switched off."""

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """See `Policy.choose`."""
        return candidates[0]


class RoundRobin(Policy):
    """Each in turn, in proportion to weight and evenly spread (the smooth weighted round robin of nginx)."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """See `Policy.choose`."""
        total = 0.0
        for replica in candidates:
            weight = replica.endpoint.weight
            total += weight
            self._credit[replica.url] = self._credit.get(replica.url, 0.0) + weight
        best = max(candidates, key=lambda replica: self._credit[replica.url])
        self._credit[best.url] -= total
        return best

    def forget(self, replica: Replica) -> None:
        """See `Policy.forget`."""
        self._credit.pop(replica.url, None)


class RandomTwo(Policy):
    """The less loaded of two drawn at random: nearly as even as the least loaded, without herding on stale reports."""

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """See `Policy.choose`."""
        pair = rng.sample(candidates, min(2, len(candidates)))
        return min(pair, key=lambda replica: load(replica, now))


class Hash(Policy):
    """Weighted rendezvous hashing on the key: only the keys of a replica that left move. Without a key, the least loaded."""

    uses_key = True

    def __init__(self) -> None:
        self._keyless = LeastSessions()

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """See `Policy.choose`."""
        if key is None:
            return self._keyless.choose(candidates, key=None, now=now, rng=rng)
        return max(candidates, key=lambda replica: rendezvous_score(key, replica))


def rendezvous_score(key: str, replica: Replica) -> float:
    """A positive score, the same for a key and URL in every process and run; the highest wins, in proportion to the weight."""
    digest = hashlib.blake2b(f"{replica.endpoint.base}\0{key}".encode(), digest_size=8).digest()
    unit = (int.from_bytes(digest[:6], "big") + 0.5) / 2**48  # exact in a float, so never 0 or 1
    return -replica.endpoint.weight / math.log(unit)


#: The policies that come with the router, by the names that the configuration uses.
POLICIES: Final[Mapping[str, PolicyFactory]] = {
    "least_sessions": LeastSessions,
    "first": First,
    "round_robin": RoundRobin,
    "random_two": RandomTwo,
    "hash": Hash,
}


def make_policy(name: str, policies: Mapping[str, PolicyFactory] | None = None) -> Policy:
    """A fresh policy by its name; ``policies`` come before the router's own.

    Raises:
        ValueError: there is none of this name.
    """
    known = {**POLICIES, **(policies or {})}
    if name not in known:
        raise ValueError(f"balance: no policy is called {name!r}; known are {', '.join(known)}")
    return known[name]()
