"""A limit for the bytes that many owners hold together. Only the count: the bytes belong to the owners."""

from __future__ import annotations


class ByteBudget:
    """Bytes held by many owners, against one limit (`limits.unplaced_bytes`).

    Memory is counted after it was received, so `take` never refuses: a reader checks `full` first and stops reading, or
    ends the session that filled it. Every owner gives back exactly what it took.
    """

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def __repr__(self) -> str:
        return f"<ByteBudget held={self.held} limit={self.limit}>"

    def resize(self, limit: int) -> None:
        """Another limit from now on; what is held already stays held."""
        self.limit = limit

    @property
    def full(self) -> bool:
        """Whether the limit is reached: no more should be read."""
        return self.held >= self.limit

    def take(self, size: int) -> bool:
        """Count ``size`` bytes more; False if the limit is exceeded now."""
        self.held += size
        return self.held <= self.limit

    def give(self, size: int) -> None:
        """Give back ``size`` bytes that were taken.

        Raises:
            ValueError: more than is held: an owner gives back twice.
        """
        if size > self.held:
            raise ValueError(f"{size} bytes given back, but only {self.held} are held")
        self.held -= size
