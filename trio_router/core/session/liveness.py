"""When a connection is pinged and when it counts as dead. Any frame is life; only silence is not.

A peer that reads slowly is silent too: a ping, and its answer, wait behind everything that it has not read yet. But its
kernel acknowledges bytes as it reads. So where bytes wait for the peer, those that it takes are life (`Delivery`).
Where none wait they are not: a kernel also acknowledges a ping whose process is stopped.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from trio_router.core.config import TimeoutsConfig


class KeepaliveAction(Enum):
    """What to do about a connection now."""

    FINE = auto()
    PING = auto()
    DEAD = auto()


class Delivery(NamedTuple):
    """How far a peer's kernel has taken what was written to it."""

    acknowledged: int  # bytes since the connection began
    unsent: int  # bytes that wait because the peer's window is full, or the path is slow


class Keepalive:
    """One connection's silence. ``last_received_at`` is told by whoever reads from it; seconds on the router's clock."""

    __slots__ = ("_acknowledged", "last_received_at", "pinged_at")

    def __init__(self, now: float) -> None:
        self.last_received_at = now
        self.pinged_at = now
        self._acknowledged = -1  # when bytes last waited; -1: they never did

    def received(self, now: float) -> None:
        """Bytes came."""
        self.last_received_at = now

    def excuse(self, now: float) -> None:
        """Silence up to now means nothing: nobody was reading."""
        self.last_received_at = now

    def check(self, now: float, timeouts: TimeoutsConfig, delivery: Delivery | None = None) -> KeepaliveAction:
        """What to do now. A PING counts as done.

        ``delivery``: how far bytes to this connection have come, if anybody knows. If some wait, and others were acknowledged
        since the last check at which some waited, the connection lives.
        """
        if delivery is not None and delivery.unsent and self._moved(delivery):
            self.last_received_at = now
        if now - self.last_received_at >= timeouts.dead_peer_seconds:
            return KeepaliveAction.DEAD
        if now - max(self.last_received_at, self.pinged_at) >= timeouts.ping_interval_seconds:
            self.pinged_at = now
            return KeepaliveAction.PING
        return KeepaliveAction.FINE

    def _moved(self, delivery: Delivery) -> bool:
        """Whether bytes were acknowledged since the last call. Not at the first, which has nothing to compare with."""
        before, self._acknowledged = self._acknowledged, delivery.acknowledged
        return 0 <= before < delivery.acknowledged

    def due(self, timeouts: TimeoutsConfig) -> float:
        """When `check` may have something new to say, at the earliest."""
        return min(
            self.last_received_at + timeouts.dead_peer_seconds,
            max(self.last_received_at, self.pinged_at) + timeouts.ping_interval_seconds,
        )
