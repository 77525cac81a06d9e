"""The session's state machine: its table is walked pair by pair, and what each phase asks of both directions."""

from __future__ import annotations

import re
from itertools import product

import pytest

import trio_router.core.session.state as state_module
from trio_router.core.session.outcome import Cause, End, Phase, Side
from trio_router.core.session.state import (
    CONDUCT,
    TRANSITIONS,
    Hold,
    Inspection,
    Replay,
    SessionEvent,
    SessionState,
)

#: A way into each phase.
WAYS: dict[Phase, tuple[SessionEvent, ...]] = {
    Phase.HANDSHAKE: (),
    Phase.FIRST_MESSAGE: (SessionEvent.ACCEPT,),
    Phase.WAITING: (SessionEvent.SEEK,),
    Phase.CONNECTING: (SessionEvent.SEEK, SessionEvent.DIAL),
    Phase.OPENING: (SessionEvent.CONNECT,),
    Phase.STREAMING: (SessionEvent.CONNECT, SessionEvent.COMMIT),
}


def state_in(phase: Phase) -> SessionState:
    state = SessionState()
    for event in WAYS[phase]:
        state.enter(event)
    assert state.phase is phase
    return state


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, SessionEvent)))
def test_every_event_in_every_phase_does_what_the_table_says_or_is_an_error(phase: Phase, event: SessionEvent) -> None:
    state, to = state_in(phase), TRANSITIONS.get((phase, event))
    if to is not None:
        state.enter(event)
        assert state.phase is to
        return
    with pytest.raises(RuntimeError, match=f"a session in {phase} cannot {event.name}"):
        state.enter(event)
    assert state.phase is phase, "a step that is none changes nothing"


def test_the_table_is_this_one() -> None:
    told = {(str(phase), event.name, str(to)) for (phase, event), to in TRANSITIONS.items()}
    assert told == {
        ("handshake", "ACCEPT", "first_message"),
        ("handshake", "SEEK", "waiting"),
        ("handshake", "CONNECT", "opening"),
        ("first_message", "SEEK", "waiting"),
        ("waiting", "SEEK", "waiting"),
        ("waiting", "DIAL", "connecting"),
        ("connecting", "SEEK", "waiting"),
        ("connecting", "CONNECT", "opening"),
        ("opening", "SEEK", "waiting"),
        ("opening", "COMMIT", "streaming"),
    }


def test_the_diagram_of_the_docs_names_every_phase_and_every_event_and_its_steps_are_in_the_table() -> None:
    drawn = (state_module.__doc__ or "").split("```")[1]
    assert set(re.findall(r"[A-Z_]{4,}", drawn)) == {phase.name for phase in Phase} | {e.name for e in SessionEvent}
    line = drawn.strip().splitlines()[0]
    steps = re.findall(r"(?=\b([A-Z_]+) ──([A-Z]+)──► ([A-Z_]+))", line)
    assert len(steps) == 5
    for phase, event, to in steps:
        assert TRANSITIONS[Phase[phase], SessionEvent[event]] is Phase[to]


def test_what_both_directions_do_in_each_phase() -> None:
    early = (Inspection.ALL, Inspection.ALL, Hold.FIRST, Replay.FIRST, False, False)
    seeking = (Inspection.ALL, Inspection.ALL, Hold.REPLAY, Replay.MORE, False, False)
    assert {
        phase: (c.client, c.replica, c.hold, c.replay, c.has_replica, c.committed)
        for phase in Phase
        for c in [state_in(phase).conduct]
    } == {
        Phase.HANDSHAKE: early,
        Phase.FIRST_MESSAGE: early,
        Phase.WAITING: seeking,
        Phase.CONNECTING: seeking,
        Phase.OPENING: (Inspection.CONTROL, Inspection.ALL, Hold.REPLAY, Replay.STRICT, True, False),
        Phase.STREAMING: (Inspection.CONTROL, Inspection.DIALECT, Hold.FRAME, Replay.NONE, True, True),
    }


@pytest.mark.parametrize("phase", Phase)
def test_what_follows_a_whole_first_message_is_no_first_message(phase: Phase) -> None:
    state = state_in(phase)
    state.hear()
    assert state.conduct is CONDUCT[Phase.WAITING if phase is Phase.FIRST_MESSAGE else phase]


def test_the_first_end_counts_and_the_phase_that_it_came_in() -> None:
    state = state_in(Phase.OPENING)
    first, second = End(Side.CLIENT, Cause.VANISHED), End(Side.REPLICA, Cause.DEAD)
    assert state.finish(first)
    state.enter(SessionEvent.COMMIT)
    assert not state.finish(second)
    assert (state.end, state.ended_in, state.phase) == (first, Phase.OPENING, Phase.STREAMING)
    assert repr(state) == f"<SessionState streaming end={first}>"
