"""The protocol of events: a sink overrides what it wants, and a fan-out tells all of several."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from trio_router.core.config import ReplicaEndpoint
from trio_router.core.events import AdminChange, EventFanout, Events, Refusal
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, FailedAttempt, Outcome, Phase, Side

NAMES = [name for name, _ in inspect.getmembers(Events, inspect.isfunction) if not name.startswith("_")]
REPLICA = Replica(ReplicaEndpoint("http://a.test"))
SESSION: Any = object()  # a fan-out only hands it on
OUTCOME = Outcome(Side.CLIENT, Phase.STREAMING, Cause.CLOSED)
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "session_opened": ((SESSION,), {}),
    "attempt_failed": ((SESSION, FailedAttempt("a", "no")), {}),
    "session_committed": ((SESSION,), {}),
    "session_ended": ((SESSION, OUTCOME), {}),
    "replica_changed": ((REPLICA, "down"), {}),
    "replica_ejected": ((REPLICA, "died"), {"seconds": 30.0}),
    "probe_failed": ((REPLICA, "timeout"), {}),
    "replica_refusing": ((REPLICA,), {}),
    "replica_unread": ((REPLICA, "too long"), {}),
    "replicas_usable": ((False,), {}),
    "queue_changed": ((3,), {}),
    "admin_changed": ((AdminChange("ann", "reloaded"),), {}),
    "refused": ((Refusal("not_found", "10.0.0.1", 404),), {}),
}


class Recorder(Events):
    """Records every call; then raises, if asked to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        if name not in NAMES:
            return super().__getattribute__(name)

        def note(*values: Any, **named: Any) -> None:
            self.told.append((name, values, named))
            if self.error is not None:
                raise self.error

        return note


def never(sink: Events, exc: Exception) -> None:
    raise AssertionError(f"{sink} raised {exc!r}")


def test_the_table_of_this_file_has_every_event() -> None:
    assert sorted(CALLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_sink_that_overrides_nothing_may_be_told_anything(name: str) -> None:
    values, named = CALLS[name]
    assert getattr(Events(), name)(*values, **named) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_fan_out_tells_each_event_to_all_sinks(name: str) -> None:
    values, named = CALLS[name]
    one, two = Recorder(), Recorder()
    getattr(EventFanout([one, two], on_error=never), name)(*values, **named)
    assert one.told == two.told == [(name, values, named)]


@pytest.mark.parametrize("name", NAMES)
def test_a_sink_that_raises_is_reported_and_the_others_are_still_told(name: str) -> None:
    values, named = CALLS[name]
    before, broken, behind = Recorder(), Recorder(ValueError("a bug")), Recorder()
    errors: list[tuple[Events, Exception]] = []
    fanout = EventFanout((before, broken, behind), on_error=lambda sink, exc: errors.append((sink, exc)))
    getattr(fanout, name)(*values, **named)
    assert [len(sink.told) for sink in (before, broken, behind)] == [1, 1, 1]
    assert errors == [(broken, broken.error)]


def test_sinks_are_told_in_their_order() -> None:
    order: list[str] = []

    class Named(Events):
        def __init__(self, name: str) -> None:
            self.name = name

        def queue_changed(self, length: int) -> None:
            order.append(f"{self.name} {length}")

    EventFanout([Named("a"), Named("b"), Named("c")], on_error=never).queue_changed(2)
    assert order == ["a 2", "b 2", "c 2"]


def test_a_fan_out_without_sinks_is_told_in_vain() -> None:
    EventFanout(on_error=never).queue_changed(1)
