"""The table of sessions: the open ones, and totals of those that ended. Pages and metrics are made from its snapshots.

It observes sessions and decides nothing about them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, FailedAttempt, Outcome, Phase, Traffic

#: Number of ended sessions that are kept one by one.
RECENT: Final = 50


class OpenSession(Protocol):
    """What the session table needs of an open session."""

    id: str
    client: str
    port: int  # the client's TCP port; 0: not known
    opened_at: float

    @property
    def key(self) -> str | None:
        """Its affinity key; None without one."""
        ...

    @property
    def phase(self) -> Phase:
        """Its current phase."""
        ...

    @property
    def replica(self) -> str | None:
        """The label of its replica; None without one."""
        ...

    @property
    def tries(self) -> tuple[FailedAttempt, ...]:
        """Failed attempts: replicas that did not take it."""
        ...

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(client to replica, replica to client) so far."""
        ...

    def probe_failed(self, replica: Replica) -> None:
        """A probe of ``replica`` failed; it may be this session's."""
        ...

    def stop(self, cause: Cause, close: CloseInfo | None = None) -> None:
        """End it on the router's behalf; ``close`` is what the client is told, where the cause leaves that open."""
        ...


@dataclass(slots=True)
class SessionTable:
    """Sessions by id, and totals, which are counted as they happen."""

    open: dict[str, OpenSession] = field(default_factory=dict)
    opened_total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0
    recent: deque[tuple[str, Outcome]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, session: OpenSession) -> None:
        """A session was opened."""
        self.open[session.id] = session
        self.opened_total += 1

    def end(self, session: OpenSession, outcome: Outcome) -> None:
        """A session has ended: drop it, and count its outcome and traffic."""
        del self.open[session.id]
        self.outcomes[outcome.label] += 1
        self.bytes_up += outcome.up.bytes
        self.bytes_down += outcome.down.bytes
        self.recent.append((session.id, outcome))

    def refuse(self, reason: str) -> None:
        """A connection did not become a session; count it under ``reason``."""
        self.refused[reason] += 1

    def __iter__(self) -> Iterator[OpenSession]:
        return iter(list(self.open.values()))
