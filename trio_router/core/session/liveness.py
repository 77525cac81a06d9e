"""When a connection is pinged and when it counts as dead. Any frame is a sign of life.

A peer that reads slowly is silent too: a ping, and its answer, wait for everything before them that it has not read. But
its kernel acknowledges bytes as it reads. So while bytes wait for the peer, acknowledged ones are a sign of life
(`Delivery`). While none wait they are not: a kernel also acknowledges a ping whose process is stopped.
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
    """How many of the written bytes a peer's kernel has acknowledged."""

    acknowledged: int  # bytes since the connection began
    unsent: int  # bytes that wait because the peer's window is full, or the path is slow


class Keepalive:
    """One connection's silence. ``last_received_at`` is set by its reader, in seconds on the router's clock."""

    __slots__ = ("_acknowledged", "last_received_at", "pinged_at")

    def __init__(self, now: float) -> None:
        self.last_received_at = now
        self.pinged_at = now
        self._acknowledged = -1  # when bytes last waited; -1: they never did

    def received(self, now: float) -> None:
        """Bytes came."""
        self.last_received_at = now

    def excuse(self, now: float) -> None:
        """Disregard the silence up to ``now``: nothing was being read."""
        self.last_received_at = now

    def check(self, now: float, timeouts: TimeoutsConfig, delivery: Delivery | None = None) -> KeepaliveAction:
        """What to do now. After a PING was returned it counts as sent.

        ``delivery``: how far bytes to this connection have come, if known. If some wait, and others were acknowledged
        since the last check at which some waited, the connection is alive.
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
        """Whether bytes were acknowledged since the last call. False at the first one."""
        before, self._acknowledged = self._acknowledged, delivery.acknowledged
        return 0 <= before < delivery.acknowledged

    def due(self, timeouts: TimeoutsConfig) -> float:
        """The earliest time at which `check` may return something else, in seconds on the router's clock."""
        return min(
            self.last_received_at + timeouts.dead_peer_seconds,
            max(self.last_received_at, self.pinged_at) + timeouts.ping_interval_seconds,
        )
