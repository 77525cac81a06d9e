"""A connection that accepts only what a test grants it, as a socket does whose peer does not read."""

from __future__ import annotations

import trio
import trio.testing

from tests.relay.far import FarEnd
from trio_router.core.session.outcome import Side
from trio_router.net.connection import StreamConnection


class WindowConnection(StreamConnection):
    """Accepts ``window`` bytes, without waiting; then none until there is a grant. Its far end is ``far``."""

    def __init__(self, side: Side, *, window: int = 0) -> None:
        to_leg, from_far = trio.testing.memory_stream_one_way_pair()
        unused, self._to_far = trio.testing.memory_stream_one_way_pair()
        super().__init__(trio.StapledStream(unused, from_far), side)
        self.far = FarEnd(trio.StapledStream(to_leg, self._to_far), masks=side is Side.CLIENT)
        self.window = window
        self.accepted = 0
        self._more = trio.Event()

    def grant(self, size: int) -> None:
        """Accept ``size`` bytes more."""
        self.window += size
        self._more.set()

    def send_nowait(self, data: memoryview) -> int:
        if self.broken:
            return len(data)
        size = min(len(data), self.window)
        self.window -= size
        self.accepted += size
        if size:
            self._to_far.put_data(bytes(data[:size]))
        return size

    async def send_some(self, data: memoryview) -> int:
        while not (sent := self.send_nowait(data)):
            self._more = trio.Event()
            await self._more.wait()
        return sent
