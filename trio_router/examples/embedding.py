"""A router inside a Trio program, with an event sink and a balancing policy of its own.

python embedding.py http://10.0.0.11:8000 http://10.0.0.12:8000
"""

from __future__ import annotations

import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence

import trio

from trio_router import Events, Outcome, Replica, ReplicaEndpoint, RouterConfig, open_router
from trio_router.core.session.table import OpenSession


class CountEnds(Events):
    """Counts how sessions ended. Called synchronously, so it returns at once."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()

    def session_ended(self, session: OpenSession, outcome: Outcome) -> None:
        """One more."""
        self.ends[outcome.label] += 1


class Alphabetical:
    """A policy: the first by name. It reads no affinity key and remembers nothing."""

    uses_key = False

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        """One of ``candidates``, which are never empty."""
        return min(candidates, key=lambda replica: replica.label)

    def forget(self, replica: Replica) -> None:
        """A replica was removed: nothing is known of it."""


async def main(urls: Sequence[str]) -> Counter[str]:
    """Route between ``urls`` until SIGINT or SIGTERM; returns how sessions ended."""
    counts = CountEnds()
    replicas = [ReplicaEndpoint(url) for url in urls]
    config = RouterConfig(host="127.0.0.1", port=0, replicas=replicas, dialect="opaque", balance="alphabetical")
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_router(config, events=[counts], policies={"alphabetical": Alphabetical}) as router:
            print(f"ws://127.0.0.1:{router.port}/v1/stream", flush=True)
            await anext(signals)
    return counts.ends


if __name__ == "__main__":
    print(dict(trio.run(main, sys.argv[1:])))
