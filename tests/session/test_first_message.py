"""In `fastvideo` a replica is picked when the client has said what it wants: until then it holds nothing."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT
from tests.session.stage import Stage, staged


async def unheld(stage: Stage) -> None:
    """No replica was asked for anything."""
    assert all(actor.dials == [] for actor in stage.actors)
    assert all(replica.held == 0 for replica in stage.registry.replicas)


async def test_who_says_nothing_holds_nothing_and_is_sent_away_in_time(clock: MockClock) -> None:
    async with staged(timeouts={"first_message_seconds": 8}) as stage:
        silent = await stage.client(None)
        (error,), closed = await silent.last_words()
        assert (error["code"], error["retryable"]) == ("invalid_message", True)
        assert (closed.code, closed.reason) == (1008, "no first message")
        assert trio.current_time() == 8.0
        await unheld(stage)


async def test_a_message_without_its_end_is_no_message(clock: MockClock) -> None:
    async with staged(timeouts={"first_message_seconds": 8}) as stage:
        client = await stage.client(None)
        await client.stream.send_all(b"\x01\x85\0\0\0\0{    ")  # a first fragment
        _, closed = await client.last_words()
        assert (closed.code, trio.current_time()) == (1008, 8.0)
        await unheld(stage)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "hello",
        "[]",
        '"session_init_v2"',
        "{}",
        '{"type":"segment_prompt_source"}',
        '{"type":["session_init_v2"]}',
        "[" * 9999,
    ],
)
async def test_another_first_message_is_answered_as_a_replica_would(clock: MockClock, said: str) -> None:
    async with staged() as stage:
        (error,), closed = await (await stage.client(said)).last_words()
        assert (error["code"], error["retryable"], closed.code) == ("invalid_message", False, 1003)
        assert trio.current_time() == 0.0
        await unheld(stage)


async def test_a_first_message_that_is_too_large(clock: MockClock) -> None:
    async with staged(limits={"client_message_bytes": 2000}) as stage:
        fits = {**INIT, "pad": ""}
        fits["pad"] = "x" * (2000 - len(json.dumps(fits)))
        client = await stage.client(fits)
        await stage.actors[0].admit(fits)
        await client.hears(ASSIGNED)
        words, closed = await (await stage.client({**fits, "pad": fits["pad"] + "x"})).last_words()
        assert (words, closed.code) == ([], 1009)
        assert len(stage.actors[0].dials) == 1
