"""Understands and adds no messages: only close codes. Anything that speaks WebSocket can stand behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar, Final

from trio_router.core.dialects.base import Conversation, FirstMessage, Message, ReplyVerdict
from trio_router.core.session.outcome import CloseInfo
from trio_router.core.websocket.frames import CLOSE, PING, PONG, Frame
from trio_router.core.websocket.scanner import WATCH_NOTHING

#: Closes with which a server says that it, not the session, is the trouble (RFC 6455 section 7.4.1, IANA's registry):
#: going away and internal error are failures, restart and try again later are refusals.
CLOSES: Final = {
    1001: ReplyVerdict.FAILED,
    1011: ReplyVerdict.FAILED,
    1012: ReplyVerdict.REFUSED,
    1013: ReplyVerdict.REFUSED,
}


class Opaque:
    """Dialect and conversation in one: there is nothing to remember of a session. Base of the other dialects."""

    __slots__ = ()

    name: str = "opaque"
    client_speaks_first: bool = False
    replica_must_reply: bool = False
    passes_refusals: bool = True
    client_watch: frozenset[int] = frozenset()
    replica_watch: frozenset[int] = WATCH_NOTHING
    #: 503 and 429: full, restarting, or asked too often (RFC 9110 section 15.6.4, RFC 6585 section 4).
    refusing_statuses: Collection[int] = frozenset({429, 503})
    default_capacity: int | None = None
    first_reply_seconds: float | None = None
    dead_peer_seconds: float | None = None
    probe_path: str | None = None
    linger_seconds: float = 0.0

    closes: ClassVar[dict[int, ReplyVerdict]] = CLOSES

    def open(self) -> Conversation:
        """The same for all sessions."""
        return self

    def parse_first_message(self, message: bytes, *, text: bool) -> FirstMessage:
        """Says nothing."""
        return FirstMessage()

    def classify_reply(self, frame: Frame, payload: bytes) -> ReplyVerdict:
        """Any message commits; a ping or pong does not."""
        return ReplyVerdict.PASS if frame.opcode in (CLOSE, PING, PONG) else ReplyVerdict.COMMIT

    def classify_close(self, close: CloseInfo) -> ReplyVerdict:
        """By its code. Codes that do not blame the server are the replica's answer to this client."""
        return self.closes.get(close.code or 1005, ReplyVerdict.COMMIT)

    def client_says(self, frame: Frame, payload: Callable[[], bytes]) -> None:
        """Nothing is watched."""

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
        """Nothing is watched."""
        return ReplyVerdict.PASS

    @property
    def may_end(self) -> bool:
        """Never without a close frame."""
        return False

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> Message | None:
        """Nothing."""
        return None

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> Message | None:
        """Nothing."""
        return None
