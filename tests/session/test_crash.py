"""A bug of ours ends its session, and no exception but a cancellation leaves it."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
from trio.testing import MockClock, memory_stream_pair

from tests.relay.router import UPGRADE
from tests.session.stage import staged
from trio_router.core.http.head import parse_head
from trio_router.http.handshake import HeadStream
from trio_router.session.session import Arrival, Session


async def crash_when_cancelled(*_: object, **__: object) -> bool:
    """Two tasks are cancelled; one of them crashes at it."""

    async def crash() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("boom")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(crash)
        nursery.start_soon(trio.sleep_forever)
    return True


async def test_a_crash_in_the_moment_of_a_cancellation_does_not_leave_the_session(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_router.session.session.accept_client", crash_when_cancelled)
    async with staged() as stage:
        near, far = memory_stream_pair()
        await far.send_all(UPGRADE)
        head = HeadStream(near, limit=10_000)
        request = parse_head(await head.read_head())
        assert request is not None
        session = Session(stage.services, Arrival(near, head, request, "10.0.0.1", "http"), stage.config.streams[0])
        with structlog.testing.capture_logs() as logs, trio.CancelScope() as scope:
            scope.cancel()
            await session.run()
        assert scope.cancelled_caught
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["session crashed"]
        assert [outcome.label for outcome in stage.outcomes] == ["router.handshake.crashed"]
        assert "boom" in stage.outcomes[0].detail
