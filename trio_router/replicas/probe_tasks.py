"""One task for each replica of a registry, for as long as the replica is in it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator

import trio

from trio_router.core.config import RouterConfig
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica

#: Probes a replica as a configuration says, until cancelled.
ProbeForever = Callable[[Replica, RouterConfig], Awaitable[None]]
#: What of a configuration its probes go by.
Rules = Callable[[RouterConfig], object]


@contextlib.contextmanager
def following(
    registry: ReplicaRegistry, config: RouterConfig, nursery: trio.Nursery, probe: ProbeForever, rules: Rules
) -> Iterator[None]:
    """Keep a task in ``nursery`` for each replica that ``registry`` lists, one that is being removed included.

    Tasks are started and cancelled in the call that changes the set. They get ``config`` until the registry is given
    another one whose ``rules`` differ; then all of them begin anew.
    """
    running: dict[Replica, trio.CancelScope] = {}
    current = [config, registry.config]

    async def run(replica: Replica, scope: trio.CancelScope) -> None:
        with scope:
            await probe(replica, current[0])

    def follow() -> None:
        if rules(registry.config) != rules(current[1]):
            current[:] = registry.config, registry.config
            stop(set(running))
        stop(running.keys() - set(registry.replicas))
        for replica in registry.replicas:
            if replica not in running:
                running[replica] = trio.CancelScope()
                nursery.start_soon(run, replica, running[replica], name=f"probes of {replica.label}")

    def stop(replicas: set[Replica]) -> None:
        for replica in replicas:
            running.pop(replica).cancel()

    before, registry.on_replicas_changed = registry.on_replicas_changed, follow
    try:
        follow()
        yield
    finally:
        registry.on_replicas_changed = before
