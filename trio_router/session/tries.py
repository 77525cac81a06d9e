"""What one session has tried: which replicas are left for it, and whose fault a failure is.

Pure bookkeeping of one session; the registry hears of a failure only once it is clear that it is the replica's. What the
client said is held against nobody: if two attempts fail in the same way, the message is at fault.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from trio_router.core.errors import DialError
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, End, FailedAttempt, Side

#: A message is said to the same replica at most so often.
TELLINGS: Final = 2
#: Ends that what the client said may have caused. Silence and slowness are the replica's own.
_CLIENTS_DOING: Final = frozenset({Cause.VANISHED, Cause.PROTOCOL_ERROR, Cause.TOO_BIG, Cause.HANDSHAKE_FAILED})
#: The kind of an attempt whose replica ended TCP without a close frame.
_DROPPED: Final = (Cause.VANISHED, None)

#: What all sessions share after their commit point; nothing is ever put in.
_NOBODY: Final[dict[Replica, int]] = {}
_NO_FAILURES: Final[list[Failure]] = []
_NO_CLOSES: Final[list[CloseInfo | None]] = []


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that a replica failed.

    ``kind``: two of the same are the message's fault; None: what the client said cannot be the cause. ``connected``: the
    replica had a connection of this client.
    """

    replica: Replica
    why: str
    kind: tuple[object, ...] | None
    connected: bool


class Tries:
    """The attempts of one session so far."""

    __slots__ = ("_attempts", "_closes", "_deferred", "_failed", "_refused", "_told", "log")

    def __init__(self, attempts: int) -> None:
        self.log: tuple[FailedAttempt, ...] = ()
        self._attempts = attempts
        self._told: dict[Replica, int] = {}
        self._refused: dict[Replica, int] = {}
        self._failed: list[Failure] = []
        self._deferred: list[Failure] = []  # not clear yet whose fault
        self._closes: list[CloseInfo | None] = []  # how each attempt that was told something was closed

    def told(self, replica: Replica) -> None:
        """A connection stands: the replica hears what the client says."""
        self._told[replica] = self._told.get(replica, 0) + 1

    def refused(self, replica: Replica, why: str, close: CloseInfo | None) -> None:
        """It is up and has no room."""
        self.log = (*self.log, FailedAttempt(replica.label, why))
        self._refused[replica] = self._refused.get(replica, 0) + 1
        self._closes.append(close)

    def failed(self, replica: Replica, end: End) -> Failure:
        """An attempt came to this end before the replica had committed itself."""
        kind = (end.cause, end.close and end.close.code) if end.cause in _CLIENTS_DOING else None
        self._closes.append(end.close)
        return self._note(Failure(replica, end.detail or end.cause, kind, True))

    def dial_failed(self, replica: Replica, error: DialError) -> Failure:
        """It could not be connected to, or did not answer the upgrade well."""
        kind = (Cause.HANDSHAKE_FAILED, error.status) if error.reached else None
        self._closes.append(None)
        return self._note(Failure(replica, str(error), kind, error.reached))

    def _note(self, failure: Failure) -> Failure:
        self.log = (*self.log, FailedAttempt(failure.replica.label, failure.why))
        self._failed.append(failure)
        if failure.kind is not None:
            self._deferred.append(failure)
        return failure

    def excluded(self, *, last_resort: bool) -> tuple[Replica, ...]:
        """Replicas that are not asked (again). ``last_resort``: one that failed at the message may be asked once more."""
        if not (self._failed or self._told or self._refused):
            return ()
        failed = [f.replica for f in self._failed if not last_resort or f.kind is None]
        often = [r for r, times in self._told.items() if times >= TELLINGS]
        full = [r for r, times in self._refused.items() if times >= self._attempts]
        return tuple({*failed, *often, *full})

    @property
    def has_last_resort(self) -> bool:
        """Whether a replica is left that failed at the message once."""
        return len(self.excluded(last_resort=True)) < len(self.excluded(last_resort=False))

    @property
    def exhausted(self) -> bool:
        """Whether so many replicas failed that no more are tried."""
        return len({f.replica for f in self._failed}) >= self._attempts

    @property
    def message_fault(self) -> bool:
        """Whether two attempts failed in the same way at what the client said."""
        if len(self._deferred) < TELLINGS:
            return False
        kinds = Counter(f.kind for f in self._deferred)
        return any(times >= TELLINGS for times in kinds.values())

    def conclude(self) -> list[Failure]:
        """Another replica took the session: those that failed it before are to blame, and only the log is kept."""
        found = self._deferred
        self._told = self._refused = _NOBODY
        self._failed, self._deferred, self._closes = _NO_FAILURES, _NO_FAILURES, _NO_CLOSES
        return found

    def none_left(self, *, pass_refusals: bool, retry_after: float | None) -> End:
        """How the session ends when no replica is left for it."""
        close = self._closes[-1] if self._closes else None
        if pass_refusals and close is not None and all(self._closes):
            return End(Side.REPLICA, Cause.CLOSED, close)
        detail = "; ".join(f"{tried.replica}: {tried.why}" for tried in self.log)
        if self.message_fault:
            dropped = pass_refusals and all(f.kind == _DROPPED for f in self._deferred)
            return End(Side.CLIENT, Cause.POISON, detail=detail, dropped=dropped)
        if self._refused and not self._failed:
            return End(Side.REPLICA, Cause.REJECTED, detail=detail, retry_after=retry_after)
        return End(Side.ROUTER, Cause.UNREACHABLE, detail=detail, retry_after=retry_after)
