"""A turn and a departure in the same instant: the slot goes to somebody, and once."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, Closed
from tests.session.stage import Stage, staged
from trio_router.core.scheduling.queue import SlotRequest
from trio_router.scheduling.scheduler import SessionEntry


async def test_a_turn_that_comes_in_the_instant_of_leaving_is_not_lost(clock: MockClock) -> None:
    """Ten times, because Trio runs what is ready in any order."""
    for _ in range(10):
        async with staged() as stage:
            actor = stage.actors[0]
            held = stage.registry.reserve(now=0.0)
            assert held is not None
            leaving, staying = await stage.client(), await stage.client()
            await staying.told(2, 2)
            stage.nursery.start_soon(leaving.vanish)
            stage.registry.release(held, now=0.0)
            found = await actor.accepted()
            try:
                await found.hears(INIT)
                await found.say(ASSIGNED)
                await staying.hears(ASSIGNED)
            except (Closed, AssertionError):
                await actor.admit()
                await staying.hears(ASSIGNED)


async def test_a_slot_that_was_given_and_not_fetched_is_given_back(clock: MockClock) -> None:
    """The admission alone: its turn comes between the waiter's cancellation and its end."""
    async with staged() as stage:
        admission, registry = stage.services.admission, stage.registry
        held = registry.reserve(now=0.0)
        assert held is not None
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_for_slot, stage)
                await stage.settled()
                assert len(admission.queue) == 1
                scope.cancel()
                registry.release(held, now=0.0)
                assert registry.replicas[0].held == 1  # taken in this very call
        assert scope.cancelled_caught
        assert registry.replicas[0].held == 0
        assert len(admission.queue) == 0


async def _wait_for_slot(stage: Stage) -> None:
    entry = SessionEntry()
    entry.slot_request = SlotRequest()
    await stage.services.admission.acquire(entry, exclude=(), tell=lambda *_: None)
    raise AssertionError("it was cancelled")
