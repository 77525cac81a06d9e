"""Rules of the line run on virtual time: a test that waits jumps to the next deadline, and every deadline is exact."""

from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Begins at 0; jumps as soon as all tasks wait. Not for tests with real sockets."""
    return autojump_clock
