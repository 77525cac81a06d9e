"""The timers makes each check when it is due, and is neither woken nor burdened by those that were cancelled."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

import pytest
import structlog.testing
import trio
import trio.lowlevel

from trio_router.net import timers as timers_module
from trio_router.net.timers import TimerHandle, Timers

Clock = trio.testing.MockClock


@pytest.fixture
async def timers(nursery: trio.Nursery) -> AsyncIterator[Timers]:
    timers = Timers()
    nursery.start_soon(timers.run, name="the keeper")
    yield timers
    nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """How often the timers runs."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name == "the keeper"


async def test_each_check_is_made_when_it_is_due(timers: Timers, clock: Clock) -> None:
    made: list[tuple[str, float]] = []

    def note(name: str, now: float) -> None:
        made.append((name, now))

    for name, at in (("late", 3.0), ("early", 1.0), ("with it", 1.0), ("between", 2.0)):
        timers.call_at(functools.partial(note, name), at=at)
    await trio.sleep(10)
    assert made == [("early", 1.0), ("with it", 1.0), ("between", 2.0), ("late", 3.0)]


async def test_who_comes_before_the_first_is_not_late(timers: Timers, clock: Clock) -> None:
    made: list[float] = []
    timers.call_at(made.append, at=5.0)
    await trio.sleep(1)
    timers.call_at(made.append, at=2.0)
    await trio.sleep(10)
    assert made == [2.0, 5.0]


async def test_a_check_says_when_it_wants_to_be_made_again(timers: Timers, clock: Clock) -> None:
    made: list[float] = []

    def check(now: float) -> float | None:
        made.append(now)
        return now + 2 if now < 5 else None

    timers.call_at(check, at=1.0)
    await trio.sleep(20)
    assert made == [1.0, 3.0, 5.0]
    assert len(timers) == 0


async def test_a_check_that_wants_to_be_made_at_once_lets_others_live(timers: Timers, clock: Clock) -> None:
    made: list[float] = []

    def check(now: float) -> float | None:
        made.append(now)
        return 0.0 if len(made) < 3 else None

    timers.call_at(check, at=1.0)
    await trio.sleep(20)
    assert made == pytest.approx([1.0, 1.001, 1.002])


async def test_cancelled_ones_are_not_made_and_wake_nobody(timers: Timers, clock: Clock) -> None:
    made: list[float] = []
    await trio.lowlevel.checkpoint()
    for at in range(1, 100):
        timers.call_at(made.append, at=float(at)).cancel()
    timers.call_at(made.append, at=200.0)
    await trio.sleep(0.5)
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await trio.sleep(150)
    trio.lowlevel.remove_instrument(steps)
    assert steps.count <= 1  # for the first of them it had fallen asleep
    await trio.sleep(100)
    assert made == [200.0]


async def test_cancelled_ones_are_not_carried_along(timers: Timers, clock: Clock) -> None:
    made: list[float] = []
    kept = [timers.call_at(made.append, at=10.0 + n) for n in range(3)]
    for _ in range(20 * timers_module.CARRIED):
        timers.call_at(made.append, at=100.0).cancel()
        assert len(timers) <= 2 * timers_module.CARRIED + len(kept)
    await trio.sleep(50)
    assert made == [10.0, 11.0, 12.0]


async def test_a_check_may_cancel_itself_and_others(timers: Timers, clock: Clock) -> None:
    made: list[str] = []
    handles: list[TimerHandle] = []

    def check(_: float) -> float | None:
        made.append("it")
        for handle in handles:
            handle.cancel()
        return 5.0

    handles.append(timers.call_at(check, at=1.0))
    handles.append(timers.call_at(lambda _: made.append("the other"), at=1.0))
    await trio.sleep(2)
    assert made == ["it"]
    assert len(timers) == 0
    await trio.sleep(18)
    handles[0].cancel()  # a second time: nothing to forget
    timers.call_at(lambda _: made.append("a third"), at=30.0)
    await trio.sleep(20)
    assert made == ["it", "a third"]


async def test_a_check_that_raises_is_logged_and_all_others_are_made(timers: Timers, clock: Clock) -> None:
    made: list[float] = []

    def broken(now: float) -> float | None:
        raise ZeroDivisionError("a bug")

    timers.call_at(broken, at=1.0)
    timers.call_at(made.append, at=1.0)
    timers.call_at(broken, at=1.0)
    timers.call_at(made.append, at=3.0)
    with structlog.testing.capture_logs() as logs:
        await trio.sleep(2)
        timers.call_at(made.append, at=4.0)
        await trio.sleep(8)
    assert made == [1.0, 3.0, 4.0]
    assert [(line["event"], line["log_level"], line["broken"]) for line in logs] == [
        ("a check is broken", "error", 1),
        ("a check is broken", "error", 2),
    ]
    assert (timers.broken, len(timers)) == (2, 0)
