"""When a leg is pinged and when it counts as dead. Any frame is life; only silence is not.

A peer that reads slowly is silent too: a ping, and its answer, wait behind everything that it has not read yet. But its
kernel acknowledges bytes as it reads. So where bytes wait for the peer, those that it takes are life (`Delivery`).
Where none wait they are not: a kernel also acknowledges a ping whose process is stopped.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from .config import TimeoutsConfig


class Verdict(Enum):
    """What to do about a leg now."""

    FINE = auto()
    PING = auto()
    DEAD = auto()


class Delivery(NamedTuple):
    """How far a peer's kernel has taken what was written to it."""

    acknowledged: int  # bytes since the connection began
    unsent: int  # bytes that wait because the peer's window is full, or the path is slow


class Pulse:
    """One leg's silence. ``heard_at`` is set by whoever reads from it; seconds on the router's clock."""

    __slots__ = ("_acknowledged", "heard_at", "pinged_at")

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.pinged_at = now
        self._acknowledged = -1  # when bytes last waited; -1: they never did

    def excuse(self, now: float) -> None:
        """Silence up to now means nothing: nobody was reading."""
        self.heard_at = now

    def check(self, now: float, timeouts: TimeoutsConfig, delivery: Delivery | None = None) -> Verdict:
        """What to do now. A PING counts as done.

        ``delivery``: how far bytes to this leg have come, if anybody knows. If some wait, and others were acknowledged
        since the last check at which some waited, the leg lives.
        """
        if delivery is not None and delivery.unsent and self._moved(delivery):
            self.heard_at = now
        if now - self.heard_at >= timeouts.dead_peer_seconds:
            return Verdict.DEAD
        if now - max(self.heard_at, self.pinged_at) >= timeouts.ping_interval_seconds:
            self.pinged_at = now
            return Verdict.PING
        return Verdict.FINE

    def _moved(self, delivery: Delivery) -> bool:
        """Whether bytes were acknowledged since the last call. Not at the first, which has nothing to compare with."""
        before, self._acknowledged = self._acknowledged, delivery.acknowledged
        return 0 <= before < delivery.acknowledged

    def due(self, timeouts: TimeoutsConfig) -> float:
        """When `check` may have something new to say, at the earliest."""
        return min(
            self.heard_at + timeouts.dead_peer_seconds,
            max(self.heard_at, self.pinged_at) + timeouts.ping_interval_seconds,
        )
