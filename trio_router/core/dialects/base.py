"""What the router must know of a protocol that is spoken through it. All of it is pure: messages in, verdicts out.

A `Dialect` is one object for all sessions: facts and patience. `Dialect.open` gives a `Conversation`, which follows one
session; a dialect that has nothing to remember gives the same object to all.

How a new dialect is written, outside of this package too:

1. Subclass `Opaque`, which knows nothing but WebSocket, and set the attributes that differ: who speaks first, which HTTP
   statuses mean "try another", how patient to be, where replicas are probed.
2. If there is nothing to remember of a session, override `Conversation`'s methods in the same class. If there is, write a
   class for the conversation (it may subclass the dialect's), and return a fresh one from `Dialect.open`.
3. Hand it to the router under a name, and use the name in the configuration: ``dialect: mine`` and
   ``Router(config, dialects={"mine": Mine()})``; a file is read with ``parse_config(text, dialects=["mine"])``.

Verdicts before the commit point decide whether the session can still be moved to another replica; after it nothing is
looked at but what ``client_watch`` and ``replica_watch`` name, because each look costs a copy. All methods are called on
the path of a frame: they return at once, and must not raise (the session would end with an internal error).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from trio_router.core.session.outcome import CloseInfo
from trio_router.core.websocket.frames import Frame


class ReplyVerdict(Enum):
    """What a replica's frame or close means."""

    PASS = auto()  # give it to the client; the session can still be moved
    HOLD = auto()  # give it to the client at the commit point, not before; a retry drops it
    COMMIT = auto()  # give it to the client; from here on the session stays
    REFUSED = auto()  # keep it from the client; the replica has no room for the session
    FAILED = auto()  # keep it from the client; the replica says that it failed
    FINISHED = auto()  # give it to the client; then the router ends the session, because the replica never would


class Message(NamedTuple):
    """A message of the router's own to a client: TEXT or BINARY, and the payload."""

    opcode: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class FirstMessage:
    """What a client's first message says about where it wants to go. ``problem`` set: it is refused with that text."""

    client_id: str | None = None
    preset: str | None = None
    problem: str | None = None


class Conversation(Protocol):
    """One session, as its dialect understands it. ``payload()`` gives the frame's payload and costs a copy of it."""

    def parse_first_message(self, message: bytes, *, text: bool) -> FirstMessage:
        """Read a client's first message (only where the client speaks first)."""
        ...

    def classify_reply(self, frame: Frame, payload: bytes) -> ReplyVerdict:
        """Judge a replica's frame, never a close, before the commit point. FINISHED commits it, too."""
        ...

    def classify_close(self, close: CloseInfo) -> ReplyVerdict:
        """Judge a close frame before the commit point: COMMIT (it is the answer to this client), REFUSED or FAILED.

        It may depend on what `classify_reply` saw before it.
        """
        ...

    def client_says(self, frame: Frame, payload: Callable[[], bytes]) -> None:
        """A frame of the client after the commit point, of those that ``client_watch`` names."""
        ...

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
        """A text frame of the replica after the commit point, if ``replica_watch`` names them: PASS or FINISHED."""
        ...

    @property
    def may_end(self) -> bool:
        """Whether the connection's end without a close frame would be the normal end of the session now."""
        ...

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> Message | None:
        """An error message to the client, or None if the protocol has none."""
        ...

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> Message | None:
        """A position in the router's queue (1 is next), or None if the protocol has no such message."""
        ...


class Dialect(Protocol):
    """One protocol. What is None here is taken from the configuration. Plain attributes will do for all of these."""

    @property
    def name(self) -> str:
        """For people; the configuration knows it by the name that it was given under."""
        ...

    @property
    def client_speaks_first(self) -> bool:
        """The client's first message is read before a replica is picked."""
        ...

    @property
    def replica_must_reply(self) -> bool:
        """A replica must say something within `first_reply_seconds`."""
        ...

    @property
    def passes_refusals(self) -> bool:
        """Whether the client gets the replicas' own answer where all that were tried gave one.

        That is the last close code, or, where two ended TCP without a close frame at the same message, the same end.
        """
        ...

    @property
    def client_watch(self) -> frozenset[int]:
        """Opcodes of the client's frames that a conversation wants to see after the commit point."""
        ...

    @property
    def replica_watch(self) -> frozenset[int]:
        """The same of the replica's: TEXT, or nothing. The router itself looks at closes, whatever stands here."""
        ...

    @property
    def refusing_statuses(self) -> Collection[int]:
        """HTTP answers to the upgrade that mean "try another replica", not "this client is refused"."""
        ...

    @property
    def default_capacity(self) -> int | None:
        """Sessions that a replica serves at once while it has not said so; None: without a limit."""
        ...

    @property
    def first_reply_seconds(self) -> float | None:
        """For the first reply, instead of `timeouts.first_reply_seconds`; each message that does not commit begins it anew."""
        ...

    @property
    def dead_peer_seconds(self) -> float | None:
        """For a replica without any frame (a busy GPU answers no pings), instead of `timeouts.dead_peer_seconds`."""
        ...

    @property
    def probe_path(self) -> str | None:
        """Where to ask a replica how it is, unless `health_check.path` was set."""
        ...

    @property
    def linger_seconds(self) -> float:
        """A replica that reports nothing counts as busy for so long after a session that it had committed itself to, or that
        was taken from it."""
        ...

    def open(self) -> Conversation:
        """A session begins."""
        ...
