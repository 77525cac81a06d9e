"""The session table of sessions: which are open, how those of the past ended. Pages and metrics are written from its
snapshots.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, FailedAttempt, Outcome, Phase, Traffic

#: How many ended sessions are remembered one by one.
RECENT: Final = 50


class OpenSession(Protocol):
    """What the session table may ask of a session that is open."""

    id: str
    client: str
    opened_at: float

    @property
    def key(self) -> str | None:
        """Its affinity key."""
        ...

    @property
    def phase(self) -> Phase:
        """How far it is."""
        ...

    @property
    def replica(self) -> str | None:
        """The label of the replica that has it."""
        ...

    @property
    def tries(self) -> tuple[FailedAttempt, ...]:
        """Replicas that did not take it."""
        ...

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(upstream, downstream) so far."""
        ...

    def probe_failed(self, replica: Replica) -> None:
        """A probe of this replica failed, which may be the session's."""
        ...

    def stop(self, cause: Cause, close: CloseInfo | None = None) -> None:
        """End it in the router's name; ``close`` is what the client is told, where the cause leaves that open."""
        ...


@dataclass(slots=True)
class SessionTable:
    """Sessions by id, and totals. Counted as they happen, never by scanning."""

    open: dict[str, OpenSession] = field(default_factory=dict)
    opened_total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0
    recent: deque[tuple[str, Outcome]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, session: OpenSession) -> None:
        """A client was heard."""
        self.open[session.id] = session
        self.opened_total += 1

    def end(self, session: OpenSession, outcome: Outcome) -> None:
        """It is over."""
        del self.open[session.id]
        self.outcomes[outcome.label] += 1
        self.bytes_up += outcome.up.bytes
        self.bytes_down += outcome.down.bytes
        self.recent.append((session.id, outcome))

    def refuse(self, reason: str) -> None:
        """A connection did not become a session."""
        self.refused[reason] += 1

    def __iter__(self) -> Iterator[OpenSession]:
        return iter(list(self.open.values()))
