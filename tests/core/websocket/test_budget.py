"""What many sessions hold together, against one limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK
from trio_router.core.websocket.budget import ByteBudget


def test_it_is_full_when_as_much_is_held_as_may_be() -> None:
    budget = ByteBudget(10)
    assert (budget.take(9), budget.full) == (True, False)
    assert (budget.take(1), budget.full) == (True, True)
    assert (budget.take(1), budget.full) == (False, True)
    budget.give(2)
    assert (budget.held, budget.full) == (9, False)
    assert repr(budget) == "<ByteBudget held=9 limit=10>"


@QUICK
@given(sizes=st.lists(st.integers(0, 1000)), limit=st.integers(0, 3000))
def test_what_everybody_gives_back_leaves_nothing(sizes: list[int], limit: int) -> None:
    budget = ByteBudget(limit)
    held = 0
    for size in sizes:
        held += size
        assert budget.take(size) is (held <= limit)
        assert budget.full is (held >= limit)
    for size in sizes:
        budget.give(size)
    assert budget.held == 0


def test_nobody_gives_back_more_than_is_held() -> None:
    budget = ByteBudget(10)
    budget.take(3)
    with pytest.raises(ValueError, match="4 bytes given back, but only 3 are held"):
        budget.give(4)
    assert budget.held == 3


def test_another_limit_counts_from_now_on_and_what_is_held_stays_held() -> None:
    budget = ByteBudget(10)
    assert budget.take(8)
    budget.resize(5)
    assert (budget.held, budget.full) == (8, True)
    budget.resize(20)
    assert (budget.held, budget.full) == (8, False)
