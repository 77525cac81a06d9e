"""When the steps of a session happened: for its log line, metrics and traces."""

from __future__ import annotations


class Timing:
    """Moments on the router's clock; None: it did not come so far. Spans are in seconds."""

    __slots__ = ("committed_at", "connected_at", "media_at", "opened_at", "picked_at")

    def __init__(self, opened_at: float) -> None:
        self.opened_at = opened_at
        self.picked_at: float | None = None  # the last slot was given
        self.connected_at: float | None = None  # the last replica's connection stood
        self.committed_at: float | None = None
        self.media_at: float | None = None

    def picked(self, now: float) -> None:
        """A slot was given; an earlier attempt does not count any more."""
        self.picked_at, self.connected_at = now, None

    def connected(self, now: float) -> None:
        """The replica's connection stands."""
        self.connected_at = now
        if self.picked_at is None:
            self.picked_at = now

    def committed(self, now: float, *, media: bool) -> None:
        """The replica's first answer; ``media``: it was a binary message."""
        self.committed_at = now
        if media:
            self.media_at = now

    def media(self, now: float) -> None:
        """The first binary message of the replica."""
        self.media_at = now

    @property
    def queue_seconds(self) -> float | None:
        """From the client's arrival to the slot."""
        return None if self.picked_at is None else self.picked_at - self.opened_at

    @property
    def dial_seconds(self) -> float | None:
        """From the slot to the replica's connection."""
        if self.picked_at is None or self.connected_at is None:
            return None
        return self.connected_at - self.picked_at

    @property
    def first_frame_seconds(self) -> float | None:
        """From the replica's connection to its first answer."""
        if self.connected_at is None or self.committed_at is None:
            return None
        return self.committed_at - self.connected_at

    @property
    def first_media_seconds(self) -> float | None:
        """From the replica's connection to its first binary message."""
        if self.connected_at is None or self.media_at is None:
            return None
        return self.media_at - self.connected_at
