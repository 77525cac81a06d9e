"""The log as a sink: its lines, and what happens when another sink raises."""

from __future__ import annotations

from typing import Any

import structlog.testing

from trio_router import Replica, ReplicaEndpoint
from trio_router.core.events import Events, Refusal
from trio_router.core.replicas.replica import Report
from trio_router.core.session.outcome import Cause, CloseInfo, FailedAttempt, Outcome, Phase, Side, Traffic
from trio_router.operations.log_events import EventLog, fan_out


class Session:
    """As much of an open session as a sink may ask for."""

    id, client, opened_at, key, phase, replica = "ab-1", "10.0.0.1", 0.0, "user-7", Phase.STREAMING, "gpu-a"
    port = 40000
    tries: tuple[FailedAttempt, ...] = ()

    def traffic(self) -> tuple[Traffic, Traffic]:
        return Traffic(), Traffic()

    def stop(self, cause: Cause) -> None:
        raise AssertionError("a sink only looks")


def lines_of(act: Any) -> list[Any]:
    with structlog.testing.capture_logs() as lines:
        act(EventLog())
    return lines


def replica() -> Replica:
    replica = Replica(ReplicaEndpoint("http://a.test", name="gpu-a"))
    replica.report = Report(1.0, busy=1, total=2)
    return replica


ROOM = {"url": "http://a.test", "replica": "gpu-a", "capacity": 2, "held": 0, "reported": 1}


def test_the_beginning_and_the_end_of_a_session() -> None:
    assert lines_of(lambda log: log.session_opened(Session())) == [
        {
            "event": "session opened",
            "log_level": "info",
            "session": "ab-1",
            "client": "10.0.0.1",
            "client_port": 40000,
            "replica": "gpu-a",
        }
    ]
    outcome = Outcome(
        Side.REPLICA, Phase.STREAMING, Cause.CLOSED, replica_got=CloseInfo(1000), replica="gpu-a", seconds=1.23456
    )
    assert lines_of(lambda log: log.session_ended(Session(), outcome)) == [
        {
            "event": "session ended",
            "log_level": "info",
            "session": "ab-1",
            "client": "10.0.0.1",
            "client_port": 40000,
            "key": "user-7",
            **outcome.fields(),
        }
    ]


def test_a_change_of_a_replica_is_a_warning_only_for_the_worse() -> None:
    better = {"event": "replica is unknown", "log_level": "info", "error": None, **ROOM}
    worse = {"event": "replica is unknown", "log_level": "warning", "error": "HTTP 500", **ROOM}
    assert lines_of(lambda log: log.replica_changed(replica(), None)) == [better]
    assert lines_of(lambda log: log.replica_changed(replica(), "HTTP 500")) == [worse]


def test_an_ejection() -> None:
    ejected = {"event": "replica is ejected", "log_level": "warning", "error": "died", "seconds": 30.1, **ROOM}
    assert lines_of(lambda log: log.replica_ejected(replica(), "died", seconds=30.12)) == [ejected]


def test_a_report_that_cannot_be_read() -> None:
    [line] = lines_of(lambda log: log.replica_unread(replica(), "/readyz: too long"))
    assert (line["log_level"], line["replica"], line["why"]) == ("warning", "gpu-a", "/readyz: too long")


def test_whether_any_replica_is_usable() -> None:
    assert lines_of(lambda log: log.replicas_usable(False)) == [
        {"event": "no replica is usable", "log_level": "warning"}
    ]
    assert lines_of(lambda log: log.replicas_usable(True)) == [
        {"event": "a replica is usable again", "log_level": "info"}
    ]


def test_a_refusal_is_one_line_of_what_is_known() -> None:
    assert lines_of(lambda log: log.refused(Refusal("not_found", "10.0.0.1", 404, "/nothing"))) == [
        {
            "event": "refused",
            "log_level": "info",
            "reason": "not_found",
            "client": "10.0.0.1",
            "status": 404,
            "path": "/nothing",
        }
    ]
    assert lines_of(lambda log: log.refused(Refusal("tls", "10.0.0.2", detail="no shared cipher"))) == [
        {
            "event": "refused",
            "log_level": "info",
            "reason": "tls",
            "client": "10.0.0.2",
            "detail": "no shared cipher",
        }
    ]


def test_what_happens_often_is_not_logged() -> None:
    assert lines_of(lambda log: log.queue_changed(3)) == []
    assert lines_of(lambda log: log.session_committed(Session())) == []
    assert lines_of(lambda log: log.attempt_failed(Session(), FailedAttempt("gpu-a", "no"))) == []


def test_a_sink_that_raises_is_logged_and_the_others_are_told() -> None:
    class Broken(Events):
        def queue_changed(self, length: int) -> None:
            raise ValueError("a bug")

    class Counting(Events):
        length = 0

        def queue_changed(self, length: int) -> None:
            self.length = length

    counting = Counting()
    with structlog.testing.capture_logs() as lines:
        fan_out([Broken(), counting]).queue_changed(3)
    assert counting.length == 3
    [line] = lines
    assert (line["event"], line["log_level"]) == ("an event sink failed", "error")
    assert line["sink"].endswith("Broken")
    assert str(line["exc_info"]) == "a bug"
