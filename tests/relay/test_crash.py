"""A bug of ours ends the session in which it shows, is logged once with its cause, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
from trio.testing import MockClock
from websockets.frames import Opcode

from tests.relay.ends import relaying
from tests.relay.far import INIT
from tests.relay.router import UPGRADE, staged
from tests.relay.window import WindowConnection
from trio_router.core.dialects import ReplyVerdict
from trio_router.core.dialects.fastvideo import FastVideoConversation
from trio_router.core.session.outcome import Side
from trio_router.core.websocket.frames import Frame


class Bug(Exception):
    """What no code expects."""


def explode(*_: Any, **__: Any) -> Any:
    raise Bug("boom")


async def test_a_provider_that_explodes_is_an_internal_error(clock: MockClock) -> None:
    async with relaying() as scene:
        await scene.client.text(INIT)
        scene.offers.offer(Bug("boom"))
        await scene.client.hears_error("internal_error")
        await scene.client.hears_close(1011, "internal_error")
        await scene.client.hears_end()
        assert pytest.RaisesGroup(Bug).matches(await scene.crashed())
        assert scene.ended_at == 0.0


async def test_a_client_that_does_not_read_is_not_waited_for_after_a_crash(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    async with relaying(client=(connection, connection.far)) as scene:
        await scene.client.text(INIT)
        scene.offers.offer(Bug("boom"))
        await scene.crashed()
        assert scene.ended_at == 1.0
        await scene.client.hears_end()


async def test_a_dialect_that_explodes_at_every_turn_still_leaves_no_connection(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relaying() as scene:
        replica = scene.replica()
        await scene.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        monkeypatch.setattr(FastVideoConversation, "classify_reply", explode)
        monkeypatch.setattr(FastVideoConversation, "error", explode)
        await replica.text(b"anything")
        await scene.client.hears_close(1011, "internal_error")
        await scene.client.hears_end()
        await replica.hears_close(1001, "router failed")
        await replica.hears_end()
        await scene.crashed()


async def test_one_session_crashes_and_the_others_live_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(replicas=2) as stage:
        well, well_replica = await stage.session()
        doomed, doomed_replica = await stage.session()
        right = FastVideoConversation.replica_says

        def says(self: FastVideoConversation, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
            return explode() if payload() == b"explode" else right(self, frame, payload)

        monkeypatch.setattr(FastVideoConversation, "replica_says", says)
        with structlog.testing.capture_logs() as logs:
            await doomed_replica.text(b"explode")
            await doomed.hears_error("internal_error")
            await doomed.hears_close(1011, "internal_error")
            await doomed_replica.hears_close(1001, "router failed")
            await stage.settled(open_sessions=1)
        crashes = [line for line in logs if line["log_level"] == "error"]
        assert [line["event"] for line in crashes] == ["session crashed"]
        assert crashes[0]["exc_info"]
        ends = [line for line in logs if line["event"] == "session ended"]
        assert [(line["ended_by"], line["cause"]) for line in ends] == [("router", "crashed")]
        assert "boom" in ends[0]["detail"]
        await well.text(b"still here")
        await well_replica.hears(Opcode.TEXT, b"still here")
        await well_replica.text(b"so am I")
        await well.hears(Opcode.TEXT, b"so am I")


async def test_a_crash_before_there_is_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastVideoConversation, "parse_first_message", explode)
    async with staged() as stage:
        client = await stage.client()
        with structlog.testing.capture_logs() as logs:
            await client.text(INIT)
            await client.hears_error("internal_error")
            await client.hears_close(1011, "internal_error")
            await stage.settled(open_sessions=0)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["session crashed"]
        monkeypatch.undo()
        await stage.session()


async def test_a_crash_in_the_handshake_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_router.session.session.accept_client", explode)
    async with staged() as stage:
        with structlog.testing.capture_logs() as logs:
            async with await stage.connection() as stream:
                await stream.send_all(UPGRADE)
                assert await stream.receive_some() == b""
            await stage.settled(open_sessions=0)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["session crashed"]
        monkeypatch.undo()
        await stage.session()
