"""A waiting client is told its place: at once, whenever it changes, at most once a second, and not after its turn."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, REJECTED, Closed, FarEnd, farewell, place
from tests.session.stage import staged


class Listener:
    """Hears all that a client is told, with its time."""

    def __init__(self, client: FarEnd) -> None:
        self.client = client
        self.heard: list[tuple[float, int, int]] = []

    async def run(self) -> None:
        while True:
            try:
                message = await self.client.hear()
            except Closed:
                return
            if message["type"] == "queue_status":
                self.heard.append((trio.current_time(), message["position"], message["queue_depth"]))


async def test_the_place_is_told_at_once(clock: MockClock) -> None:
    async with staged() as stage:
        await stage.served(stage.actors[0])
        for position in (1, 2, 3):
            client = await stage.client()
            await client.told(position, position)
        assert trio.current_time() == 0.0


async def test_a_change_is_told_in_the_same_instant(clock: MockClock) -> None:
    async with staged() as stage:
        await stage.served(stage.actors[0])
        first, second = await stage.client(), await stage.client()
        await second.told(2, 2)
        await trio.sleep(5.4)
        await first.close()
        await second.told(1, 1)
        assert trio.current_time() == 5.4


async def test_nobody_is_told_twice_within_a_second(clock: MockClock) -> None:
    async with staged() as stage:
        await stage.served(stage.actors[0])
        listeners = []
        for at in (0.0, 0.3, 0.6, 0.9):
            await trio.sleep_until(at)
            listeners.append(Listener(await stage.client()))
            stage.nursery.start_soon(listeners[-1].run)
            await stage.settled()
        await trio.sleep_until(10.0)
        assert [listener.heard for listener in listeners] == [
            [(0.0, 1, 1), (1.0, 1, 4)],
            [(0.3, 2, 2), (1.3, 2, 4)],
            [(0.6, 3, 3), (1.6, 3, 4)],
            [(0.9, 4, 4)],
        ]


async def test_everyone_sees_his_place_go_down_to_his_turn(clock: MockClock) -> None:
    async with staged() as stage:
        _, replica = await stage.served(stage.actors[0])
        clients = [await stage.client() for _ in range(4)]
        listeners = [Listener(client) for client in clients]
        for listener in listeners:
            stage.nursery.start_soon(listener.run)
        for n in range(1, 5):
            await trio.sleep_until(10.0 * n)
            await replica.close()
            replica = await stage.actors[0].admit()
        await stage.settled()
        for index, listener in enumerate(listeners):
            positions = [position for _, position, _ in listener.heard]
            assert positions == sorted(positions, reverse=True)
            assert (positions[0], positions[-1]) == (index + 1, 1)


async def test_after_its_turn_only_the_replica_speaks(clock: MockClock) -> None:
    async with staged() as stage:
        _, replica = await stage.served(stage.actors[0])
        client = await stage.client()
        await client.told(1, 1)
        await replica.close()
        mine = await stage.actors[0].accepted()
        await mine.hears(INIT)
        for _ in range(5):  # others come and go behind it, while it is being opened and afterwards
            other = await stage.client()
            await trio.sleep(2)
            await other.close()
        await mine.say(ASSIGNED)
        await stage.client()
        await trio.sleep(2)
        await mine.say({"type": "step_complete"})
        await client.hears(ASSIGNED)
        await client.hears({"type": "step_complete"})


async def test_the_estimate_is_made_from_sessions_only(clock: MockClock) -> None:
    """Two slots, sessions of ten seconds: one ends every five. Attempts that came to nothing are no sessions."""
    async with staged(2, balance="first") as stage:
        pairs = [await stage.served(actor) for actor in stage.actors]
        await trio.sleep(10)
        for client, replica in pairs:
            await farewell(client, replica)
        for _ in range(5):
            client = await stage.client()
            for actor in stage.actors:
                await (await actor.accepted()).say(REJECTED)
            await client.told(1, 1)
            await client.vanish()
            await trio.sleep(3)
        for actor in stage.actors:
            await stage.served(actor)
        for position in (1, 2):
            waiting = await stage.client()
            await waiting.hears(place(position, position, estimated_wait_seconds=5.0 * position))


@pytest.mark.parametrize("way", ["close", "vanish"])
async def test_who_leaves_frees_its_place_at_once(clock: MockClock, way: str) -> None:
    async with staged(queue={"length": 2}) as stage:
        await stage.served(stage.actors[0])
        first, second = await stage.client(), await stage.client()
        await second.told(2, 2)
        await (first.close() if way == "close" else first.vanish())
        await stage.settled()
        third = await stage.client()
        await third.told(2, 2)
        assert trio.current_time() == 0.0
