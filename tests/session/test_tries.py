"""What one session has tried: who is asked (again), whose fault it is, and how it ends when nobody is left. Pure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_router.core.config import ReplicaEndpoint
from trio_router.core.errors import DialError
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, End, FailedAttempt, Side
from trio_router.session.tries import Tries

A, B, C = (Replica(ReplicaEndpoint(f"http://{name}", name)) for name in "abc")
GONE = End(Side.REPLICA, Cause.VANISHED, detail="gone")
SILENT = End(Side.REPLICA, Cause.SILENT, detail="said nothing")
#: Nobody answered there: what the client said cannot be the cause.
DOWN = DialError("refused connection")
#: The request had come there.
CUT = DialError("hung up", reached=True)


def excluded(tries: Tries, *, last_resort: bool = False) -> set[Replica]:
    return set(tries.excluded(last_resort=last_resort))


def none_left(tries: Tries, *, pass_refusals: bool = False, retry_after: float | None = None) -> End:
    return tries.none_left(pass_refusals=pass_refusals, retry_after=retry_after)


def test_at_the_beginning_everybody_may_be_asked() -> None:
    tries = Tries(3)
    assert excluded(tries) == set()
    assert (tries.log, tries.has_last_resort, tries.exhausted, tries.message_fault) == ((), False, False, False)


def test_a_replica_is_told_at_most_twice() -> None:
    tries = Tries(10)
    tries.told(A)
    tries.told(B)
    assert excluded(tries) == set()
    tries.told(A)
    assert excluded(tries) == excluded(tries, last_resort=True) == {A}


def test_refusals_count_towards_the_attempts_of_each_replica() -> None:
    tries = Tries(2)
    tries.refused(A, "full", None)
    tries.refused(B, "full", None)
    assert excluded(tries) == set()
    tries.refused(A, "full", None)
    assert excluded(tries) == excluded(tries, last_resort=True) == {A}
    assert not tries.exhausted, "a full replica has not failed"


def test_the_log_names_replicas_and_reasons_in_order() -> None:
    tries = Tries(3)
    tries.refused(A, "full", None)
    tries.failed(B, GONE)
    tries.dial_failed(C, DOWN)
    assert tries.log == (
        FailedAttempt("a", "full"),
        FailedAttempt("b", "gone"),
        FailedAttempt("c", "refused connection"),
    )


def test_an_end_without_words_is_told_by_its_cause() -> None:
    assert Tries(3).failed(A, End(Side.REPLICA, Cause.DEAD)).why == "dead"


@pytest.mark.parametrize("cause", [Cause.VANISHED, Cause.PROTOCOL_ERROR, Cause.TOO_BIG])
def test_one_that_failed_at_the_message_is_asked_once_more_if_no_other_is_left(cause: Cause) -> None:
    tries = Tries(3)
    tries.told(A)
    assert tries.failed(A, End(Side.REPLICA, cause)).kind == (cause, None)
    assert excluded(tries) == {A}
    assert tries.has_last_resort
    assert excluded(tries, last_resort=True) == set()


@pytest.mark.parametrize("cause", [Cause.SILENT, Cause.DEAD, Cause.SLOW])
def test_silence_and_slowness_are_the_replicas_own_and_it_is_not_asked_again(cause: Cause) -> None:
    tries = Tries(3)
    assert tries.failed(A, End(Side.REPLICA, cause)).kind is None
    assert excluded(tries, last_resort=True) == {A}
    assert not tries.has_last_resort


def test_one_that_failed_at_the_message_and_in_another_way_is_no_last_resort() -> None:
    tries = Tries(3)
    tries.failed(A, GONE)
    tries.failed(A, SILENT)
    assert not tries.has_last_resort


def test_who_cannot_be_connected_to_never_heard_the_client_and_whoever_hung_up_may_have() -> None:
    tries = Tries(3)
    down = tries.dial_failed(A, DOWN)
    cut = tries.dial_failed(B, CUT)
    broken = tries.dial_failed(C, DialError("HTTP 500", status=500))
    assert [(f.kind, f.connected) for f in (down, cut, broken)] == [
        (None, False),
        ((Cause.HANDSHAKE_FAILED, None), True),
        ((Cause.HANDSHAKE_FAILED, 500), True),
    ]


def test_the_same_failure_twice_is_the_messages_fault() -> None:
    tries = Tries(5)
    found = [tries.message_fault]
    for replica in (A, B):
        tries.failed(replica, GONE)
        found.append(tries.message_fault)
    assert found == [False, False, True]
    assert none_left(tries) == End(Side.CLIENT, Cause.POISON, detail="a: gone; b: gone")


def test_different_failures_are_nobodys_message() -> None:
    tries = Tries(5)
    tries.failed(A, GONE)
    tries.failed(B, End(Side.REPLICA, Cause.VANISHED, CloseInfo(1011)))
    tries.failed(C, End(Side.REPLICA, Cause.PROTOCOL_ERROR))
    tries.dial_failed(A, CUT)
    assert not tries.message_fault


def test_two_replicas_that_say_nothing_are_no_fault_of_the_message() -> None:
    tries = Tries(5)
    tries.failed(A, SILENT)
    tries.failed(B, SILENT)
    assert not tries.message_fault


def test_so_many_replicas_and_no_more_are_tried() -> None:
    tries = Tries(2)
    tries.failed(A, GONE)
    tries.failed(A, SILENT)
    assert not tries.exhausted, "it is one replica"
    tries.dial_failed(B, DOWN)
    assert tries.exhausted


def test_once_another_replica_has_the_session_those_that_failed_are_to_blame_once() -> None:
    tries = Tries(5)
    first = tries.failed(A, GONE)
    tries.failed(B, SILENT)
    assert tries.conclude() == [first], "silence was held against it at once"
    assert tries.conclude() == []


def test_if_all_were_full_the_client_is_told_so_and_when_to_come_back() -> None:
    tries = Tries(2)
    tries.refused(A, "full", None)
    assert none_left(tries, retry_after=2.0) == End(Side.REPLICA, Cause.REJECTED, detail="a: full", retry_after=2.0)


def test_if_one_was_full_and_one_failed_none_could_be_reached() -> None:
    tries = Tries(2)
    tries.refused(A, "full", None)
    tries.dial_failed(B, DOWN)
    assert none_left(tries, retry_after=2.0) == End(
        Side.ROUTER, Cause.UNREACHABLE, detail="a: full; b: refused connection", retry_after=2.0
    )


def test_where_every_replica_has_closed_the_client_gets_the_last_close_itself() -> None:
    tries = Tries(2)
    tries.refused(A, "closed", CloseInfo(1013, "full"))
    tries.failed(B, End(Side.REPLICA, Cause.VANISHED, CloseInfo(1011, "sick")))
    assert none_left(tries, pass_refusals=True) == End(Side.REPLICA, Cause.CLOSED, CloseInfo(1011, "sick"))
    assert none_left(tries).cause is Cause.UNREACHABLE, "only where the dialect passes refusals"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_that_has_not_closed_and_no_close_is_passed_on(order: tuple[int, int]) -> None:
    tries = Tries(2)
    steps: list[Callable[[], object]] = [
        lambda: tries.refused(A, "closed", CloseInfo(1013, "full")),
        lambda: tries.dial_failed(B, DOWN),
    ]
    for index in order:
        steps[index]()
    assert none_left(tries, pass_refusals=True).cause is Cause.UNREACHABLE
    assert none_left(Tries(2), pass_refusals=True) == End(Side.ROUTER, Cause.UNREACHABLE)
