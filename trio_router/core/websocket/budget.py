"""How much many owners may hold together."""

from __future__ import annotations


class ByteBudget:
    """Bytes held by many owners, against one limit (`limits.unplaced_bytes`).

    Memory is counted after it has come, so `take` never refuses: whoever reads asks `full` first and stops reading, or
    ends the session that made it full. Every owner gives back exactly what it took.
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
        """Whether as much is held as may be: nobody should read more."""
        return self.held >= self.limit

    def take(self, size: int) -> bool:
        """Count ``size`` bytes more; False if more is held now than may be."""
        self.held += size
        return self.held <= self.limit

    def give(self, size: int) -> None:
        """``size`` bytes that were taken are free again.

        Raises:
            ValueError: more than is held: somebody gives back twice.
        """
        if size > self.held:
            raise ValueError(f"{size} bytes given back, but only {self.held} are held")
        self.held -= size
