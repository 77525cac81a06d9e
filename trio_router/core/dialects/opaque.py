"""Understands and adds no JSON: only close codes. Anything that speaks WebSocket can stand behind it."""

from __future__ import annotations

from typing import Any, Final

from trio_router.core.frames import WATCH_NOTHING
from trio_router.core.framing import CLOSE, PING, PONG, Frame
from trio_router.core.outcome import CloseInfo

from .base import ClientHello, Verdict

#: Closes with which a server says that it, not the session, is the trouble: going away, internal error, restart, later.
REFUSALS: Final = frozenset({1001, 1011, 1012, 1013})


class Opaque:
    """See the module."""

    name = "opaque"
    client_speaks_first = False
    replica_must_reply = False
    watch = WATCH_NOTHING

    def hello(self, message: bytes, *, text: bool) -> ClientHello:
        """Says nothing."""
        return ClientHello()

    def opening(self, frame: Frame, payload: bytes) -> Verdict:
        """Any message commits; a ping or pong does not."""
        return Verdict.PASS if frame.opcode in (CLOSE, PING, PONG) else Verdict.COMMIT

    def refuses(self, close: CloseInfo) -> bool:
        """By its code. Other codes are the replica's answer to this client, and go through."""
        return close.code in REFUSALS

    def completes(self, payload: bytes) -> bool:
        """Never."""
        return False

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> bytes | None:
        """Nothing."""
        return None

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> bytes | None:
        """Nothing."""
        return None
