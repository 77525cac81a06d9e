"""What each side is sent when a session ends, as one table. Nothing else in the project chooses a close code.

RFC 6455 section 7.4: 1001 going away, 1002 protocol error, 1003 unsupported data, 1008 policy, 1009 too big, 1011
internal error, 1012 service restart, 1013 try again later. 1005 and 1006 are never sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trio_router.core.session.outcome import Cause, CloseInfo, End, Side


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """An error frame in the client's dialect, sent before the close. ``code`` is one of FastVideo's own."""

    code: str
    message: str
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class ClosePlan:
    """The last words of a session. None: that side is told nothing, because it is gone or was told already.

    ``drop_client``: nor is the client's answer waited for; its connection ends at once, without a close frame.
    """

    to_client: CloseInfo | None = None
    to_replica: CloseInfo | None = None
    error: ErrorMessage | None = None
    drop_client: bool = False


_GONE: Final = CloseInfo(1001, "client is gone")
_FAILED: Final = ErrorMessage("worker_failed", "router: the replica failed during the session")
_FAILED_CLOSE: Final = CloseInfo(1011, "worker_failed")


def _busy(message: str, reason: str) -> ClosePlan:
    return ClosePlan(CloseInfo(1013, reason), _GONE, ErrorMessage("gpu_unavailable", f"router: {message}"))


#: Ends whose close and message never vary. Ends by a close frame and by wrong frames are handled in `close_plan`.
CLOSE_PLANS: Final[dict[tuple[Side, Cause], ClosePlan]] = {
    (Side.CLIENT, Cause.VANISHED): ClosePlan(to_replica=_GONE),
    (Side.CLIENT, Cause.DEAD): ClosePlan(CloseInfo(1001, "no answer to pings"), CloseInfo(1001, "client is dead")),
    (Side.CLIENT, Cause.SLOW): ClosePlan(
        CloseInfo(1008, "client reads too slowly"),
        CloseInfo(1001, "client is stuck"),
        ErrorMessage("session_rejected", "router: the client reads too slowly"),
    ),
    (Side.CLIENT, Cause.SILENT): ClosePlan(
        CloseInfo(1008, "no first message"), None, ErrorMessage("invalid_message", "router: no first message came")
    ),
    (Side.CLIENT, Cause.POISON): ClosePlan(
        CloseInfo(1008, "invalid_message"),
        CloseInfo(1001, "session was refused"),
        ErrorMessage("invalid_message", "router: this message makes replicas fail", retryable=False),
    ),
    (Side.CLIENT, Cause.PRESET): ClosePlan(
        CloseInfo(1008, "preset_mismatch"),
        None,
        ErrorMessage("preset_mismatch", "router: no replica serves this preset", retryable=False),
    ),
    (Side.CLIENT, Cause.CLIENT_LIMIT): _busy("too many sessions of this client", "per_client_limit"),
    (Side.REPLICA, Cause.COMPLETED): ClosePlan(CloseInfo(1000, "")),
    (Side.REPLICA, Cause.VANISHED): ClosePlan(_FAILED_CLOSE, None, _FAILED),
    (Side.REPLICA, Cause.DEAD): ClosePlan(_FAILED_CLOSE, CloseInfo(1001, "no answer to pings"), _FAILED),
    (Side.REPLICA, Cause.SLOW): ClosePlan(_FAILED_CLOSE, CloseInfo(1001, "replica is stuck"), _FAILED),
    # The next three reach a client only when the session cannot be moved (any more): see `relay.Relay`.
    (Side.REPLICA, Cause.SILENT): ClosePlan(_FAILED_CLOSE, CloseInfo(1001, "no first reply"), _FAILED),
    (Side.REPLICA, Cause.REJECTED): ClosePlan(
        CloseInfo(1013, "replicas_full"),
        CloseInfo(1001, "session was refused"),
        ErrorMessage("gpu_unavailable", "router: the replica is full"),
    ),
    (Side.REPLICA, Cause.HANDSHAKE_FAILED): ClosePlan(
        CloseInfo(1008, "session_rejected"),
        None,
        ErrorMessage("session_rejected", "router: the replica refused the request", retryable=False),
    ),
    (Side.ROUTER, Cause.COMPLETED): ClosePlan(CloseInfo(1000, ""), CloseInfo(1000, "")),
    (Side.ROUTER, Cause.NO_REPLICA): _busy("no healthy replica available", "no_healthy_replica"),
    (Side.ROUTER, Cause.QUEUE_FULL): _busy("all replicas are busy and the wait queue is full", "queue_full"),
    (Side.ROUTER, Cause.QUEUE_TIMEOUT): _busy("waited too long for a free replica", "queue_timeout"),
    (Side.ROUTER, Cause.UNREACHABLE): _busy("no replica could be reached", "no_replica_reached"),
    (Side.ROUTER, Cause.OVERLOADED): _busy("too many sessions wait", "overloaded"),
    (Side.ROUTER, Cause.DRAINED): ClosePlan(
        CloseInfo(1012, "router is restarting"), CloseInfo(1001, "router is restarting")
    ),
    (Side.ROUTER, Cause.CANCELLED): ClosePlan(
        CloseInfo(1001, "router is stopping"), CloseInfo(1001, "router is stopping")
    ),
    (Side.ROUTER, Cause.CRASHED): ClosePlan(
        CloseInfo(1011, "internal_error"),
        CloseInfo(1001, "router failed"),
        ErrorMessage("internal_error", "router: internal error"),
    ),
}

_WRONG: Final = {Cause.PROTOCOL_ERROR: 1002, Cause.INVALID_TEXT: 1007, Cause.TOO_BIG: 1009, Cause.INVALID: 1003}


def close_plan(end: End, *, other_told: bool) -> ClosePlan:
    """What to send after ``end``. ``other_told``: the close frame that ended it was forwarded to the other side already."""
    if end.cause is Cause.CLOSED:
        if other_told:
            return ClosePlan()  # its answer comes back through the other direction
        return ClosePlan(to_client=end.close)
    if end.cause is Cause.OPERATOR:
        return ClosePlan(to_client=end.close, to_replica=CloseInfo(1001, "closed by an operator"))
    if end.cause in _WRONG:
        verdict = CloseInfo(_WRONG[end.cause], end.detail)
        if end.side is Side.REPLICA:
            return ClosePlan(_FAILED_CLOSE, verdict, _FAILED)
        error_payload = (
            ErrorMessage("invalid_message", end.detail, retryable=False) if end.cause is Cause.INVALID else None
        )
        return ClosePlan(verdict, _GONE, error_payload)
    if end.dropped:
        # Two replicas dropped TCP at the same message, and the dialect has no error message that could say so. A server
        # that ends without a close frame says what it wants to say (RFC 6455 section 7.1.7 allows it at an offence); a
        # code of the router's own would be another answer than the client gets without a router.
        return ClosePlan(drop_client=True)
    return CLOSE_PLANS[end.side, end.cause]
