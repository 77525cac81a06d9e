"""Killing a demo replica looks like the death of its process; reviving it, like a start on the same port."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio

from tests.demo.conftest import QUICK
from tests.demo.talk import BOUND_SECONDS, talk_to, until_refused
from trio_router.demo.killable import KillableReplica

if TYPE_CHECKING:
    import httpx


@pytest.fixture
def replica() -> KillableReplica:
    return KillableReplica(QUICK)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_killed_replica_resets_its_connections(replica: KillableReplica, nursery: trio.Nursery) -> None:
    url: str = await nursery.start(replica.run)
    with trio.fail_after(BOUND_SECONDS):
        async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as raw, talk_to(url) as talk:
            await talk.start()  # the one before it is accepted then as well
            replica.kill()
            with pytest.raises(trio.BrokenResourceError) as reset:
                await raw.receive_some()
            assert isinstance(reset.value.__cause__, ConnectionResetError)
            assert await talk.close_code() == 1006
    assert not replica.alive
    await until_refused(port_of(url))


async def test_session_in_the_middle_of_a_segment_dies(nursery: trio.Nursery) -> None:
    async def stand_still(_seconds: float) -> None:
        await trio.sleep_forever()

    replica = KillableReplica(replace(QUICK, pace=stand_still))
    url: str = await nursery.start(replica.run)
    async with talk_to(url) as talk:
        await talk.start()
        await talk.say("segment_prompt_source", prompt="never seen")
        await talk.hear_until("ltx2_segment_start")
        replica.kill()
        assert await talk.close_code() == 1006


async def test_revived_replica_serves_on_the_same_port_without_a_session(
    replica: KillableReplica, nursery: trio.Nursery, http: httpx.AsyncClient
) -> None:
    url: str = await nursery.start(replica.run)
    async with talk_to(url) as talk:
        await talk.start()
        replica.kill()
        await replica.revive()
    assert replica.alive
    assert (await http.get(f"{url}/health")).json()["sessions"] == 0
    async with talk_to(url) as talk:
        await talk.start()
        assert (await talk.segment("again"))[-1]["segment_idx"] == 0


async def test_killing_the_dead_and_reviving_the_living_changes_nothing(
    replica: KillableReplica, nursery: trio.Nursery, http: httpx.AsyncClient
) -> None:
    url: str = await nursery.start(replica.run)
    await replica.revive()
    assert (await http.get(f"{url}/health")).status_code == 200
    replica.kill()
    replica.kill()
    async with trio.open_nursery() as both:
        both.start_soon(replica.revive)
        both.start_soon(replica.revive)
    assert (await http.get(f"{url}/health")).status_code == 200


async def test_replica_whose_port_was_taken_can_be_revived_later(
    replica: KillableReplica, nursery: trio.Nursery, http: httpx.AsyncClient
) -> None:
    url: str = await nursery.start(replica.run)
    replica.kill()
    await until_refused(port_of(url))
    with socket.create_server(("127.0.0.1", port_of(url))), pytest.raises(OSError, match="in use"):
        await replica.revive()
    assert not replica.alive
    await replica.revive()
    assert (await http.get(f"{url}/health")).status_code == 200
