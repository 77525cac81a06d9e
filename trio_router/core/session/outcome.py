"""How a session ended: which side ended it, in which phase, why, and what each side was sent.

One `Outcome` per session. The log line, the totals in ``/status`` and the events of embedding programs are made from it;
there is no second record of the same end. Side, phase and cause follow HAProxy's termination state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from trio_router.core.text import printable


class Side(StrEnum):
    """Which side ended it."""

    CLIENT = "client"
    REPLICA = "replica"
    ROUTER = "router"


class Phase(StrEnum):
    """How far the session had come."""

    HANDSHAKE = "handshake"  # the client's upgrade request is being answered
    FIRST_MESSAGE = "first_message"  # accepted; the client's first message has not arrived
    WAITING = "waiting"  # in the queue, no slot is free
    CONNECTING = "connecting"  # a replica is being dialled
    OPENING = "opening"  # connected, but the replica has not committed itself: the session can still be moved
    STREAMING = "streaming"  # past the commit point


class Cause(StrEnum):
    """Why it ended. The values are stable: operators count them."""

    CLOSED = "closed"  # a close frame
    COMPLETED = "completed"  # the replica announced the end of the stream, then dropped TCP: a normal end
    VANISHED = "vanished"  # the connection ended or broke without a close frame
    PROTOCOL_ERROR = "protocol_error"  # bytes that are not WebSocket frames
    INVALID_TEXT = "invalid_text"  # a text that must be UTF-8 is not
    TOO_BIG = "message_too_big"
    SLOW = "slow"  # accepted no byte for slow_seconds
    DEAD = "dead"  # gave no frame for dead_peer_seconds, pings unanswered
    INVALID = "invalid_message"  # the first message is not what the dialect starts with
    POISON = "message_fault"  # two replicas failed in the same way at what the client sent
    SILENT = "silent"  # no first message within first_message_seconds
    HANDSHAKE_FAILED = "handshake_failed"  # the upgrade request was refused or never completed
    NO_REPLICA = "no_replica"  # no replica is healthy
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    PRESET = "preset_mismatch"  # no replica is configured to serve what it asks for
    CLIENT_LIMIT = "client_limit"  # per_client sessions are open or waiting already
    UNREACHABLE = "unreachable"  # every replica that was tried failed before it committed itself
    REJECTED = "rejected"  # every replica that was tried refused the session
    OVERLOADED = "overloaded"  # too much is held for sessions that wait (unplaced_bytes)
    DRAINED = "drained"
    OPERATOR = "closed_by_operator"  # through the admin API
    CANCELLED = "cancelled"
    CRASHED = "crashed"  # a bug of the router; the log has the traceback


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """A close code and reason as they stood in a close frame; ``code`` None is a frame without one (1005)."""

    code: int | None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code or 1005} {printable(self.reason)}".rstrip()


@dataclass(frozen=True, slots=True)
class End:
    """How one direction, or an attempt on a replica, ended. ``close`` is the frame that its source sent, if any.

    ``retry_after`` (seconds) is sent to a refused client. ``status`` is the HTTP status of a replica's answer to the
    upgrade, if the client gets the same. ``dropped``: the replicas ended TCP without a close frame at what the
    client said, and the client gets the same.
    """

    side: Side
    cause: Cause
    close: CloseInfo | None = None
    detail: str = ""
    retry_after: float | None = None
    status: int | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One replica that was tried and did not take the session, and why (for operators; it may name addresses)."""

    replica: str
    why: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one direction carried after the handshake: bytes on the wire, frames, and whole messages."""

    bytes: int = 0
    frames: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record of one session. Closes: *received* from that side, *sent* by the router to it (None: none)."""

    side: Side
    phase: Phase
    cause: Cause
    detail: str = ""
    client_sent: CloseInfo | None = None
    client_got: CloseInfo | None = None
    replica_sent: CloseInfo | None = None
    replica_got: CloseInfo | None = None
    up: Traffic = field(default_factory=Traffic)
    down: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    replica: str | None = None
    tries: tuple[FailedAttempt, ...] = ()
    path: str | None = None
    preset: str | None = None
    request_id: str | None = None
    queue_seconds: float | None = None
    dial_seconds: float | None = None
    first_frame_seconds: float | None = None
    first_media_seconds: float | None = None

    @property
    def label(self) -> str:
        """``side.phase.cause``: the key of the totals."""
        return f"{self.side}.{self.phase}.{self.cause}"

    def fields(self) -> dict[str, object]:
        """Flat fields for a log line, without those that are not known."""
        known: dict[str, object] = {
            "replica": self.replica,
            "ended_by": str(self.side),
            "phase": str(self.phase),
            "cause": str(self.cause),
            "detail": printable(self.detail) or None,
            "close_from_client": self.client_got and str(self.client_got),
            "close_to_client": self.client_sent and str(self.client_sent),
            "close_from_replica": self.replica_got and str(self.replica_got),
            "close_to_replica": self.replica_sent and str(self.replica_sent),
            "seconds": round(self.seconds, 3),
            "bytes_up": self.up.bytes,
            "bytes_down": self.down.bytes,
            "messages_up": self.up.messages,
            "messages_down": self.down.messages,
            "path": self.path,
            "preset": self.preset,
            "request_id": self.request_id,
            "queue_seconds": _rounded(self.queue_seconds, 1),
            "dial_ms": _rounded(self.dial_seconds, 1000),
            "first_frame_ms": _rounded(self.first_frame_seconds, 1000),
            "first_media_ms": _rounded(self.first_media_seconds, 1000),
            "tries": [printable(f"{tried.replica}: {tried.why}") for tried in self.tries] or None,
        }
        return {key: value for key, value in known.items() if value is not None}


def _rounded(seconds: float | None, factor: int) -> float | None:
    """Seconds times ``factor``, rounded for people; None stays None."""
    return None if seconds is None else round(seconds * factor, 3 if factor == 1 else 1)
