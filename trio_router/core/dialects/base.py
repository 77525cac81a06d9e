"""What a dialect answers. All of it is pure: messages in, verdicts and messages out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from trio_router.core.framing import Frame
from trio_router.core.outcome import CloseInfo


class Verdict(Enum):
    """What a replica's frame means before the commit point."""

    PASS = auto()  # give it to the client; the session can still be moved
    COMMIT = auto()  # give it to the client; from here on the session stays
    REFUSED = auto()  # keep it from the client; the replica has no room for the session
    FAILED = auto()  # keep it from the client; the replica says that it failed


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client's first message says about where it wants to go. ``problem`` set: it is refused with these words."""

    client_id: str | None = None
    preset: str | None = None
    problem: str | None = None


class Dialect(Protocol):
    """One understanding of the messages. Methods that return ``bytes | None`` give a text frame's payload, or nothing."""

    name: str
    #: The client's first message is read before a replica is picked.
    client_speaks_first: bool
    #: A replica must say something within ``first_reply_seconds``.
    replica_must_reply: bool
    #: What of a replica's frames it wants to read behind the commit point.
    watch: frozenset[int]

    def hello(self, message: bytes, *, text: bool) -> ClientHello:
        """Read a client's first message."""
        ...

    def opening(self, frame: Frame, payload: bytes) -> Verdict:
        """Read a replica's frame (never a close) before the commit point."""
        ...

    def refuses(self, close: CloseInfo) -> bool:
        """Whether a close frame before the commit point means that another replica should be tried."""
        ...

    def completes(self, payload: bytes) -> bool:
        """Whether a replica's text message announces the normal end of the stream."""
        ...

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> bytes | None:
        """An error message to the client."""
        ...

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> bytes | None:
        """A place in the waiting line; 1 is next."""
        ...
