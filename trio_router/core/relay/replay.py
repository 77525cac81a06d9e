"""What a client has said before its replica committed itself, kept so that it can be said to another one."""

from __future__ import annotations

from trio_router.core.websocket.budget import ByteBudget


class ReplayBuffer:
    """Whole frames as they came, masked. ``limit`` is how much of them is wanted.

    It is *complete* while it holds everything that was said. Once something was left out nothing can be said again, and
    it stays empty for good.
    """

    __slots__ = ("_accounted", "_budget", "_frames", "limit")

    def __init__(self, limit: int, budget: ByteBudget) -> None:
        self._frames: bytearray | None = bytearray()
        self._budget = budget  # shared by all sessions that have no replica yet
        self._accounted = 0
        self.limit = limit

    def __len__(self) -> int:
        return len(self._frames or b"")

    def __repr__(self) -> str:
        return f"<ReplayBuffer {len(self)} of {self.limit}{'' if self.complete else ' given up'}>"

    @property
    def complete(self) -> bool:
        """Whether all that was said could be said again."""
        return self._frames is not None

    @property
    def full(self) -> bool:
        """Whether no more is wanted: while there is no replica nothing more is read then."""
        return self._frames is not None and len(self._frames) >= self.limit

    def set_limit(self, limit: int) -> None:
        """Want so much from now on; what is there stays."""
        self.limit = limit

    def append(self, frames: memoryview) -> None:
        """Keep what is about to go on."""
        if self._frames is not None:
            self._frames += frames

    def enforce(self) -> None:
        """Give up what is more than the limit: the session stays where it is."""
        if self._frames is not None and len(self._frames) > self.limit:
            self._frames = None

    def account(self, beside: int) -> bool:
        """Count what is held against the budget, with so many bytes ``beside`` it. False: all sessions hold too much."""
        held = len(self) + beside
        more, self._accounted = held - self._accounted, held
        if more <= 0:
            self._budget.give(-more)
            return True
        return self._budget.take(more)

    def release(self) -> None:
        """Nothing is held any more."""
        self._frames = None
        self._budget.give(self._accounted)
        self._accounted = 0

    def replay(self) -> bytearray:
        """All of it, to be written to a replica. With more than ``limit`` it is handed over, and no copy is kept."""
        frames = self._frames
        if frames is None:
            return bytearray()
        if len(frames) > self.limit:
            self._frames = None
            return frames
        return bytearray(frames)

    def view(self) -> bytearray:
        """What is kept, to be read only."""
        return self._frames if self._frames is not None else bytearray()
