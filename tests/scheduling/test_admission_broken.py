"""A bug in one turn of the wait queue is logged and tried again; slots are given away meanwhile."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from tests.session.stage import staged


async def test_a_broken_turn_of_the_queue_is_tried_again(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged() as stage:
        actor = stage.actors[0]
        served, server = await stage.served(actor)
        first, second = await stage.client(), await stage.client()
        await second.told(2, 2)
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:

            def next_change(now: float) -> float:
                raise OverflowError("a bug")

            patch.setattr(stage.registry, "next_change", next_change)
            third = await stage.client()
            await trio.sleep(10)
            await server.close()
            await served.close()
            await stage.settled()
            assert len(actor.dials) == 2, "the first in the line is served, whatever else is broken"
        broken = [line for line in logs if line["event"] == "a turn of the wait queue is broken"]
        assert {line["log_level"] for line in broken} == {"error"}
        assert 5 <= len(broken) <= 12, "once a second"
        assert stage.services.admission.broken_turns == len(broken)
        await trio.sleep(2)
        await third.told(3, 3)
        await third.told(2, 2)
        await first.close()
