"""What a client has said, kept for another replica: complete or nothing, and counted against one budget."""

from __future__ import annotations

from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.websocket.budget import ByteBudget


def keeping(limit: int, *frames: bytes, budget: int = 1000) -> tuple[ReplayBuffer, ByteBudget]:
    shared = ByteBudget(budget)
    replay = ReplayBuffer(limit, shared)
    for one in frames:
        replay.append(memoryview(one))
    return replay, shared


def test_what_was_said_can_be_said_again_and_again() -> None:
    replay, _ = keeping(100, b"abc", b"de")
    assert replay.complete
    assert bytes(replay.view()) == replay.replay() == replay.replay() == b"abcde"
    replay.replay().clear()
    assert len(replay) == 5, "each replica is given a copy of its own"


def test_with_as_much_as_the_limit_no_more_is_wanted_but_it_is_still_complete() -> None:
    replay, _ = keeping(3, b"ab")
    assert not replay.full
    replay.append(memoryview(b"c"))
    assert (replay.full, repr(replay)) == (True, "<ReplayBuffer 3 of 3>")
    replay.enforce()
    assert replay.complete
    replay.set_limit(4)
    assert not replay.full


def test_what_is_more_than_the_limit_is_given_up_for_good() -> None:
    replay, _ = keeping(3, b"abcd")
    replay.enforce()
    replay.enforce()
    assert (replay.complete, replay.full, len(replay)) == (False, False, 0)
    replay.append(memoryview(b"e"))
    assert bytes(replay.view()) == replay.replay() == b"", "a part of what was said is never said"
    assert repr(replay) == "<ReplayBuffer 0 of 3 given up>"


def test_a_first_message_above_the_limit_is_said_once_without_a_copy() -> None:
    replay, _ = keeping(3, b"abcd")
    assert replay.replay() == b"abcd"
    assert not replay.complete
    assert replay.replay() == b""


def test_what_is_held_is_counted_once_and_given_back_exactly() -> None:
    replay, budget = keeping(100, b"abcde", budget=8)
    assert replay.account(beside=2)
    assert replay.account(beside=2)
    assert budget.held == 7
    assert not replay.account(beside=4), "all sessions hold too much now"
    assert budget.held == 9
    assert replay.account(beside=0), "less is never too much"
    assert budget.held == 5
    replay.release()
    assert (budget.held, replay.complete) == (0, False)
    replay.release()
    assert budget.held == 0
