"""What goes out last: whole frames in order, one close, and nothing after it, whatever happens at that moment."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from websockets.frames import Close, Frame, Opcode

from tests.relay.ends import ended, relaying
from tests.relay.far import INIT
from tests.relay.window import WindowConnection
from trio_router.core.dialects import ReplyVerdict
from trio_router.core.dialects.fastvideo import FastVideo, FastVideoConversation
from trio_router.core.dialects.opaque import Opaque
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side
from trio_router.core.websocket.frames import Frame as Found
from trio_router.core.websocket.scanner import WATCH_TEXT

DRAINED = End(Side.ROUTER, Cause.DRAINED)


class Holding(Opaque):
    """Messages that begin with ``hold`` wait for the commit point; those that begin with ``pass`` do not."""

    def classify_reply(self, frame: Found, payload: bytes) -> ReplyVerdict:
        if payload.startswith(b"hold"):
            return ReplyVerdict.HOLD
        return ReplyVerdict.PASS if payload.startswith(b"pass") else super().classify_reply(frame, payload)


def binary(payload: bytes) -> bytes:
    """A replica's frame."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


def text(payload: bytes) -> bytes:
    """A replica's frame."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


async def test_held_frames_do_not_follow_a_close(clock: MockClock) -> None:
    async with relaying(Holding()) as scene:
        replica = scene.replica()
        await replica.text(b"hold 1")
        await wait_all_tasks_blocked()
        scene.relay.stop(DRAINED)
        await replica.stream.send_all(text(b"pass") + text(b"hold 2") + text(b"begin"))
        await scene.client.hears_close(1012, "router is restarting")
        await scene.client.hears_end()


async def test_a_close_that_answers_the_client_follows_what_was_held(clock: MockClock) -> None:
    async with relaying(Holding()) as scene:
        replica = scene.replica()
        await replica.text(b"hold")
        await replica.close(4001, "not you")
        await scene.client.hears(Opcode.TEXT, b"hold")
        await scene.client.hears_close(4001, "not you")


async def test_a_replica_that_has_too_much_held_back_loses_the_session(clock: MockClock) -> None:
    async with relaying(Holding(), limits={"hold_bytes": 1024}) as scene:
        first, second = scene.replica(), scene.replica()
        await first.stream.send_all(30 * text(b"hold" + bytes(900)))
        await first.hears_end()
        await second.text(b"begin")
        await scene.client.hears(Opcode.TEXT, b"begin")
        assert [end.cause for end in scene.offers.failed] == [Cause.TOO_BIG]


class Explodes(FastVideoConversation):
    """Raises at the message ``explode``."""

    def replica_says(self, frame: Found, payload: object) -> ReplyVerdict:
        raise ValueError("boom")


class Exploding(FastVideo):
    replica_watch = WATCH_TEXT

    def open(self) -> FastVideoConversation:
        return Explodes()


async def test_a_crash_does_not_put_its_error_into_a_frame_that_is_being_cut_through(clock: MockClock) -> None:
    async with relaying(Exploding(), limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        large = binary(bytes(3000))
        await replica.stream.send_all(large[:2000])
        await scene.client.hears_bytes(large[:2000])
        await replica.stream.send_all(large[2000:] + text(b"explode"))
        await scene.client.hears_bytes(large[2000:])
        await scene.client.hears_error("internal_error")
        await scene.client.hears_close(1011, "internal_error")


async def test_one_close_goes_out_if_the_source_closes_inside_the_frame_that_ours_waits_for(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        large = binary(bytes(3000))
        await replica.stream.send_all(large[:2000])
        await scene.client.hears_bytes(large[:2000])
        scene.relay.stop(DRAINED)
        close = Frame(Opcode.CLOSE, Close(1000, "bye").serialize()).serialize(mask=False)
        await replica.stream.send_all(large[2000:] + close)
        await scene.client.hears_bytes(large[2000:])
        await scene.client.hears_close(1012, "router is restarting")
        await scene.client.close(1012)
        await scene.client.hears_end()
        assert scene.relay.pair.to_client.close_sent == CloseInfo(1012, "router is restarting")


async def test_a_close_waits_for_one_frame_only_however_many_large_ones_follow(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        large = binary(bytes(3000))
        await replica.stream.send_all(large[:2000])
        await scene.client.hears_bytes(large[:2000])
        scene.relay.stop(DRAINED)
        await replica.stream.send_all(large[2000:] + large[:2000])
        await scene.client.hears_bytes(large[2000:])
        await scene.client.hears_close(1012, "router is restarting")
        assert trio.current_time() == 0


async def test_a_source_that_dies_inside_the_frame_that_a_close_waits_for_resets_the_sink(clock: MockClock) -> None:
    async with relaying(limits={"hold_bytes": 1024}) as scene:
        replica = await scene.opened()
        large = binary(bytes(3000))
        await replica.stream.send_all(large[:2000])
        await scene.client.hears_bytes(large[:2000])
        scene.relay.stop(DRAINED)
        await replica.vanish()
        await scene.client.hears_end()
        await scene.over()
        assert scene.relay.pair.client.broken_reason == "aborted"


async def test_a_replica_that_is_stuck_does_not_keep_the_client_from_its_last_frames(clock: MockClock) -> None:
    replica = WindowConnection(Side.REPLICA, window=10_000)
    timeouts = {"slow_seconds": 1000, "ping_interval_seconds": 1000, "dead_peer_seconds": 2000}
    async with relaying(timeouts=timeouts) as scene:
        scene.offers.offer(replica)
        await scene.client.text(INIT)
        await replica.far.hears(Opcode.TEXT, INIT)
        await replica.far.text(b"{}")
        await scene.client.hears(Opcode.TEXT, b"{}")
        replica.window = 0
        await scene.client.binary(b"input")
        await wait_all_tasks_blocked()
        scene.relay.pair.to_client.fail(End(Side.REPLICA, Cause.DEAD))
        await scene.client.hears_error("worker_failed")
        await scene.client.hears_close(1011, "worker_failed")
        assert trio.current_time() == 0
        assert ended(await scene.over()) == ("replica", "dead")


async def test_a_dialect_that_cannot_tell_a_position_or_an_error_harms_nobody_who_asks(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr(FastVideoConversation, "error", explode)
    monkeypatch.setattr(FastVideoConversation, "queue_status", explode)
    async with relaying() as scene:
        await scene.client.text(INIT)
        await wait_all_tasks_blocked()
        scene.relay.position(1, 1, None)
        scene.relay.stop(End(Side.ROUTER, Cause.QUEUE_TIMEOUT))
        await scene.client.hears_close(1013, "queue_timeout")
        assert ended(await scene.over()) == ("router", "queue_timeout")


async def test_a_connector_that_explodes_at_a_failed_attempt_leaves_no_connection(clock: MockClock) -> None:
    def explode(*_: object) -> None:
        raise ValueError("boom")

    async with relaying() as scene:
        replica = scene.replica()
        scene.offers.attempt_failed = explode  # type: ignore[method-assign, assignment]
        await scene.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        await replica.close(1013)
        await replica.hears_end()
        await scene.client.hears_error("internal_error")
        await scene.crashed()


async def test_a_suspicion_ends_with_its_replica(clock: MockClock) -> None:
    async with relaying(timeouts={"suspect_seconds": 10}) as scene:
        first = scene.replica()
        await scene.client.text(INIT)
        await first.hears(Opcode.TEXT, INIT)
        scene.offers.unhealthy = True
        scene.relay.suspect_replica()
        await first.vanish()
        second = scene.replica()
        await second.hears(Opcode.TEXT, INIT)
        scene.relay.suspect_replica()
        assert (await second.hear()).opcode is Opcode.PING
        await trio.sleep(10)
        await wait_all_tasks_blocked()
        assert [end.cause for end in scene.offers.failed] == [Cause.VANISHED, Cause.DEAD]


async def test_a_client_is_not_dead_while_its_task_writes_for_a_replica_that_is_not_there(clock: MockClock) -> None:
    connection = WindowConnection(Side.CLIENT)
    timeouts = {"slow_seconds": 100, "ping_interval_seconds": 10, "dead_peer_seconds": 20}
    async with relaying(client=(connection, connection.far), timeouts=timeouts) as scene:
        await scene.client.text(INIT)
        await scene.client.send(Opcode.PING, b"are you there")
        await wait_all_tasks_blocked()
        await trio.sleep(60)
        connection.grant(1000)
        await scene.client.hears(Opcode.PONG, b"are you there")
        assert scene.relay.pair.to_replica.end is None
