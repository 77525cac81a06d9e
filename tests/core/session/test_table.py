"""The session table of sessions, and the outcomes that stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from trio_router.core.errors import DialError
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, FailedAttempt, Outcome, Phase, Side, Traffic
from trio_router.core.session.table import RECENT, SessionTable


@dataclass(eq=False)
class Stub:
    """As much of a session as the session table asks of one."""

    id: str
    client: str = "192.0.2.1"
    port: int = 40000
    opened_at: float = 0.0
    key: str | None = None
    phase: Phase = Phase.STREAMING
    replica: str | None = None
    tries: tuple[FailedAttempt, ...] = ()
    stopped: Cause | None = None
    suspected: bool = False

    def traffic(self) -> tuple[Traffic, Traffic]:
        return Traffic(), Traffic()

    def probe_failed(self, replica: Replica) -> None:
        self.suspected = True

    def stop(self, cause: Cause, close: CloseInfo | None = None) -> None:
        self.stopped = cause


def outcome(cause: Cause = Cause.CLOSED, up: int = 0, down: int = 0) -> Outcome:
    return Outcome(Side.CLIENT, Phase.STREAMING, cause, up=Traffic(bytes=up), down=Traffic(bytes=down))


def test_sessions_are_counted_as_they_come_and_go() -> None:
    session_table, first, second = SessionTable(), Stub("1"), Stub("2")
    session_table.add(first)
    session_table.add(second)
    assert (list(session_table), session_table.opened_total) == ([first, second], 2)
    session_table.end(first, outcome(up=3, down=40))
    session_table.end(second, outcome(Cause.VANISHED, up=5, down=60))
    assert (list(session_table), session_table.opened_total) == ([], 2)
    assert session_table.outcomes == {"client.streaming.closed": 1, "client.streaming.vanished": 1}
    assert (session_table.bytes_up, session_table.bytes_down) == (8, 100)
    assert [name for name, _ in session_table.recent] == ["1", "2"]


def test_sessions_may_end_while_one_walks_over_them() -> None:
    session_table = SessionTable()
    for number in range(3):
        session_table.add(Stub(str(number)))
    for session in session_table:
        session.stop(Cause.DRAINED)
        session_table.end(session, outcome())
    assert session_table.open == {}


def test_a_session_ends_once() -> None:
    session_table, session = SessionTable(), Stub("1")
    session_table.add(session)
    session_table.end(session, outcome())
    with pytest.raises(KeyError):
        session_table.end(session, outcome())
    assert session_table.outcomes.total() == 1


def test_only_the_last_ones_are_remembered_one_by_one() -> None:
    session_table = SessionTable()
    for number in range(RECENT + 5):
        session_table.add(Stub(str(number)))
        session_table.end(Stub(str(number)), outcome())
    assert [name for name, _ in session_table.recent] == [str(number) for number in range(5, RECENT + 5)]
    assert session_table.outcomes.total() == RECENT + 5


def test_labels_are_side_phase_cause_and_tell_all_ends_apart() -> None:
    assert Outcome(Side.ROUTER, Phase.WAITING, Cause.QUEUE_TIMEOUT).label == "router.waiting.queue_timeout"
    every = list(product(Side, Phase, Cause))
    assert len({Outcome(*one).label for one in every}) == len(every)


def test_the_fields_of_a_log_line_are_what_is_known() -> None:
    assert set(outcome().fields()) == {
        *("ended_by", "phase", "cause", "seconds", "bytes_up", "bytes_down", "messages_up", "messages_down")
    }
    full = Outcome(
        Side.REPLICA,
        Phase.STREAMING,
        Cause.CLOSED,
        detail="d",
        client_sent=CloseInfo(4002, "quota"),
        client_got=CloseInfo(1000),
        replica_sent=CloseInfo(1001),
        replica_got=CloseInfo(4002, "quota"),
        up=Traffic(1, 2, 3),
        down=Traffic(4, 5, 6),
        seconds=1.23456,
        replica="r0",
        tries=(FailedAttempt("r1", "refused"),),
        path="/v1/stream",
        preset="wan",
        request_id="from-a-proxy",
        queue_seconds=1.23456,
        dial_seconds=0.0123456,
        first_frame_seconds=0.5,
        first_media_seconds=0.0,
    )
    assert full.fields() == {
        "replica": "r0",
        "ended_by": "replica",
        "phase": "streaming",
        "cause": "closed",
        "detail": "d",
        "close_from_client": "1000",
        "close_to_client": "4002 quota",
        "close_from_replica": "4002 quota",
        "close_to_replica": "1001",
        "seconds": 1.235,
        "bytes_up": 1,
        "bytes_down": 4,
        "messages_up": 3,
        "messages_down": 6,
        "path": "/v1/stream",
        "preset": "wan",
        "request_id": "from-a-proxy",
        "queue_seconds": 1.235,
        "dial_ms": 12.3,
        "first_frame_ms": 500.0,
        "first_media_ms": 0.0,
        "tries": ["r1: refused"],
    }


@pytest.mark.parametrize(
    ("info", "text"),
    [(CloseInfo(1000), "1000"), (CloseInfo(4002, "quota"), "4002 quota"), (CloseInfo(None), "1005")],
)
def test_a_close_reads_well(info: CloseInfo, text: str) -> None:
    assert str(info) == text


@pytest.mark.parametrize(
    ("status", "refused", "is_answer"),
    [
        (None, False, False),
        (302, False, False),
        (400, False, True),
        (499, False, True),
        (429, True, False),
        (500, False, False),
    ],
)
def test_which_status_of_a_replica_is_meant_for_the_client(status: int | None, refused: bool, is_answer: bool) -> None:
    assert DialError("no", status=status, refused=refused).is_answer is is_answer
