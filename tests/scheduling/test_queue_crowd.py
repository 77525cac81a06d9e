"""200 clients, 8 replicas, one dies and one is born on the way. Minutes of the real thing in seconds here."""

from __future__ import annotations

import random
import socket
from collections import Counter
from typing import Final

import trio

from tests.scheduling.real import Refused, Viewer, eventually, routing, start_replica, viewing
from trio_router import ReplicaStatus, Router

CLIENTS: Final = 200
#: A session of 20 ± 10 s takes so many seconds here.
SCALE: Final = 1 / 120
#: The only words with which a client may be sent away: the operator's limit, and the death of its replica under it.
STATED: Final = {("gpu_unavailable", 1013), ("worker_failed", 1011)}


class Crowd:
    """Everybody's fate. ``half`` is set when half of them have been served."""

    def __init__(self, router: Router, rng: random.Random) -> None:
        self.router = router
        self.rng = rng
        self.served = 0
        self.by_replica: Counter[str] = Counter()
        self.refusals: Counter[tuple[str, int]] = Counter()
        self.half = trio.Event()

    async def client(self, seconds: float) -> None:
        """Comes back until it is served; each time it waits as long as it takes."""
        while True:
            async with viewing(self.router) as viewer:
                try:
                    await self._watch(viewer, seconds)
                    return
                except Refused as refused:
                    self.refusals[refused.message["code"], refused.code] += 1
                    answer = refused.message
            assert answer["retryable"]
            pause = answer.get("retry_after_seconds", 1)
            await trio.sleep(self.rng.uniform(0.5, 1.5) * pause * SCALE)

    async def _watch(self, viewer: Viewer, seconds: float) -> None:
        if not await viewer.join():
            await viewer.served()
        await viewer.segment()
        with trio.move_on_after(seconds):
            await viewer.hear()
            raise AssertionError("a replica says nothing of its own")
        self.served += 1
        assert viewer.replica is not None
        self.by_replica[viewer.replica] += 1
        if self.served == CLIENTS // 2:
            self.half.set()


async def test_everybody_is_served_while_replicas_come_and_go(nursery: trio.Nursery) -> None:
    rng = random.Random(20)
    old = [await start_replica(nursery, f"r{n}") for n in range(7)]
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))  # nobody listens there: who dials is refused
    port = reserved.getsockname()[1]
    urls = [*(url for url, _ in old), f"http://127.0.0.1:{port}"]
    settings = {
        "queue": {"length": 120, "timeout_seconds": 50},
        "limits": {"connections_without_session_per_address": CLIENTS},  # they come all at once, from one address
        "health_check_interval_seconds": 0.25,
    }
    async with routing(*urls, unborn=1, **settings) as router:
        crowd = Crowd(router, rng)
        async with trio.open_nursery() as viewers:
            for _ in range(CLIENTS):
                viewers.start_soon(crowd.client, rng.uniform(10, 30) * SCALE)
            await crowd.half.wait()
            old[0][1].cancel()  # as a crash: connections drop without a close frame
            reserved.close()
            await start_replica(nursery, "born", port=port)
        assert crowd.served == CLIENTS
        assert set(crowd.refusals) <= STATED, crowd.refusals
        assert crowd.refusals["worker_failed", 1011] <= 1, "only who was on the replica that died"
        assert crowd.by_replica["born"] > 0
        dead, *well = router.registry.replicas
        await eventually(lambda: dead.health.status is ReplicaStatus.UNHEALTHY)
        assert all(replica.health.status is ReplicaStatus.HEALTHY for replica in well)
        await eventually(lambda: not router.services.session_table.open and all(r.taken == 0 for r in well))
        assert (len(router.services.admission.queue), dead.held) == (0, 0)
    nursery.cancel_scope.cancel()
