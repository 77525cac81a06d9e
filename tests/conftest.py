"""Relays run on virtual time: a test that waits jumps to the next deadline, and every deadline is exact."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio.testing

from trio_router.net.poller import Poller


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Begins at 0; jumps as soon as all tasks wait. Not for tests with real sockets."""
    return autojump_clock


@pytest.fixture
async def poller(nursery: trio.Nursery) -> AsyncIterator[Poller]:
    """A poller that runs, for ten seconds at most; the nursery ends with it."""
    with Poller() as poller, trio.fail_after(10):
        nursery.start_soon(poller.run)
        yield poller
        nursery.cancel_scope.cancel()
