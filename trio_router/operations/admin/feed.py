"""Server-sent events (WHATWG HTML, section 9.2): what happens in the router, as it happens."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import trio

from trio_router.core.events import AdminChange, Events, Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import FailedAttempt, Outcome
from trio_router.core.session.table import OpenSession

#: Kept for a listener that does not read; what is older is dropped, and the listener told how many those were.
KEPT: Final = 1000
#: A comment is sent when nothing else was for so long, so that proxies keep the connection and a dead one is noticed.
ALIVE_SECONDS: Final = 15.0


class EventFeed(Events):
    """Passes events on to those who listen. While nobody does, an event costs one look."""

    def __init__(self) -> None:
        self._listeners: set[Listening] = set()
        self._numbers = itertools.count(1)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def listen(self) -> Listening:
        """What happens from the first item on, which is a comment."""
        return Listening(self._listeners)

    def session_opened(self, session: OpenSession) -> None:
        """See `Events`, as all below."""
        if self._listeners:
            self._send("session_opened", session=session.id, client=session.client, replica=session.replica)

    def attempt_failed(self, session: OpenSession, attempt: FailedAttempt) -> None:
        if self._listeners:
            self._send("attempt_failed", session=session.id, replica=attempt.replica, why=attempt.why)

    def session_committed(self, session: OpenSession) -> None:
        if self._listeners:
            self._send("session_committed", session=session.id, replica=session.replica)

    def session_ended(self, session: OpenSession, outcome: Outcome) -> None:
        if self._listeners:
            self._send("session_ended", session=session.id, client=session.client, **outcome.fields())

    def replica_changed(self, replica: Replica, error: str | None) -> None:
        self._of_replica("replica_changed", replica, status=str(replica.health.status), error=error)

    def probe_failed(self, replica: Replica, error: str) -> None:
        self._of_replica("probe_failed", replica, error=error)

    def replica_ejected(self, replica: Replica, error: str, *, seconds: float) -> None:
        self._of_replica("replica_ejected", replica, error=error, seconds=round(seconds, 1))

    def replica_unread(self, replica: Replica, why: str) -> None:
        self._of_replica("replica_unread", replica, why=why)

    def replica_refusing(self, replica: Replica) -> None:
        self._of_replica("replica_refusing", replica, refusing=replica.refusing)

    def replicas_usable(self, usable: bool) -> None:
        if self._listeners:
            self._send("replicas_usable", usable=usable)

    def queue_changed(self, length: int) -> None:
        if self._listeners:
            self._send("queue_changed", length=length)

    def refused(self, refusal: Refusal) -> None:
        if self._listeners:
            self._send(
                "refused",
                reason=refusal.reason,
                client=refusal.client,
                status=refusal.status,
                path=refusal.path,
                detail=refusal.detail or None,
            )

    def admin_changed(self, change: AdminChange) -> None:
        """The audit entry of a change."""
        if self._listeners:
            self._send("audit", by=change.by, action=change.action, target=change.target, details=dict(change.details))

    def _of_replica(self, event: str, replica: Replica, **fields: Any) -> None:
        if self._listeners:
            self._send(event, replica=replica.label, url=replica.url, **fields)

    def _send(self, event: str, **fields: Any) -> None:
        # JSON in ASCII holds no line break, so it is one `data` line.
        data = json.dumps(fields, separators=(",", ":"), default=str)
        text = f"id: {next(self._numbers)}\nevent: {event}\ndata: {data}\n\n".encode()
        for listening in self._listeners:
            listening.put(text)


class Listening:
    """The events for one listener, as bytes of a stream; it begins to listen with the first item."""

    def __init__(self, listeners: set[Listening]) -> None:
        self._listeners = listeners
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._dropped = 0
        self._came = trio.Event()

    def put(self, text: bytes) -> None:
        """One event. Never waits."""
        self._dropped += len(self._kept) == KEPT
        self._kept.append(text)
        self._came.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self not in self._listeners:
            self._listeners.add(self)
            await trio.lowlevel.checkpoint()
            return b": listening\n\n"
        with trio.move_on_after(ALIVE_SECONDS):
            await self._came.wait()
        self._came = trio.Event()
        missed, self._dropped = self._dropped, 0
        told = f'event: dropped\ndata: {{"events":{missed}}}\n\n'.encode() if missed else b""
        text = told + b"".join(self._kept)
        self._kept.clear()
        return text or b":\n\n"

    async def aclose(self) -> None:
        """Listen no more."""
        self._listeners.discard(self)
