"""What becomes of a frame that is looked at: does it go on, what does it mean for the session.

Pure. The filter is asked by the pumps about each frame that the scanner stops at, and *returns* its decision; it
changes nothing but what it knows itself. What follows from a decision is done by the pump (forward, drop, hold, reply,
end) and by the relay (events).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from trio_router.core.dialects import Conversation, ReplyVerdict
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side
from trio_router.core.session.state import SessionState
from trio_router.core.text import printable
from trio_router.core.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    close_fault,
    frame,
    parse_close,
)

#: Frames that a client may send before it has a replica. Each is looked at: millions of empty ones, or a first message in
#: fragments of a byte, would keep everybody waiting for seconds. Honest clients send a few.
EARLY_FRAMES: Final = 10_000
#: Close codes with which a replica refuses a session that it has not begun (RFC 6455 section 7.4.1, and IANA's registry).
REFUSING_CODES: Final = frozenset({1012, 1013})
#: What a replica's message before the commit point says about it.
_LOST: Final = {ReplyVerdict.REFUSED: Cause.REJECTED, ReplyVerdict.FAILED: Cause.VANISHED}
#: Of a refusing message, as much is noted for operators.
_NOTED_BYTES: Final = 200


class FilterEvent(Enum):
    """What a frame means for the session as a whole."""

    FIRST_MESSAGE = auto()  # the client's first message is whole
    REPLY = auto()  # the replica said something that does not commit it
    COMMIT = auto()  # the replica has begun to answer
    FIRST_MEDIA = auto()  # its first binary message begins


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one frame.

    ``forward``: it goes on; ``hold``: it is kept back until the commit point, and dropped when the attempt fails; neither:
    it is dropped. ``reply`` is a frame for its sender. ``close``: it is a close frame that says this. ``end``: with it
    the direction has ended, and nothing that follows counts.
    """

    forward: bool = False
    hold: bool = False
    event: FilterEvent | None = None
    reply: bytes | None = None
    close: CloseInfo | None = None
    end: End | None = None


FORWARD: Final = Decision(forward=True)
DROP: Final = Decision()
_HOLD: Final = Decision(hold=True, event=FilterEvent.REPLY)
_COMMIT: Final = Decision(forward=True, event=FilterEvent.COMMIT)
_REPLY: Final = Decision(forward=True, event=FilterEvent.REPLY)
_FINISHED: Final = Decision(
    forward=True, event=FilterEvent.COMMIT, end=End(Side.ROUTER, Cause.COMPLETED)
)  # the whole answer
_FIRST_MESSAGE: Final = Decision(forward=True, event=FilterEvent.FIRST_MESSAGE)
_FIRST_MEDIA: Final = Decision(forward=True, event=FilterEvent.FIRST_MEDIA)


class FrameFilter:
    """Decides for both directions of one session. ``payload()`` gives a frame's payload, unmasked."""

    __slots__ = ("_conversation", "_first_message_came", "_media_came", "_own_ping", "_state")

    def __init__(self, state: SessionState, conversation: Conversation) -> None:
        self._state = state
        self._conversation = conversation
        self._own_ping: bytes | None = None
        self._first_message_came = False
        self._media_came = False

    def expect_pong(self, payload: bytes) -> None:
        """The router's own pings carry this: their pongs do not go on."""
        self._own_ping = payload

    def from_client(self, found: Frame, payload: Callable[[], bytes], frames: int) -> Decision:
        """A frame of the client; ``frames`` is how many it has sent so far."""
        conduct = self._state.conduct
        if found.opcode == CLOSE:
            return self._close(Side.CLIENT, payload(), forward=conduct.has_replica)
        if found.opcode == PONG:
            return FORWARD if conduct.has_replica and payload() != self._own_ping else DROP
        if conduct.has_replica:
            if conduct.committed and found.opcode != PING:
                self._conversation.client_says(found, payload)
            return FORWARD
        if found.opcode == PING:
            return Decision(reply=frame(PONG, payload()))
        if frames > EARLY_FRAMES:
            detail = "too many frames before the session began"
            return Decision(end=End(Side.CLIENT, Cause.PROTOCOL_ERROR, detail=detail))
        if found.fin and not self._first_message_came:
            self._first_message_came = True
            return _FIRST_MESSAGE
        return FORWARD

    def from_replica(self, found: Frame, payload: Callable[[], bytes], _: int) -> Decision:
        """A frame of the replica."""
        if found.opcode == TEXT and self._state.conduct.committed:  # nearly every frame that is looked at
            return self._after_commit(found, payload)
        if found.opcode == CLOSE:
            return self._replica_closes(payload())
        if found.opcode == PONG and payload() == self._own_ping:
            return DROP
        if not self._state.conduct.committed:
            return self._before_commit(found, payload())
        return FORWARD if found.opcode in (PING, PONG) else self._media(found)

    def cut_through(self) -> Decision:
        """The replica's frame is too long to be held, so it is no short control message: it commits."""
        return DROP if self._state.conduct.committed else _COMMIT

    def _before_commit(self, found: Frame, payload: bytes) -> Decision:
        verdict = self._conversation.classify_reply(found, payload)
        if verdict in _LOST:
            detail = printable(payload[:_NOTED_BYTES].decode(errors="replace"))
            return Decision(end=End(Side.REPLICA, _LOST[verdict], detail=detail))
        if verdict is ReplyVerdict.COMMIT:
            self._media_came = self._media_came or found.opcode == BINARY
            return _COMMIT
        if verdict is ReplyVerdict.FINISHED:
            return _FINISHED
        if found.opcode >= CLOSE:
            return FORWARD
        return _HOLD if verdict is ReplyVerdict.HOLD else _REPLY

    def _after_commit(self, found: Frame, payload: Callable[[], bytes]) -> Decision:
        if self._conversation.replica_says(found, payload) is ReplyVerdict.FINISHED:
            return Decision(forward=True, end=End(Side.ROUTER, Cause.COMPLETED))
        return FORWARD

    def _media(self, found: Frame) -> Decision:
        if self._media_came or found.opcode != BINARY:
            return FORWARD
        self._media_came = True
        return _FIRST_MEDIA

    @property
    def awaits_media(self) -> bool:
        """Whether the first binary message of the replica is still to come."""
        return not self._media_came

    def _close(self, side: Side, payload: bytes, *, forward: bool) -> Decision:
        fault = close_fault(payload)
        if fault is not None:
            cause = Cause.INVALID_TEXT if fault[0] == 1007 else Cause.PROTOCOL_ERROR
            return Decision(end=End(side, cause, detail=fault[1]))
        info = CloseInfo(*parse_close(payload))
        return Decision(forward=forward, close=info, end=End(side, Cause.CLOSED, info))

    def _replica_closes(self, payload: bytes) -> Decision:
        decision = self._close(Side.REPLICA, payload, forward=True)
        info = decision.close
        if info is None or self._state.conduct.committed:
            return decision
        verdict = self._conversation.classify_close(info)
        if verdict is ReplyVerdict.COMMIT:
            return decision
        cause = Cause.REJECTED if verdict is ReplyVerdict.REFUSED else Cause.VANISHED
        return Decision(close=info, end=End(Side.REPLICA, cause, info, detail=f"closed with {info}"))
