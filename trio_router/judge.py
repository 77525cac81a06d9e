"""What single frames mean to a session: which go on to the other side, and what they tell about how it goes.

Asked by the pumps, in the moment in which a frame passes; never waits. Of what is learnt here the relay draws the
consequences: a flow that has ended ends the session or moves it to another replica, the commit point fixes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from .core.dialects import Dialect, Verdict
from .core.framing import CLOSE, PING, PONG, TEXT, Frame, frame, parse_close
from .core.outcome import Cause, CloseInfo, End, Side
from .core.text import printable
from .pair import Pair

#: Frames that a client may send before it has a replica. Each is looked at: millions of empty ones, or a first message in
#: fragments of a byte, would keep everybody waiting for seconds. Honest clients send a few.
EARLY_FRAMES: Final = 10_000
#: Close codes with which a replica refuses a session that it has not begun (RFC 6455 section 7.4.1, and IANA's registry).
REFUSING_CODES: Final = frozenset({1012, 1013})
#: What a replica's words before the commit point say about it.
_LOST: Final = {Verdict.REFUSED: Cause.REJECTED, Verdict.FAILED: Cause.VANISHED}


def _nothing() -> None:
    pass


class Judge:
    """Judges the frames of both pumps of ``pair``. ``on_commit`` is called once, at the commit point."""

    __slots__ = ("_on_commit", "committed", "completed", "dialect", "first_message", "pair")

    def __init__(self, pair: Pair, dialect: Dialect, on_commit: Callable[[], None]) -> None:
        self.pair = pair
        self.dialect = dialect
        self.committed = False  # a replica has begun to answer: the session stays there
        self.completed = False  # the replica has announced the end of its stream
        self.first_message: trio.Event | None = trio.Event() if dialect.client_speaks_first else None
        self._on_commit = on_commit
        pair.up.judge = self._from_client
        pair.down.judge = self._from_replica

    def _from_client(self, found: Frame | None) -> bool:
        assert found is not None
        pair, flow = self.pair, self.pair.up.flow
        if found.opcode == CLOSE:
            info = CloseInfo(*parse_close(flow.payload()))
            pair.client.close_got = info
            flow.end = End(Side.CLIENT, Cause.CLOSED, info)
            if pair.replica is not None and not pair.up.parted:
                pair.replica.close_sent = info
            return pair.replica is not None
        if found.opcode == PONG:
            return pair.replica is not None and flow.payload() != pair.secret
        if pair.replica is None and found.opcode == PING:
            pair.down.say(frame(PONG, flow.payload()))
            return False
        if pair.replica is None and flow.scanner.frames > EARLY_FRAMES:
            flow.end = End(Side.CLIENT, Cause.PROTOCOL_ERROR, detail="too many frames before the session began")
            return False
        if found.fin and self.first_message is not None:
            self.first_message.set()
        return True

    def _from_replica(self, found: Frame | None) -> bool:
        if found is None:  # too long to be looked at, so no error frame of a few words
            self._commit()
            return True
        flow = self.pair.down.flow
        if found.opcode == CLOSE:
            return self._replica_closes(CloseInfo(*parse_close(flow.payload())))
        if found.opcode == PONG and flow.payload() == self.pair.secret:
            return False
        if not self.committed:
            verdict = self.dialect.opening(found, flow.payload())
            if verdict in _LOST:
                said = printable(flow.payload()[:200].decode(errors="replace"))
                flow.end = End(Side.REPLICA, _LOST[verdict], detail=said)
                return False
            if verdict is Verdict.COMMIT:
                self._commit()
        if found.opcode == TEXT and found.fin:
            self.completed = self.completed or self.dialect.completes(flow.payload())
        return True

    def _replica_closes(self, info: CloseInfo) -> bool:
        pair = self.pair
        assert pair.replica is not None
        pair.replica.close_got = info
        if pair.movable and self.dialect.refuses(info):
            cause = Cause.REJECTED if info.code in REFUSING_CODES else Cause.VANISHED
            pair.down.flow.end = End(Side.REPLICA, cause, info, detail=f"closed with {info}")
            return False
        pair.down.flow.end = End(Side.REPLICA, Cause.CLOSED, info)
        if not pair.down.parted:
            pair.client.close_sent = info
        return True

    def dismiss(self) -> None:
        """The session is over: undo the circles of references, so that all of it is freed now, without the collector."""
        self._on_commit = _nothing
        self.pair.part()

    def _commit(self) -> None:
        self.committed = True
        self._on_commit()
