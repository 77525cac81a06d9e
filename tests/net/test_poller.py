"""`Poller.drive` means: call step whenever the socket is readable, until it returns something."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_router.net.poller import EVENTS_PER_TURN, Poller

T = TypeVar("T")


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def make_pair() -> Iterator[Callable[[], Pair]]:
    """Makes connected sockets that do not block; closes them all."""
    with contextlib.ExitStack() as stack:

        def make() -> Pair:
            ends = socket.socketpair()
            for end in ends:
                stack.enter_context(end).setblocking(False)
            return ends

        yield make


@pytest.fixture
def pair(make_pair: Callable[[], Pair]) -> Pair:
    return make_pair()


async def test_step_is_called_until_it_returns_something(poller: Poller, pair: Pair, nursery: trio.Nursery) -> None:
    here, there = pair
    got: list[bytes] = []

    def step() -> str | None:
        got.append(here.recv(1))
        return "done" if got[-1] == b"!" else None

    there.send(b"abc")
    nursery.start_soon(later, lambda: there.send(b"d!e"))
    assert await poller.drive(here.fileno(), step) == "done"
    assert b"".join(got) == b"abcd!"
    assert here.recv(10) == b"e"
    assert poller.waiting == 0


async def later(act: Callable[[], object]) -> None:
    await wait_all_tasks_blocked()
    act()


async def test_it_equals_the_naive_loop(poller: Poller, make_pair: Callable[[], Pair]) -> None:
    """The same steps over the same bytes, by Trio's own waiting and by the poller."""

    async def naive(fd: int, step: Callable[[], T | None]) -> T:
        while (result := step()) is None:
            await trio.lowlevel.wait_readable(fd)
        return result

    async def count_lines(drive: Callable[[int, Callable[[], int | None]], Awaitable[int]]) -> tuple[int, bytes]:
        here, there = make_pair()
        buffer = bytearray()

        def step() -> int | None:
            try:
                data = here.recv(3)
            except BlockingIOError:
                return None
            buffer.extend(data)
            return None if data else buffer.count(b"\n")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_slowly, there, [b"one\ntw", b"o\n", b"", b"three\n"])
            return await drive(here.fileno(), step), bytes(buffer)

    assert await count_lines(naive) == await count_lines(poller.drive) == (3, b"one\ntwo\nthree\n")


async def send_slowly(there: socket.socket, pieces: list[bytes]) -> None:
    for piece in pieces:
        await wait_all_tasks_blocked()
        there.send(piece)
    there.shutdown(socket.SHUT_WR)


async def test_the_end_of_a_stream_is_readable(poller: Poller, pair: Pair) -> None:
    here, there = pair
    there.close()
    assert await poller.drive(here.fileno(), lambda: here.recv(1) == b"") is True


async def test_what_step_raises_is_raised_in_the_task_that_waits(poller: Poller, pair: Pair) -> None:
    here, there = pair
    there.send(b"x")

    def step() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await poller.drive(here.fileno(), step)
    assert poller.waiting == 0
    assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"x"  # the poller lives, the socket is free


async def test_cancelling_takes_the_socket_out(poller: Poller, pair: Pair) -> None:
    here, there = pair
    calls: list[None] = []
    with trio.move_on_after(0) as scope:
        await poller.drive(here.fileno(), lambda: calls.append(None))
    assert scope.cancelled_caught
    assert poller.waiting == 0
    there.send(b"x")
    await wait_all_tasks_blocked()
    assert calls == []
    assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"x"


async def test_wake_gives_a_result_and_takes_the_socket_out(poller: Poller, pair: Pair, nursery: trio.Nursery) -> None:
    here, _ = pair
    nursery.start_soon(later, lambda: poller.wake(here.fileno(), "look"))
    assert await poller.drive(here.fileno(), lambda: None) == "look"
    assert poller.waiting == 0
    poller.wake(here.fileno(), "nobody is in it")


async def test_a_step_that_wakes_itself(poller: Poller, pair: Pair) -> None:
    """What it returns or raises takes precedence over what it was woken with: only one can be the result."""
    here, there = pair
    there.send(b"x")

    def step(result: str | None) -> str | None:
        poller.wake(here.fileno(), "woken")
        return result

    def explode() -> None:
        step(None)
        raise KeyError("mine")

    assert await poller.drive(here.fileno(), lambda: step(None)) == "woken"
    assert await poller.drive(here.fileno(), lambda: step("returned")) == "returned"
    with pytest.raises(KeyError, match="mine"):
        await poller.drive(here.fileno(), explode)
    assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"x"


async def test_a_step_that_wakes_another_one(
    poller: Poller, make_pair: Callable[[], Pair], nursery: trio.Nursery
) -> None:
    """Both are readable in the same turn; the one that was woken is not called any more."""
    calls: list[int] = []
    results: list[str] = []
    ends = [make_pair(), make_pair()]

    async def wait(number: int) -> None:
        def step() -> str:
            calls.append(number)
            poller.wake(ends[1 - number][0].fileno(), "woken")
            return "returned"

        results.append(await poller.drive(ends[number][0].fileno(), step))

    for number, (_, there) in enumerate(ends):
        there.send(b"x")
        nursery.start_soon(wait, number)
    await wait_all_tasks_blocked()
    assert len(calls) == 1
    assert sorted(results) == ["returned", "woken"]


async def test_a_busy_socket_starves_nobody(
    poller: Poller, make_pair: Callable[[], Pair], nursery: trio.Nursery
) -> None:
    """Level-triggered, one step a turn: a socket with more to read is served again after the others."""
    count = EVENTS_PER_TURN * 2 + 1
    calls: list[int] = []

    async def wait(number: int) -> None:
        here, there = make_pair()
        there.send(b"xxx!")

        def step() -> bool | None:
            calls.append(number)
            return here.recv(1) == b"!" or None

        await poller.drive(here.fileno(), step)

    for number in range(count):
        nursery.start_soon(wait, number)
    await wait_all_tasks_blocked()
    assert poller.waiting == 0
    assert all(calls.count(number) == 4 for number in range(count))
    third = next(i for i, number in enumerate(calls) if calls[:i].count(number) == 2)
    assert set(calls[:third]) == set(range(count)), "somebody was served a third time before another one was served"


async def test_a_closed_socket_is_refused_and_leaves_nothing(poller: Poller) -> None:
    here, there = socket.socketpair()
    fd = here.fileno()
    here.close()
    there.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await poller.drive(fd, lambda: None)
    assert poller.waiting == 0


class _Steps(trio.abc.Instrument):
    """How often a task runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name == self.name


async def test_a_readable_socket_that_nobody_waits_for_keeps_nobody_busy(pair: Pair, nursery: trio.Nursery) -> None:
    here, there = pair
    with Poller() as poller, trio.fail_after(10):
        nursery.start_soon(poller.run, name="the poller")
        there.send(b"x")
        assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"x"
        there.send(b"yz")
        steps = _Steps("the poller")
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(0.05)
        trio.lowlevel.remove_instrument(steps)
        assert steps.count <= 1
        assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"y"
        assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"z"
        nursery.cancel_scope.cancel()


async def test_a_socket_that_gets_the_number_of_a_closed_one(poller: Poller, make_pair: Callable[[], Pair]) -> None:
    (old, old_far), (new, new_far) = make_pair(), make_pair()
    old_far.send(b"x")
    assert await poller.drive(old.fileno(), lambda: old.recv(1)) == b"x"
    number = old.detach()
    poller.closing(number)
    os.dup2(new.fileno(), number)  # closes the old one
    with socket.socket(fileno=number) as again:
        new_far.send(b"y")
        assert await poller.drive(number, lambda: again.recv(1)) == b"y"
        poller.closing(number)


async def test_closing_ends_the_wait(poller: Poller, pair: Pair, nursery: trio.Nursery) -> None:
    here, _ = pair
    nursery.start_soon(later, lambda: poller.closing(here.fileno(), "closing"))
    assert await poller.drive(here.fileno(), lambda: None) == "closing"
    assert poller.waiting == 0


async def test_a_step_that_closes_its_own_socket(poller: Poller, pair: Pair) -> None:
    here, there = pair
    there.send(b"x")

    def step() -> str | None:
        poller.closing(here.fileno(), "closed")
        here.close()
        return None

    assert await poller.drive(here.fileno(), step) == "closed"
    assert poller.waiting == 0


async def test_two_tasks_cannot_wait_for_one_socket(poller: Poller, pair: Pair, nursery: trio.Nursery) -> None:
    here, there = pair

    async def second() -> None:
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await poller.drive(here.fileno(), lambda: None)
        there.send(b"x")

    nursery.start_soon(second)
    assert await poller.drive(here.fileno(), lambda: here.recv(1)) == b"x"


def end_all(there: list[socket.socket]) -> None:
    for one in there:
        one.close()


async def test_many_that_end_at_once_are_told_a_few_in_a_turn_and_others_are_served_in_between(
    make_pair: Callable[[], Pair], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaning up costs a task far more than a step; sockets that go on must not wait for all of it."""
    monkeypatch.setattr("trio_router.net.poller.ENDS_PER_TURN", 4)
    count = 100
    pairs = [make_pair() for _ in range(count)]
    ended: list[int] = []
    seen: list[int] = []  # how many ends had been reported when the one that goes on was served
    here, there = make_pair()

    async def wait_for_end(number: int) -> None:
        near = pairs[number][0]
        await poller.drive(near.fileno(), lambda: "ended" if near.recv(1) == b"" else None, end="ended")
        ended.append(number)
        poller.closing(near.fileno())
        near.close()

    async def go_on() -> None:
        def step() -> str | None:
            seen.append(len(ended))
            here.recv(1)
            there.send(b"x")  # readable again, in every turn
            return "all ended" if len(ended) == count else None

        there.send(b"x")
        await poller.drive(here.fileno(), step)

    with Poller() as poller, trio.fail_after(10):
        for number in range(count):
            nursery.start_soon(wait_for_end, number)
        nursery.start_soon(go_on)
        await wait_all_tasks_blocked()
        end_all([far for _, far in pairs])
        async with trio.open_nursery() as running:
            running.start_soon(poller.run)
            while not seen or seen[-1] < count:
                await trio.lowlevel.checkpoint()
            running.cancel_scope.cancel()
    assert all(told <= 4 * turns for turns, told in enumerate(seen)), seen  # it is served in each turn
    assert len(ended) == count


async def test_a_result_does_not_wait_behind_ends(
    make_pair: Callable[[], Pair], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_router.net.poller.ENDS_PER_TURN", 1)
    told: list[str] = []
    pairs = [make_pair() for _ in range(20)]

    async def wait(near: socket.socket, result: str) -> None:
        await poller.drive(near.fileno(), lambda: result, end="end")
        told.append(result)

    with Poller() as poller, trio.fail_after(10):
        for number, (near, _) in enumerate(pairs):
            nursery.start_soon(wait, near, "end" if number < 19 else "bytes")
            await wait_all_tasks_blocked()
        for _, far in pairs:
            far.send(b"x")
        nursery.start_soon(poller.run)
        while len(told) < 20:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert told.index("bytes") <= 1


async def test_what_a_step_has_read_is_not_lost_to_a_cancellation_before_it_is_told(
    make_pair: Callable[[], Pair], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_router.net.poller.TASKS_PER_TURN", 0)  # no turn tells it
    (here, there), scope = make_pair(), trio.CancelScope()
    got: list[bytes] = []

    async def wait() -> None:
        with scope:
            got.append(await poller.drive(here.fileno(), lambda: here.recv(1)))

    with Poller() as poller, trio.fail_after(10):
        async with trio.open_nursery() as running:
            nursery.start_soon(wait)
            there.send(b"x")
            running.start_soon(poller.run)
            while poller.waiting or not poller._late:
                await trio.lowlevel.checkpoint()
            scope.cancel()
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            assert got == []
            running.cancel_scope.cancel()  # and the end of the poller leaves nobody waiting
        await wait_all_tasks_blocked()
    assert got == [b"x"]
