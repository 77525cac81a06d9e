"""What is decided about each frame, phase by phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_router.core.dialects import Opaque, ReplyVerdict
from trio_router.core.relay.filter import DROP, EARLY_FRAMES, FORWARD, Decision, FilterEvent, FrameFilter
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side
from trio_router.core.session.state import SessionEvent, SessionState
from trio_router.core.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close_payload,
    frame,
)

OWN = b"own ping"


class Told(Opaque):
    """Answers with the verdict that a test wants, and notes what it was shown."""

    def __init__(self) -> None:
        self.verdict = ReplyVerdict.PASS
        self.close_verdict = ReplyVerdict.COMMIT
        self.shown: list[tuple[str, int, bytes]] = []

    def classify_reply(self, frame: Frame, payload: bytes) -> ReplyVerdict:
        self.shown.append(("reply", frame.opcode, payload))
        return self.verdict

    def classify_close(self, close: CloseInfo) -> ReplyVerdict:
        return self.close_verdict

    def client_says(self, frame: Frame, payload: Callable[[], bytes]) -> None:
        self.shown.append(("client", frame.opcode, payload()))

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
        self.shown.append(("replica", frame.opcode, payload()))
        return self.verdict


class Bench:
    """A filter in a phase."""

    def __init__(self, *events: SessionEvent) -> None:
        self.state = SessionState()
        for event in events:
            self.state.enter(event)
        self.told = Told()
        self.filter = FrameFilter(self.state, self.told)
        self.filter.expect_pong(OWN)

    def client(self, opcode: int, payload: bytes = b"", *, fin: bool = True, frames: int = 1) -> Decision:
        return self.filter.from_client(Frame(opcode, fin, 0, 0, 0), lambda: payload, frames)

    def replica(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> Decision:
        return self.filter.from_replica(Frame(opcode, fin, 0, 0, 0), lambda: payload, 1)


def early() -> Bench:
    return Bench(SessionEvent.ACCEPT)


def opening() -> Bench:
    return Bench(SessionEvent.CONNECT)


def streaming() -> Bench:
    return Bench(SessionEvent.CONNECT, SessionEvent.COMMIT)


# The client


def test_the_first_message_is_told_once_and_when_it_is_whole() -> None:
    bench = early()
    assert bench.client(TEXT, fin=False) == FORWARD
    assert bench.client(CONTINUATION) == Decision(forward=True, event=FilterEvent.FIRST_MESSAGE)
    assert bench.client(TEXT) == FORWARD


def test_before_there_is_a_replica_pings_are_answered_from_here_and_pongs_are_nobodys() -> None:
    bench = early()
    assert bench.client(PING, b"hi") == Decision(reply=frame(PONG, b"hi"))
    assert bench.client(PONG, b"hi") == DROP


def test_too_many_frames_before_there_is_a_replica_are_an_offence() -> None:
    bench = early()
    assert bench.client(TEXT, fin=False, frames=EARLY_FRAMES).end is None
    end = bench.client(TEXT, fin=False, frames=EARLY_FRAMES + 1).end
    assert end == End(Side.CLIENT, Cause.PROTOCOL_ERROR, detail="too many frames before the session began")
    assert opening().client(TEXT, frames=EARLY_FRAMES + 1) == FORWARD


@pytest.mark.parametrize("make", [opening, streaming])
def test_with_a_replica_pings_go_on_and_only_the_pongs_of_our_own_pings_do_not(make: Callable[[], Bench]) -> None:
    bench = make()
    assert bench.client(PING, b"hi") == FORWARD
    assert bench.client(PONG, b"hi") == FORWARD
    assert bench.client(PONG, OWN) == DROP
    assert bench.told.shown == []


def test_the_dialect_is_shown_the_clients_frames_after_the_commit_point_only() -> None:
    bench = opening()
    assert bench.client(TEXT, b"a") == FORWARD
    bench.state.enter(SessionEvent.COMMIT)
    assert bench.client(TEXT, b"b") == FORWARD
    assert bench.told.shown == [("client", TEXT, b"b")]


@pytest.mark.parametrize(("make", "forward"), [(early, False), (opening, True), (streaming, True)])
def test_a_clients_close_ends_it_and_goes_on_if_there_is_somebody(make: Callable[[], Bench], forward: bool) -> None:
    info = CloseInfo(4000, "enough")
    decision = make().client(CLOSE, close_payload(4000, "enough"))
    assert decision == Decision(forward=forward, close=info, end=End(Side.CLIENT, Cause.CLOSED, info))


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (b"x", Cause.PROTOCOL_ERROR),
        ((1005).to_bytes(2, "big"), Cause.PROTOCOL_ERROR),
        ((1000).to_bytes(2, "big") + b"\xff", Cause.INVALID_TEXT),
    ],
)
@pytest.mark.parametrize("make", [early, opening, streaming])
def test_a_wrong_close_is_an_offence_of_its_sender_and_goes_nowhere(
    make: Callable[[], Bench], payload: bytes, cause: Cause
) -> None:
    for side, decision in (
        (Side.CLIENT, make().client(CLOSE, payload)),
        (Side.REPLICA, make().replica(CLOSE, payload)),
    ):
        assert decision.end is not None
        assert (decision.end.side, decision.end.cause) == (side, cause)
        assert (decision.forward, decision.close) == (False, None)


# The replica, before its commit point


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [
        (ReplyVerdict.PASS, Decision(forward=True, event=FilterEvent.REPLY)),
        (ReplyVerdict.HOLD, Decision(hold=True, event=FilterEvent.REPLY)),
        (ReplyVerdict.COMMIT, Decision(forward=True, event=FilterEvent.COMMIT)),
        (
            ReplyVerdict.FINISHED,
            Decision(forward=True, event=FilterEvent.COMMIT, end=End(Side.ROUTER, Cause.COMPLETED)),
        ),
        (ReplyVerdict.REFUSED, Decision(end=End(Side.REPLICA, Cause.REJECTED, detail="no\\n"))),
        (ReplyVerdict.FAILED, Decision(end=End(Side.REPLICA, Cause.VANISHED, detail="no\\n"))),
    ],
)
def test_each_verdict_has_its_decision(verdict: ReplyVerdict, decision: Decision) -> None:
    bench = opening()
    bench.told.verdict = verdict
    assert bench.replica(TEXT, b"no\n") == decision
    assert bench.told.shown == [("reply", TEXT, b"no\n")]


def test_of_a_refusal_only_the_beginning_is_noted() -> None:
    bench = opening()
    bench.told.verdict = ReplyVerdict.REFUSED
    end = bench.replica(TEXT, b"x" * 1000).end
    assert end is not None
    assert end.detail == "x" * 200


@pytest.mark.parametrize("verdict", [ReplyVerdict.PASS, ReplyVerdict.HOLD])
def test_a_ping_goes_on_at_once_and_is_no_reply(verdict: ReplyVerdict) -> None:
    bench = opening()
    bench.told.verdict = verdict
    assert bench.replica(PING, b"hi") == FORWARD
    assert bench.replica(PONG, OWN) == DROP


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [
        (
            ReplyVerdict.COMMIT,
            Decision(forward=True, close=CloseInfo(1008), end=End(Side.REPLICA, Cause.CLOSED, CloseInfo(1008))),
        ),
        (
            ReplyVerdict.REFUSED,
            Decision(
                close=CloseInfo(1008),
                end=End(Side.REPLICA, Cause.REJECTED, CloseInfo(1008), detail="closed with 1008"),
            ),
        ),
        (
            ReplyVerdict.FAILED,
            Decision(
                close=CloseInfo(1008),
                end=End(Side.REPLICA, Cause.VANISHED, CloseInfo(1008), detail="closed with 1008"),
            ),
        ),
    ],
)
def test_a_close_before_the_commit_point_is_the_dialects_to_judge(verdict: ReplyVerdict, decision: Decision) -> None:
    bench = opening()
    bench.told.close_verdict = verdict
    assert bench.replica(CLOSE, close_payload(1008)) == decision


def test_a_frame_that_is_too_long_to_be_held_commits_once() -> None:
    bench = opening()
    assert bench.filter.cut_through() == Decision(forward=True, event=FilterEvent.COMMIT)
    bench.state.enter(SessionEvent.COMMIT)
    assert bench.filter.cut_through() == DROP


# And after it


def test_the_first_binary_message_is_told_once() -> None:
    bench = streaming()
    assert bench.replica(CONTINUATION) == FORWARD
    decisions = [(bench.filter.awaits_media, bench.replica(BINARY)) for _ in range(2)]
    assert decisions == [(True, Decision(forward=True, event=FilterEvent.FIRST_MEDIA)), (False, FORWARD)]


def test_an_answer_that_begins_with_a_binary_message_has_begun_with_media() -> None:
    bench = opening()
    bench.told.verdict = ReplyVerdict.COMMIT
    bench.replica(BINARY)
    assert not bench.filter.awaits_media


def test_the_dialect_is_shown_texts_and_may_end_the_session() -> None:
    bench = streaming()
    assert bench.replica(TEXT, b"a") == FORWARD
    bench.told.verdict = ReplyVerdict.FINISHED
    assert bench.replica(TEXT, b"z") == Decision(forward=True, end=End(Side.ROUTER, Cause.COMPLETED))
    assert bench.told.shown == [("replica", TEXT, b"a"), ("replica", TEXT, b"z")]


def test_controls_of_the_replica_go_on_unread() -> None:
    bench = streaming()
    assert bench.replica(PING) == bench.replica(PONG, b"x") == FORWARD
    assert bench.replica(PONG, OWN) == DROP
    assert bench.told.shown == []


def test_a_close_after_the_commit_point_is_nobodys_to_judge() -> None:
    bench = streaming()
    bench.told.close_verdict = ReplyVerdict.FAILED
    info = CloseInfo(1011)
    assert bench.replica(CLOSE, close_payload(1011)) == Decision(
        forward=True, close=info, end=End(Side.REPLICA, Cause.CLOSED, info)
    )
