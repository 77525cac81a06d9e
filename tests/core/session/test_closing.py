"""Every way a session can end has a close plan, and its codes and messages may be sent."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path

import pytest

import trio_router
from trio_router.core.session.closing import CLOSE_PLANS, ClosePlan, close_plan
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side
from trio_router.core.websocket.frames import close_payload, parse_close

#: What FastVideo's clients know (DESIGN section 7).
FASTVIDEO_CODES = {
    "session_rejected",
    "invalid_message",
    "preset_mismatch",
    "gpu_unavailable",
    "worker_failed",
    "upstream_timeout",
    "internal_error",
}
#: Ends that the source seems to make, but that nobody is told of.
NEVER_TOLD = {
    (Side.CLIENT, Cause.HANDSHAKE_FAILED),  # there is no WebSocket yet
    (Side.CLIENT, Cause.COMPLETED),  # `Relay._named` renames a replica's end only
}
LEGS = (Side.CLIENT, Side.REPLICA)
ADDRESS = "http://10.0.0.1:8000"


def literal(node: ast.expr, enum: str) -> str | None:
    """``X`` of ``enum.X``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enum:
        return node.attr
    return None


def ends_of(function: ast.AST) -> set[tuple[Side, Cause]]:
    """Of every ``End(side, cause, …)`` in a function. A computed side may be either connection; a computed cause is one of
    those that the function names."""
    found = set()
    named = [
        Cause[name] for node in ast.walk(function) if isinstance(node, ast.expr) and (name := literal(node, "Cause"))
    ]
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or len(call.args) < 1:
            continue
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "stop"
            and (name := literal(call.args[0], "Cause"))
        ):
            found.add((Side.ROUTER, Cause[name]))
        elif isinstance(call.func, ast.Name) and call.func.id == "End":
            side, cause = literal(call.args[0], "Side"), literal(call.args[1], "Cause")
            found.update(product([Side[side]] if side else LEGS, [Cause[cause]] if cause else named))
    return found


def ends_in_the_source() -> list[tuple[Side, Cause]]:
    found: set[tuple[Side, Cause]] = set()
    for path in Path(trio_router.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= ends_of(node)
    return sorted(found - NEVER_TOLD)


ENDS = ends_in_the_source()


def words(pair: tuple[Side, Cause], *, detail: str = ADDRESS, told: bool = False) -> ClosePlan:
    return close_plan(End(*pair, close=CloseInfo(4123, "by itself"), detail=detail), other_told=told)


def test_the_search_for_ends_finds_what_it_should() -> None:
    assert {
        (Side.CLIENT, Cause.CLOSED),
        (Side.CLIENT, Cause.TOO_BIG),
        (Side.REPLICA, Cause.TOO_BIG),
        (Side.REPLICA, Cause.REJECTED),
        (Side.REPLICA, Cause.DEAD),
        (Side.ROUTER, Cause.DRAINED),
        (Side.ROUTER, Cause.NO_REPLICA),
    } <= set(ENDS)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("pair", sorted({*ENDS, *CLOSE_PLANS}), ids="-".join)
def test_every_end_has_a_close_that_may_be_sent(pair: tuple[Side, Cause], told: bool) -> None:
    said = words(pair, told=told)
    for info in (said.to_client, said.to_replica):
        if info is not None:
            assert info.code not in (None, 1004, 1005, 1006, 1015)
            assert len(info.reason.encode()) <= 123
            assert parse_close(close_payload(info.code, info.reason)) == (info.code, info.reason)
    if said.error is not None:
        assert said.to_client is not None, "an error frame stands before a close"
        assert said.error.code in FASTVIDEO_CODES
        assert said.error.message


@pytest.mark.parametrize("pair", [pair for pair in ENDS if pair[0] is not Side.CLIENT], ids="-".join)
def test_a_client_is_told_how_it_ended_but_no_address(pair: tuple[Side, Cause]) -> None:
    said = words(pair)
    assert said.to_client is not None
    assert ADDRESS not in said.to_client.reason
    assert said.error is None or ADDRESS not in said.error.message


@pytest.mark.parametrize(
    ("side", "cause", "client", "replica"),
    [
        (Side.CLIENT, Cause.VANISHED, None, 1001),
        (Side.CLIENT, Cause.DEAD, 1001, 1001),
        (Side.CLIENT, Cause.SLOW, 1008, 1001),
        (Side.CLIENT, Cause.SILENT, 1008, None),
        (Side.CLIENT, Cause.PRESET, 1008, None),
        (Side.CLIENT, Cause.CLIENT_LIMIT, 1013, 1001),
        (Side.REPLICA, Cause.COMPLETED, 1000, None),
        (Side.REPLICA, Cause.VANISHED, 1011, None),
        (Side.REPLICA, Cause.DEAD, 1011, 1001),
        (Side.REPLICA, Cause.SLOW, 1011, 1001),
        (Side.REPLICA, Cause.SILENT, 1011, 1001),
        (Side.REPLICA, Cause.REJECTED, 1013, 1001),
        (Side.REPLICA, Cause.HANDSHAKE_FAILED, 1008, None),
        (Side.ROUTER, Cause.NO_REPLICA, 1013, 1001),
        (Side.ROUTER, Cause.QUEUE_FULL, 1013, 1001),
        (Side.ROUTER, Cause.QUEUE_TIMEOUT, 1013, 1001),
        (Side.ROUTER, Cause.UNREACHABLE, 1013, 1001),
        (Side.ROUTER, Cause.DRAINED, 1012, 1001),
        (Side.ROUTER, Cause.CANCELLED, 1001, 1001),
        (Side.ROUTER, Cause.CRASHED, 1011, 1001),
    ],
)
def test_close_codes_are_an_interface(side: Side, cause: Cause, client: int | None, replica: int | None) -> None:
    said = words((side, cause))
    assert [info.code if info else None for info in (said.to_client, said.to_replica)] == [client, replica]


@pytest.mark.parametrize("told", [False, True])
def test_a_close_is_answered_by_the_other_side_if_that_was_sent_it(told: bool) -> None:
    by_client, by_replica = (
        words((Side.CLIENT, Cause.CLOSED), told=told),
        words((Side.REPLICA, Cause.CLOSED), told=told),
    )
    if told:
        assert by_client == by_replica == ClosePlan()
    else:
        assert by_client == ClosePlan(to_client=CloseInfo(4123, "by itself"))
        assert by_replica == ClosePlan(to_client=CloseInfo(4123, "by itself"))


@pytest.mark.parametrize(
    ("cause", "code"), [(Cause.PROTOCOL_ERROR, 1002), (Cause.TOO_BIG, 1009), (Cause.INVALID, 1003)]
)
def test_the_offender_is_told_its_offence_and_the_other_side_is_not(cause: Cause, code: int) -> None:
    by_client = words((Side.CLIENT, cause), detail="what is wrong")
    assert by_client.to_client == CloseInfo(code, "what is wrong")
    assert by_client.to_replica == CloseInfo(1001, "client is gone")
    assert (by_client.error is not None) is (cause is Cause.INVALID)
    by_replica = words((Side.REPLICA, cause), detail="what is wrong")
    assert by_replica.to_replica == CloseInfo(code, "what is wrong")
    assert by_replica.to_client == CloseInfo(1011, "worker_failed")


def test_an_invalid_first_message_is_not_worth_another_try() -> None:
    error = words((Side.CLIENT, Cause.INVALID), detail="no JSON").error
    assert error is not None
    assert (error.code, error.message, error.retryable) == ("invalid_message", "no JSON", False)


def test_the_texts_of_fastvideos_router() -> None:
    said = words((Side.ROUTER, Cause.NO_REPLICA))
    assert said.to_client == CloseInfo(1013, "no_healthy_replica")
    assert said.error is not None
    assert (said.error.code, said.error.message, said.error.retryable) == (
        "gpu_unavailable",
        "router: no healthy replica available",
        True,
    )
    failed = words((Side.REPLICA, Cause.VANISHED))
    assert failed.to_client is not None
    assert failed.error is not None
    assert (failed.to_client.code, failed.error.code, failed.error.retryable) == (1011, "worker_failed", True)
    assert failed.to_replica is None


def test_the_normal_end_of_a_stream_is_no_failure() -> None:
    assert words((Side.REPLICA, Cause.COMPLETED)) == ClosePlan(to_client=CloseInfo(1000))


def test_a_replica_is_told_to_free_its_gpu_when_the_client_is_lost() -> None:
    for cause in (Cause.VANISHED, Cause.DEAD, Cause.SLOW):
        told = words((Side.CLIENT, cause)).to_replica
        assert told is not None
        assert told.code == 1001


def test_a_drain_is_a_restart() -> None:
    told = words((Side.ROUTER, Cause.DRAINED)).to_client
    assert told is not None
    assert told.code == 1012


def test_where_replicas_dropped_tcp_at_the_message_the_client_is_dropped_too() -> None:
    end = End(Side.CLIENT, Cause.POISON, dropped=True)
    assert close_plan(end, other_told=False) == ClosePlan(drop_client=True)


@pytest.mark.parametrize(
    ("side", "cause", "reason"),
    [
        (Side.CLIENT, Cause.CLIENT_LIMIT, "per_client_limit"),
        (Side.ROUTER, Cause.NO_REPLICA, "no_healthy_replica"),
        (Side.ROUTER, Cause.QUEUE_FULL, "queue_full"),
        (Side.ROUTER, Cause.QUEUE_TIMEOUT, "queue_timeout"),
        (Side.ROUTER, Cause.UNREACHABLE, "no_replica_reached"),
        (Side.ROUTER, Cause.OVERLOADED, "overloaded"),
    ],
)
def test_a_session_without_a_replica_is_told_to_try_again_and_why(side: Side, cause: Cause, reason: str) -> None:
    plan = CLOSE_PLANS[side, cause]
    assert plan.to_client == CloseInfo(1013, reason)
    assert plan.error is not None
    assert plan.error.code == "gpu_unavailable"
    assert plan.error.message.startswith("router: ")


def test_a_session_that_an_operator_closes_is_told_what_the_operator_said() -> None:
    said = CloseInfo(4000, "bye")
    plan = close_plan(End(Side.ROUTER, Cause.OPERATOR, said), other_told=False)
    assert plan == ClosePlan(to_client=said, to_replica=CloseInfo(1001, "closed by an operator"))
