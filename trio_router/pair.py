"""The two legs of a session and the two pumps between them: who is told what, and who is still alive.

What a session *is* (where its replica comes from, when it is committed, why it ends) is the relay's; here is what can be
done to both sides at any time, without waiting: say something, close one, ping, give up who is dead.
"""

from __future__ import annotations

import math
import os

from trio_router.core.closing import Farewell
from trio_router.core.config import TimeoutsConfig
from trio_router.core.dialects import Dialect
from trio_router.core.framing import CLOSE, PING, TEXT, close_payload, frame
from trio_router.core.liveness import Verdict
from trio_router.core.outcome import Cause, CloseInfo, End, Side, Traffic
from trio_router.leg import Leg
from trio_router.pump import Pump, let_pass


class Pair:
    """``up`` pumps from ``client`` to ``replica``, ``down`` back. The replica may be missing, or be another one later."""

    __slots__ = ("client", "down", "replica", "secret", "up")

    def __init__(self, client: Leg, up: Pump, down: Pump) -> None:
        self.client = client
        self.replica: Leg | None = None
        self.up = up
        self.down = down
        up.mate = down
        down.mate = up
        self.secret: bytes | None = None  # in the router's own pings, so that their pongs are known

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(upstream, downstream) so far."""
        up, down = self.up, self.down
        return (
            Traffic(up.bytes, up.flow.scanner.frames, up.flow.scanner.messages),
            Traffic(down.bytes, down.flow.scanner.frames, down.flow.scanner.messages),
        )

    @property
    def movable(self) -> bool:
        """Whether all that the client has said could be said again, to another replica."""
        return self.up.kept is not None

    def lose(self, pump: Pump, end: End) -> None:
        """End a direction from outside; its task does the rest."""
        if pump.flow.end is None:
            pump.flow.end = end
            pump.wake()

    # Saying

    def say_farewell(self, words: Farewell, dialect: Dialect, retry_after: float | None) -> None:
        """Close both sides as ``words`` say; between the fragments of a message without the error frame."""
        if words.to_client is not None:
            sorry = None
            if words.apology is not None and not self.down.flow.between_fragments:
                extra = {} if retry_after is None else {"retry_after_seconds": retry_after}
                error = words.apology
                sorry = dialect.error(error.code, error.message, retryable=error.retryable, **extra)
            self._close(self.client, self.down, words.to_client, sorry)
        if words.to_replica is not None and self.replica is not None:
            self._close(self.replica, self.up, words.to_replica)

    def answer_closes(self, *, but: Side) -> None:
        """Who closed, and can get no answer from the other side any more, gets it from here, with its own code."""
        for leg, pump in ((self.client, self.down), (self.replica, self.up)):
            if leg is not None and leg.close_got is not None and leg.side is not but:
                self._close(leg, pump, leg.close_got)

    def _close(self, leg: Leg, pump: Pump, info: CloseInfo, sorry: bytes | None = None) -> None:
        if leg.close_sent is not None or leg.gone:
            return
        mask = mask_for(leg)
        words = [frame(TEXT, sorry, mask=mask)] if sorry is not None else []
        pump.part([*words, frame(CLOSE, close_payload(info.code, info.reason), mask=mask)])
        leg.close_sent = info

    async def flush(self) -> None:
        """Let what was said be written."""
        await self.up.flush()
        await self.down.flush()

    async def aclose(self) -> None:
        """Close both legs; waits for nobody."""
        await self.client.aclose()
        if self.replica is not None:
            await self.replica.aclose()

    def part(self) -> None:
        """Let the two pumps and their legs go; their counts stay."""
        for pump in (self.up, self.down):
            pump.judge = let_pass
            pump.mate = pump.source = pump.sink = None

    # Living

    def check(self, now: float, timeouts: TimeoutsConfig) -> float:
        """Ping who is silent, give up who is dead. Returns when to ask again."""
        due = math.inf
        for leg, reader, writer in ((self.client, self.up, self.down), (self.replica, self.down, self.up)):
            if leg is not None:
                due = min(due, self._check_leg(leg, reader, writer, now, timeouts))
        return due

    def _check_leg(self, leg: Leg, reader: Pump, writer: Pump, now: float, timeouts: TimeoutsConfig) -> float:
        if not reader.reading:
            leg.pulse.heard_at = now  # nobody listened
        verdict = leg.pulse.check(now, timeouts)
        if verdict is Verdict.PING:
            leg.listen_closely()
            self.secret = self.secret or os.urandom(8)
            writer.say(frame(PING, self.secret, mask=mask_for(leg)))
        elif verdict is Verdict.DEAD:
            self.lose(reader, End(leg.side, Cause.DEAD, detail="no frame, and no answer to pings"))
        return leg.pulse.due(timeouts)


def mask_for(leg: Leg) -> bytes | None:
    """What the router's own frames to this leg are masked with."""
    return os.urandom(4) if leg.side is Side.REPLICA else None
