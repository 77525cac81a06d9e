"""A day, drawn at random: who comes when and for how long, which replica is there when, and which of them fail."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

DAY_SECONDS = 24 * 3600.0
MEAN_MINUTES = 5.0  # of a session; the median is well below, a few take half an hour
SIGMA = 0.9
#: Slots of the replicas, in turn: most are one GPU, some are nodes with several.
CAPACITIES = (1, 1, 2, 1, 4)
USERS_PER_SESSION = 0.2  # so that a user comes some five times a day
BURSTS = 12  # links that were shared: some visitors within five minutes, on top of the curve
BURST_SHARE = 0.08
SCALE_OUT_SHARE = 0.2  # of the replicas come only at noon
FAILURES_PER_REPLICA = 0.4
REPAIR_MINUTES = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One session: when, how long it takes once it is served, and whose it is."""

    at: float
    seconds: float
    user: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A replica dies, and is back later."""

    replica: int
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Workload:
    """``born[i]`` is when replica i is started; ``capacities[i]`` are its slots."""

    seed: int
    arrivals: tuple[Arrival, ...]
    capacities: tuple[int, ...]
    born: tuple[float, ...]
    outages: tuple[Outage, ...]


def draw(sessions: int, replicas: int, seed: int) -> Workload:
    """The same day for the same arguments."""
    rng = random.Random(seed)
    late = round(replicas * SCALE_OUT_SHARE)
    return Workload(
        seed=seed,
        arrivals=_arrivals(rng, sessions),
        capacities=tuple(CAPACITIES[i % len(CAPACITIES)] for i in range(replicas)),
        born=tuple(0.0 if i < replicas - late else DAY_SECONDS / 2 for i in range(replicas)),
        outages=tuple(_outages(rng, replicas)),
    )


def curve(at: float) -> float:
    """How busy the hour is, from 0 to 1: quiet at five in the morning, busiest at eight in the evening."""
    hour = at / 3600
    evening = math.exp(-(((hour - 20) / 3.5) ** 2))
    noon = 0.65 * math.exp(-(((hour - 13) / 3.5) ** 2))
    return min(1.0, 0.15 + max(evening, noon))


def _arrivals(rng: random.Random, sessions: int) -> tuple[Arrival, ...]:
    users = max(1, round(sessions * USERS_PER_SESSION))
    mean = MEAN_MINUTES * 60
    mu = math.log(mean) - SIGMA**2 / 2
    bursts = [_moment(rng) for _ in range(BURSTS)]
    drawn = []
    for _ in range(sessions):
        at = _moment(rng)
        if rng.random() < BURST_SHARE:
            at = min(DAY_SECONDS, rng.choice(bursts) + rng.uniform(0, 300))
        drawn.append(Arrival(at, max(5.0, rng.lognormvariate(mu, SIGMA)), rng.randrange(users)))
    return tuple(sorted(drawn, key=lambda arrival: arrival.at))


def _moment(rng: random.Random) -> float:
    """A time of the day, by the curve."""
    while True:
        at = rng.uniform(0, DAY_SECONDS)
        if rng.random() < curve(at):
            return at


def _outages(rng: random.Random, replicas: int) -> list[Outage]:
    """At most one for a replica; failures cost a while, as a reboot does."""
    found = []
    for replica in range(replicas):
        if rng.random() < FAILURES_PER_REPLICA:
            begins = rng.uniform(0, DAY_SECONDS)
            found.append(Outage(replica, begins, begins + rng.expovariate(1 / (REPAIR_MINUTES * 60))))
    return found
