"""A dialect that is not the package's own: what it holds back, how it refuses, how it ends, how patient it is."""

from __future__ import annotations

import contextlib

import pytest
import trio
from trio.testing import MockClock
from websockets.frames import Opcode

from tests.mine import Mine
from tests.relay.ends import Scene, ended, relaying
from tests.relay.far import FarEnd

INIT = b"init ann wan"


async def attempt(scene: Scene, *, first: bool) -> FarEnd:
    """A replica that heard the first message; the client says it if it is the ``first``."""
    replica = scene.replica()
    if first:
        await scene.client.binary(INIT)
    await replica.hears(Opcode.BINARY, INIT)
    return replica


async def answer_pings(end: FarEnd) -> None:
    """Until it ends."""
    with contextlib.suppress(EOFError, trio.BrokenResourceError):
        while True:
            heard = await end.hear()
            if heard.opcode is Opcode.PING:
                await end.pong(heard)


async def test_the_first_message_is_read_by_the_dialect_and_may_be_binary(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        await attempt(scene, first=True)
        assert [(m.client_id, m.preset) for m in scene.offers.first] == [("ann", "wan")]


async def test_what_is_held_comes_at_the_commit_point_and_before_it(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.text(b"start")
        await replica.text(b"queued")
        await scene.client.hears(Opcode.TEXT, b"queued")
        assert scene.offers.commits == 0
        await replica.binary(b"media")
        await scene.client.hears(Opcode.TEXT, b"start")
        await scene.client.hears(Opcode.BINARY, b"media")
        assert scene.offers.commits == 1


async def test_held_frames_in_one_read_keep_their_order(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        with_start = [Opcode.TEXT, Opcode.TEXT, Opcode.TEXT]
        words = [b"start", b"busy", b"go"]
        await replica.stream.send_all(b"".join(bytes([0x81, len(w)]) + w for w in words))
        for opcode, word in zip(with_start, words, strict=True):
            await scene.client.hears(opcode, word)
        assert scene.relay.pair.traffic()[1].messages == 3


@pytest.mark.parametrize("last", [b"full", b"broken", None])
async def test_nobody_sees_two_starts(last: bytes | None, clock: MockClock) -> None:
    """The first replica says ``start``, then refuses, fails or is gone."""
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.text(b"start")
        if last is None:
            await replica.vanish()
        else:
            await replica.text(last)
        other = await attempt(scene, first=False)
        await other.text(b"start")
        await other.text(b"again")
        await scene.client.hears(Opcode.TEXT, b"start")
        await scene.client.hears(Opcode.TEXT, b"again")
        assert len(scene.offers.failed) == 1


async def test_a_close_means_busy_only_behind_the_message_that_says_so(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.text(b"busy")
        await replica.close(1008, "already active")
        other = await attempt(scene, first=False)
        assert [ended(end) for end in scene.offers.failed] == [("replica", "rejected")]
        await other.text(b"queued")
        await scene.client.hears(Opcode.TEXT, b"queued")
        await other.close(1008, "policy")
        await scene.client.hears_close(1008, "policy")
        await scene.client.close(1008, "policy")
        assert ended(await scene.over()) == ("replica", "closed")


async def test_what_was_held_belongs_to_a_close_that_is_the_answer(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.text(b"start")
        await replica.close(4002, "quota")
        await scene.client.hears(Opcode.TEXT, b"start")
        await scene.client.hears_close(4002, "quota")
        await scene.client.close(4002, "quota")
        await scene.over()


@pytest.mark.parametrize("streams", [True, False])
async def test_the_router_ends_what_the_replica_never_would(streams: bool, clock: MockClock) -> None:
    """``streams``: after media; else ``done`` is the whole answer, and the commit point too."""
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.text(b"start")
        if streams:
            await replica.binary(b"media")
        await replica.text(b"done")
        await scene.client.hears(Opcode.TEXT, b"start")
        if streams:
            await scene.client.hears(Opcode.BINARY, b"media")
        await scene.client.hears(Opcode.TEXT, b"done")
        await replica.hears_close(1000)
        await scene.client.hears_close(1000)
        await scene.client.close(1000)  # the replica's answer is not waited for
        assert ended(await scene.over()) == ("router", "completed")
        assert (scene.offers.commits, str(scene.relay.state.ended_in)) == (1, "streaming")


async def test_closes_and_the_routers_own_pongs_are_looked_at_whatever_a_dialect_watches(clock: MockClock) -> None:
    assert set(Mine.replica_watch) == {Opcode.TEXT}
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.binary(b"media")
        await scene.client.hears(Opcode.BINARY, b"media")
        for end in (scene.client, replica):
            await end.pong(await end.hear())
        await replica.close(4000, "enough")
        await scene.client.hears_close(4000, "enough")
        await scene.client.close(4000, "enough")
        assert ended(await scene.over()) == ("replica", "closed")


@pytest.mark.parametrize("left", [True, False])
async def test_an_end_without_a_close_is_normal_after_the_clients_bye_only(left: bool, clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        replica = await attempt(scene, first=True)
        await replica.binary(b"media")
        await scene.client.hears(Opcode.BINARY, b"media")
        await scene.client.text(b"bye" if left else b"more")
        await replica.hear()
        await replica.vanish()
        if not left:
            await scene.client.hears(Opcode.BINARY, b'["error", "worker_failed", true]')
        await scene.client.hears_close(*((1000,) if left else (1011, "worker_failed")))
        await scene.client.close(1000)
        assert ended(await scene.over()) == ("replica", "completed" if left else "vanished")


async def test_a_first_message_that_is_wrong_is_answered_in_the_dialects_words(clock: MockClock) -> None:
    async with relaying(Mine()) as scene:
        await scene.client.text(b"init ann wan")
        await scene.client.hears(Opcode.BINARY, b'["error", "invalid_message", false]')
        await scene.client.hears_close(1003, "first message must be binary: init NAME PRESET")


async def test_the_dialect_says_how_long_a_first_reply_may_take(clock: MockClock, nursery: trio.Nursery) -> None:
    async with relaying(Mine(), timeouts={"first_reply_seconds": 5}) as scene:
        nursery.start_soon(answer_pings, scene.client)
        await attempt(scene, first=True)
        await attempt(scene, first=False)
        assert trio.current_time() == pytest.approx(90, abs=1.5)
        assert [ended(end) for end in scene.offers.failed] == [("replica", "silent")]


async def test_the_dialect_says_how_long_its_replicas_may_be_deaf_and_not_how_long_clients_may(
    clock: MockClock, nursery: trio.Nursery
) -> None:
    timeouts = {"dead_peer_seconds": 60, "ping_interval_seconds": 20}
    async with relaying(Mine(), timeouts=timeouts) as scene:
        replica = await attempt(scene, first=True)
        await replica.binary(b"media")
        await scene.client.hears(Opcode.BINARY, b"media")
        nursery.start_soon(answer_pings, scene.client)
        assert ended(await scene.over()) == ("replica", "dead")
        assert scene.ended_at == pytest.approx(300, abs=10)
    async with relaying(Mine(), timeouts=timeouts) as scene:
        replica = await attempt(scene, first=True)
        began = trio.current_time()
        await replica.binary(b"media")
        assert ended(await scene.over()) == ("client", "dead")
        assert scene.ended_at - began == pytest.approx(60, abs=10)
