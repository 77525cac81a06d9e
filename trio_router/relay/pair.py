"""The two connections of a session and the two pumps between them: who is told what, and who is still alive.

What a session *is* (where its replica comes from, when it is committed, why it ends) is the relay's; here is what can be
done to both sides at any time, without waiting: inject a frame, close one, ping, give up who is dead.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trio_router.core.config import TimeoutsConfig
from trio_router.core.dialects import Conversation, Message
from trio_router.core.relay.filter import FrameFilter
from trio_router.core.session.closing import ClosePlan
from trio_router.core.session.liveness import KeepaliveAction
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side, Traffic
from trio_router.core.websocket.frames import CLOSE, PING, close_payload, frame
from trio_router.net.connection import Connection
from trio_router.operations.logging import get_logger
from trio_router.relay.pump import Pump

log = get_logger("trio_router.relay")


class Pair:
    """``to_replica`` pumps from ``client`` to ``replica``, ``to_client`` back. The replica may be missing, or exchanged."""

    __slots__ = ("_filter", "_ping", "client", "replica", "to_client", "to_replica")

    def __init__(self, client: Connection, to_replica: Pump, to_client: Pump, frame_filter: FrameFilter) -> None:
        self.client = client
        self.replica: Connection | None = None
        self.to_replica = to_replica
        self.to_client = to_client
        self._filter = frame_filter
        self._ping: bytes | None = None  # in the router's own pings, so that their pongs are known
        to_replica.join(to_client, source=client)
        to_client.join(to_replica, sink=client)

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(from the client, from the replica) so far."""
        return self.to_replica.traffic, self.to_client.traffic

    @property
    def movable(self) -> bool:
        """Whether all that the client has said could be said again, to another replica."""
        replay = self.to_replica.replay
        return replay is not None and replay.complete

    # The replica's side, which may be exchanged

    def set_replica(self, connection: Connection | None) -> None:
        """The session's replica is this one from now on, or nobody."""
        self.replica = connection

    # Closing

    def close(self, plan: ClosePlan, conversation: Conversation, retry_after: float | None) -> None:
        """Close both sides as ``plan`` says; between the fragments of a message without the error message."""
        if plan.to_client is not None:
            frames = []
            if plan.error is not None and not self.to_client.buffer.between_fragments:
                extra = {} if retry_after is None else {"retry_after_seconds": retry_after}
                error = plan.error
                message = message_frame(
                    lambda: conversation.error(error.code, error.message, retryable=error.retryable, **extra)
                )
                frames = [] if message is None else [message]
            self._close(self.to_client, plan.to_client, frames)
        if plan.to_replica is not None and self.replica is not None:
            self._close(self.to_replica, plan.to_replica, [])

    def was_closed(self, *, against: Side) -> bool:
        """Whether the side opposite to ``against`` was sent a close frame."""
        return (self.to_client if against is Side.REPLICA else self.to_replica).close_sent is not None

    def answer_closes(self, *, but: Side) -> None:
        """Who closed, and can get no answer from the other side any more, gets it from here, with its own code."""
        for source, sink in ((self.to_replica, self.to_client), (self.to_client, self.to_replica)):
            if source.close_received is not None and source.side is not but:
                self._close(sink, source.close_received, [])

    def _close(self, pump: Pump, close: CloseInfo, frames: list[bytes]) -> None:
        mask = mask_for(pump.sink) if pump.sink is not None else None
        pump.send_close(close, [*frames, frame(CLOSE, close_payload(close.code, close.reason), mask=mask)])

    async def flush(self, *, first: Pump) -> None:
        """Let what was said be written: by ``first``, then by the other direction."""
        await first.flush()
        await (self.to_replica if first is self.to_client else self.to_client).flush()

    async def aclose(self) -> None:
        """Close both connections; waits for nobody."""
        try:
            await self.client.aclose()
        finally:
            if self.replica is not None:
                await self.replica.aclose()  # noqa: ASYNC102  waits for nobody, and bounds itself

    def release(self) -> None:
        """Let the two pumps and their connections go; their counts stay."""
        self.to_replica.release()
        self.to_client.release()

    # Living

    def check(self, now: float, client: TimeoutsConfig, replica: TimeoutsConfig) -> float:
        """Ping who is silent, give up who is dead, each by its own timeouts. Returns when to ask again."""
        due = self._check(self.client, self.to_replica, self.to_client, now, client)
        if self.replica is not None:
            due = min(due, self._check(self.replica, self.to_client, self.to_replica, now, replica))
        return due

    def _check(self, connection: Connection, reader: Pump, writer: Pump, now: float, timeouts: TimeoutsConfig) -> float:
        if not reader.reading:
            connection.keepalive.excuse(now)  # nobody listened
        verdict = connection.keepalive.check(now, timeouts, connection.delivery())
        if verdict is KeepaliveAction.PING:
            self._send_ping(connection, writer)
        elif verdict is KeepaliveAction.DEAD:
            reader.fail(End(connection.side, Cause.DEAD, detail="no frame, and no answer to pings"))
        return connection.keepalive.due(timeouts)

    def ping_replica(self) -> None:
        """Ask the replica for a sign of life now."""
        if self.replica is not None:
            self._send_ping(self.replica, self.to_replica)

    def _send_ping(self, connection: Connection, writer: Pump) -> None:
        connection.reset_low_water()
        if self._ping is None:
            self._ping = os.urandom(8)
            self._filter.expect_pong(self._ping)
        writer.inject(frame(PING, self._ping, mask=mask_for(connection)))


def mask_for(connection: Connection) -> bytes | None:
    """What the router's own frames on this connection are masked with (RFC 6455 section 5.3)."""
    return os.urandom(4) if connection.side is Side.REPLICA else None


def message_frame(make: Callable[[], Message | None]) -> bytes | None:
    """The frame of a dialect's message to a client, if there is one.

    A dialect that fails at it is logged: whoever ends or informs many sessions must not be stopped by one.
    """
    try:
        message = make()
    except Exception:
        log.exception("a dialect cannot make its message")
        return None
    return None if message is None else frame(message.opcode, message.payload)
