"""The book of sessions, and the outcomes that stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from trio_router.core.book import RECENT, SessionBook
from trio_router.core.errors import DialError
from trio_router.core.outcome import Cause, CloseInfo, Outcome, Phase, Side, Traffic, Try


@dataclass(eq=False)
class Stub:
    """As much of a session as the book asks of one."""

    id: str
    client: str = "192.0.2.1"
    opened_at: float = 0.0
    key: str | None = None
    phase: Phase = Phase.STREAMING
    replica: str | None = None
    tries: tuple[Try, ...] = ()
    stopped: Cause | None = None

    def traffic(self) -> tuple[Traffic, Traffic]:
        return Traffic(), Traffic()

    def stop(self, cause: Cause) -> None:
        self.stopped = cause


def outcome(cause: Cause = Cause.CLOSED, up: int = 0, down: int = 0) -> Outcome:
    return Outcome(Side.CLIENT, Phase.STREAMING, cause, up=Traffic(bytes=up), down=Traffic(bytes=down))


def test_sessions_are_counted_as_they_come_and_go() -> None:
    book, first, second = SessionBook(), Stub("1"), Stub("2")
    book.add(first)
    book.add(second)
    assert (list(book), book.opened_total) == ([first, second], 2)
    book.end(first, outcome(up=3, down=40))
    book.end(second, outcome(Cause.VANISHED, up=5, down=60))
    assert (list(book), book.opened_total) == ([], 2)
    assert book.outcomes == {"client.streaming.closed": 1, "client.streaming.vanished": 1}
    assert (book.bytes_up, book.bytes_down) == (8, 100)
    assert [name for name, _ in book.recent] == ["1", "2"]


def test_sessions_may_end_while_one_walks_over_them() -> None:
    book = SessionBook()
    for number in range(3):
        book.add(Stub(str(number)))
    for session in book:
        session.stop(Cause.DRAINED)
        book.end(session, outcome())
    assert book.open == {}


def test_a_session_ends_once() -> None:
    book, session = SessionBook(), Stub("1")
    book.add(session)
    book.end(session, outcome())
    with pytest.raises(KeyError):
        book.end(session, outcome())
    assert book.outcomes.total() == 1


def test_only_the_last_ones_are_remembered_one_by_one() -> None:
    book = SessionBook()
    for number in range(RECENT + 5):
        book.add(Stub(str(number)))
        book.end(Stub(str(number)), outcome())
    assert [name for name, _ in book.recent] == [str(number) for number in range(5, RECENT + 5)]
    assert book.outcomes.total() == RECENT + 5


def test_labels_are_side_phase_cause_and_tell_all_ends_apart() -> None:
    assert Outcome(Side.ROUTER, Phase.WAITING, Cause.LINE_TIMEOUT).label == "router.waiting.line_timeout"
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
        tries=(Try("r1", "refused"),),
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
