"""The session's state machine: one table of transitions, and what both directions do in each phase.

Everything that decides how frames are treated follows from the phase. `SessionState.enter` is the only way into another
phase; a pair of phase and event that is not in the table is a bug of the caller.

```
HANDSHAKE ──ACCEPT──► FIRST_MESSAGE ──SEEK──► WAITING ──DIAL──► CONNECTING ──CONNECT──► OPENING ──COMMIT──► STREAMING
    │                                          ▲  ▲                 │                     │
    ├──SEEK (the client need not speak first)──┘  └──────SEEK───────┴─────────SEEK────────┘
    └──CONNECT (a replica was dialled before the client was answered)──► OPENING
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from trio_router.core.session.outcome import End, Phase


class SessionEvent(Enum):
    """What moves a session from one phase to the next."""

    ACCEPT = auto()  # the client was answered, and must speak first
    SEEK = auto()  # a slot is wanted: the first message is there, or an attempt failed
    DIAL = auto()  # a slot was given
    CONNECT = auto()  # the replica's connection stands
    COMMIT = auto()  # the replica has begun to answer: the commit point


TRANSITIONS: Final[dict[tuple[Phase, SessionEvent], Phase]] = {
    (Phase.HANDSHAKE, SessionEvent.ACCEPT): Phase.FIRST_MESSAGE,
    (Phase.HANDSHAKE, SessionEvent.SEEK): Phase.WAITING,
    (Phase.HANDSHAKE, SessionEvent.CONNECT): Phase.OPENING,
    (Phase.FIRST_MESSAGE, SessionEvent.SEEK): Phase.WAITING,
    (Phase.WAITING, SessionEvent.SEEK): Phase.WAITING,
    (Phase.WAITING, SessionEvent.DIAL): Phase.CONNECTING,
    (Phase.CONNECTING, SessionEvent.SEEK): Phase.WAITING,
    (Phase.CONNECTING, SessionEvent.CONNECT): Phase.OPENING,
    (Phase.OPENING, SessionEvent.SEEK): Phase.WAITING,
    (Phase.OPENING, SessionEvent.COMMIT): Phase.STREAMING,
}


class Inspection(Enum):
    """Which frames of a direction are inspected before they go on."""

    ALL = auto()
    CONTROL = auto()  # control frames, and what the dialect wants
    DIALECT = auto()  # what the dialect wants


class Hold(Enum):
    """Up to which size a client's frame goes on only when it is whole."""

    FIRST = auto()  # the largest first message
    REPLAY = auto()  # what could be sent again: ``replay_bytes``, or ``hold_bytes`` if that is more
    FRAME = auto()  # ``hold_bytes``


class Replay(Enum):
    """How much of the client's frames is kept for another replica."""

    FIRST = auto()  # a whole first message; then nothing more is read
    MORE = auto()  # ``replay_bytes``, or a little more than the first message; then nothing more is read
    STRICT = auto()  # ``replay_bytes``; with more the session stays where it is
    NONE = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Conduct:
    """What both directions do in one phase."""

    client: Inspection
    replica: Inspection
    hold: Hold
    replay: Replay
    has_replica: bool = False
    committed: bool = False


_ASKING: Final = Conduct(Inspection.ALL, Inspection.ALL, Hold.FIRST, Replay.FIRST)
_SEEKING: Final = Conduct(Inspection.ALL, Inspection.ALL, Hold.REPLAY, Replay.MORE)
CONDUCT: Final[dict[Phase, Conduct]] = {
    Phase.HANDSHAKE: _ASKING,
    Phase.FIRST_MESSAGE: _ASKING,
    Phase.WAITING: _SEEKING,
    Phase.CONNECTING: _SEEKING,
    Phase.OPENING: Conduct(Inspection.CONTROL, Inspection.ALL, Hold.REPLAY, Replay.STRICT, has_replica=True),
    Phase.STREAMING: Conduct(
        Inspection.CONTROL, Inspection.DIALECT, Hold.FRAME, Replay.NONE, has_replica=True, committed=True
    ),
}


class SessionState:
    """Where one session stands. ``end`` is the first end, the one that counts; ``ended_in`` the phase it came in."""

    __slots__ = ("conduct", "end", "ended_in", "phase")

    def __init__(self) -> None:
        self.phase = Phase.HANDSHAKE
        self.conduct = CONDUCT[Phase.HANDSHAKE]  # what both directions do now
        self.end: End | None = None
        self.ended_in = Phase.HANDSHAKE

    def __repr__(self) -> str:
        return f"<SessionState {self.phase} end={self.end}>"

    def hear(self) -> None:
        """The client's first message is complete, though not parsed yet: what follows it is no first message."""
        if self.phase is Phase.FIRST_MESSAGE:
            self.conduct = _SEEKING

    def enter(self, event: SessionEvent) -> None:
        """Enter the phase to which the table leads.

        Raises:
            RuntimeError: the table has no such transition.
        """
        phase = TRANSITIONS.get((self.phase, event))
        if phase is None:
            raise RuntimeError(f"a session in {self.phase} cannot {event.name}")
        self.phase = phase
        self.conduct = CONDUCT[phase]

    def finish(self, end: End) -> bool:
        """Record how it ended. False if it had ended before; then nothing changes."""
        if self.end is not None:
            return False
        self.end = end
        self.ended_in = self.phase
        return True
