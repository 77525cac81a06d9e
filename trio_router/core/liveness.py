"""When a leg is pinged and when it counts as dead. Any frame is life; only silence is not."""

from __future__ import annotations

from enum import Enum, auto

from .config import TimeoutsConfig


class Verdict(Enum):
    """What to do about a leg now."""

    FINE = auto()
    PING = auto()
    DEAD = auto()


class Pulse:
    """One leg's silence. ``heard_at`` is set by whoever reads from it; seconds on the router's clock."""

    __slots__ = ("heard_at", "pinged_at")

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.pinged_at = now

    def excuse(self, now: float) -> None:
        """Silence up to now means nothing: nobody was reading."""
        self.heard_at = now

    def check(self, now: float, timeouts: TimeoutsConfig) -> Verdict:
        """What to do now. A PING counts as done."""
        if now - self.heard_at >= timeouts.dead_peer_seconds:
            return Verdict.DEAD
        if now - max(self.heard_at, self.pinged_at) >= timeouts.ping_interval_seconds:
            self.pinged_at = now
            return Verdict.PING
        return Verdict.FINE

    def due(self, timeouts: TimeoutsConfig) -> float:
        """When `check` may have something new to say, at the earliest."""
        return min(
            self.heard_at + timeouts.dead_peer_seconds,
            max(self.heard_at, self.pinged_at) + timeouts.ping_interval_seconds,
        )
