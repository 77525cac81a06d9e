"""The dialect of Dreamverse's front end (`/ws`): FastVideo's messages, but another order of speaking, and another end.

The server speaks first, so a replica is picked at the handshake. `ltx2_stream_complete` ends a stream, not the session:
the client may go on with another one. After the client's `leave` the server ends without a close frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trio_router.core.dialects.base import Conversation, ReplyVerdict
from trio_router.core.dialects.fastvideo import FastVideo, FastVideoConversation, parse_object
from trio_router.core.websocket.frames import TEXT, Frame
from trio_router.core.websocket.scanner import WATCH_NOTHING

_LEAVE: Final = b"leave"


class Dreamverse(FastVideo):
    """Nothing of the replica's is read after the commit point; of the client's only whether it leaves."""

    __slots__ = ()

    name = "dreamverse"
    client_speaks_first = False
    client_watch = frozenset({TEXT})
    replica_watch = WATCH_NOTHING

    def open(self) -> Conversation:
        """One for each session: it remembers whether the client has left."""
        return DreamverseConversation()


class DreamverseConversation(FastVideoConversation):
    """One session."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        super().__init__()
        self._left = False

    def client_says(self, frame: Frame, payload: Callable[[], bytes]) -> None:
        """Look for `leave`."""
        if frame.opcode == TEXT and frame.fin and not self._left:
            text = payload()
            self._left = _LEAVE in text and (parse_object(text) or {}).get("type") == _LEAVE.decode()

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
        """The end of a stream is not the end of the session."""
        return ReplyVerdict.PASS

    @property
    def may_end(self) -> bool:
        """After the client's `leave`."""
        return self._left
