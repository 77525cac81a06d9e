"""A bug in the poller itself costs a turn, never the router; a bug in a step is its waiter's (test_poller.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing
import trio
from trio.testing import wait_all_tasks_blocked

from trio_router.net.poller import Poller

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        yield here, there


def fails_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let this method of all pollers raise when it is called next."""
    method = getattr(Poller, name)

    def fail(self: Poller, *values: Any) -> Any:
        monkeypatch.setattr(Poller, name, method)
        raise OSError(12, "out of memory")

    monkeypatch.setattr(Poller, name, fail)


@pytest.mark.parametrize("name", ["_turn", "_finish_late"])
async def test_a_turn_that_breaks_is_logged_counted_and_tried_again(
    poller: Poller, pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here, there = pair
    fails_once(monkeypatch, name)
    with structlog.testing.capture_logs() as logs:
        there.send(b"x")
        assert await poller.drive(here.fileno(), lambda: here.recv(1, socket.MSG_PEEK)) == b"x"
    assert [(line["event"], line["log_level"]) for line in logs] == [("a turn of the poller is broken", "error")]
    assert poller.broken_turns == 1


async def test_who_was_served_in_a_turn_that_broke_can_be_woken(
    poller: Poller, pair: Pair, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    results: list[object] = []

    async def wait() -> None:
        results.append(await poller.drive(here.fileno(), lambda: here.recv(1)))

    fails_once(monkeypatch, "_finish_late")
    with structlog.testing.capture_logs():
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        there.send(b"x")
        while not poller.broken_turns:  # noqa: ASYNC110  no event reports it
            await trio.sleep(0.001)
    poller.wake(here.fileno(), "woken")
    await wait_all_tasks_blocked()
    assert results == ["woken"]


async def test_a_poller_that_is_closed_under_its_task_says_so() -> None:
    poller = Poller()
    with poller:
        pass
    with pytest.raises(ValueError, match="closed"), trio.fail_after(5):
        await poller.run()
