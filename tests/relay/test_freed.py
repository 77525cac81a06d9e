"""A session that is over is freed at once: nothing of it is left for Python's cycle collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from tests.relay.far import FarEnd
from tests.relay.router import Stage, staged


@pytest.fixture
def left_over() -> Iterator[Callable[[], Counter[str]]]:
    """Collects; returns which objects of ours only the collector could free since the fixture began."""

    def collect() -> Counter[str]:
        gc.collect()
        found = Counter(
            type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("trio_router")
        )
        gc.garbage.clear()
        return found

    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield collect
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def by_the_client(client: FarEnd, replica: FarEnd) -> None:
    await client.close(1000)
    await replica.hears_close(1000)
    await replica.close(1000)
    await client.hears_close(1000)


async def by_the_replica(client: FarEnd, replica: FarEnd) -> None:
    await replica.close(1000)
    await client.hears_close(1000)
    await client.close(1000)
    await replica.hears_close(1000)


async def by_a_client_that_vanishes(client: FarEnd, replica: FarEnd) -> None:
    await client.vanish()
    await replica.hear()
    await replica.vanish()


async def by_a_replica_that_vanishes(client: FarEnd, replica: FarEnd) -> None:
    await replica.vanish()
    await client.hears_error("worker_failed")
    await client.vanish()


@pytest.mark.parametrize("end", [by_the_client, by_the_replica, by_a_client_that_vanishes, by_a_replica_that_vanishes])
async def test_nothing_is_left_for_the_collector(
    end: Callable[[FarEnd, FarEnd], Awaitable[None]], left_over: Callable[[], Counter[str]]
) -> None:
    async with staged() as stage:
        await run_one(stage, end)  # what is made once
        left_over()
        await run_one(stage, end)
        assert left_over() == Counter()


async def run_one(stage: Stage, end: Callable[[FarEnd, FarEnd], Awaitable[None]]) -> None:
    client, replica = await stage.session()
    await end(client, replica)
    await stage.settled(open_sessions=0)
    await trio.testing.wait_all_tasks_blocked()
