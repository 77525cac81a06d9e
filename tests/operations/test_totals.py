"""Sinks that count, and that have sessions look after their replica."""

from __future__ import annotations

from typing import Any

from trio_router.core.config import ReplicaEndpoint
from trio_router.core.events import Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.table import SessionTable
from trio_router.operations.totals import RefusalTotals, SuspectSessions

A, B = (Replica(ReplicaEndpoint(f"http://{name}")) for name in "ab")


class Open:
    """As much of a session as is asked here."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.told: list[Replica] = []

    def probe_failed(self, replica: Replica) -> None:
        self.told.append(replica)


def test_refusals_are_counted_by_their_reason() -> None:
    table = SessionTable()
    totals = RefusalTotals(table)
    for reason in ("draining", "no_token", "draining"):
        totals.refused(Refusal(reason, "192.0.2.1", 503))
    assert table.refused == {"draining": 2, "no_token": 1}
    assert (table.opened_total, table.outcomes.total()) == (0, 0), "they are no sessions"


def test_every_open_session_hears_of_a_failed_probe_and_those_that_ended_do_not() -> None:
    table = SessionTable()
    one, two, gone = (Open(name) for name in ("1", "2", "3"))
    sessions: list[Any] = [one, two, gone]
    for session in sessions:
        table.add(session)
    del table.open["3"]
    suspect = SuspectSessions(table)
    suspect.probe_failed(A, "timeout")
    suspect.probe_failed(B, "timeout")
    assert one.told == two.told == [A, B], "which of them is its own, a session knows itself"
    assert gone.told == []
    suspect.replica_changed(A, "down")
    assert one.told == [A, B], "a change of status is no probe"


def test_sessions_may_end_while_they_are_told() -> None:
    table = SessionTable()

    class Ends(Open):
        def probe_failed(self, replica: Replica) -> None:
            super().probe_failed(replica)
            table.open.clear()

    sessions: list[Any] = [Ends("1"), Open("2")]
    for session in sessions:
        table.add(session)
    SuspectSessions(table).probe_failed(A, "timeout")
    assert [session.told for session in sessions] == [[A], [A]]
