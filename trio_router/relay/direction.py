"""One direction of a session: what it reads from and writes to, both of which may be exchanged, and what it has counted."""

from __future__ import annotations

from collections.abc import Callable

from trio_router.core.relay.filter import FORWARD, Decision, FilterEvent
from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Cause, CloseInfo, End, Side, Traffic
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import Frame
from trio_router.net.connection import Connection
from trio_router.relay.writer import Writer

#: Decides about a frame; the second argument gives its payload, the third is how many frames came so far.
Filter = Callable[[Frame, Callable[[], bytes], int], Decision]


def forward_all(_: Frame, payload: Callable[[], bytes], frames: int) -> Decision:
    """The filter of a direction that has none (any more)."""
    return FORWARD


def nothing(_: FilterEvent) -> None:
    """The listener of a direction that has none (any more)."""


class Direction(Writer):
    """One direction's ends. ``side`` is its source's. Without a ``source`` nothing is read, without a ``sink``
    nothing is written: what comes is only kept in ``replay``, if there is one.
    """

    __slots__ = (
        "_cut_through",
        "_frames",
        "_held",
        "_held_bytes",
        "_messages",
        "_paused",
        "buffer",
        "close_received",
        "end",
        "filter",
        "mate",
        "notify",
        "replay",
        "side",
        "source",
    )

    def __init__(
        self,
        side: Side,
        buffer: FrameBuffer,
        filter: Filter = forward_all,
        notify: Callable[[FilterEvent], None] = nothing,
        *,
        slow_seconds: float,
        replay: ReplayBuffer | None = None,
    ) -> None:
        super().__init__(slow_seconds)
        self.side = side
        self.buffer = buffer
        self.filter = filter
        self.notify = notify
        self.source: Connection | None = None
        self.mate: Direction | None = None  # the other direction; while it has no source, this one's task writes for it
        self.replay = replay
        self.end: End | None = None
        self.close_received: CloseInfo | None = None  # from the source
        self._cut_through: Callable[[], Decision] | None = None  # asked when a frame is too long to be looked at
        self._held: tuple[bytes, ...] = ()  # frames that wait for the commit point
        self._held_bytes = 0
        self._frames = 0  # of buffers before this one
        self._messages = 0
        self._paused = False

    def __repr__(self) -> str:
        ends = f"{self.source} -> {self.sink}"
        return f"<{type(self).__name__} {ends} bytes={self.bytes} waiting={len(self.outbox)} end={self.end}>"

    @property
    def traffic(self) -> Traffic:
        """What it carried so far, over all its sources and sinks."""
        scanner = self.buffer.scanner
        return Traffic(self.bytes, self._frames + scanner.frames, self._messages + scanner.messages)

    # Sources and sinks, which may be exchanged

    def join(self, mate: Direction, *, source: Connection | None = None, sink: Connection | None = None) -> None:
        """Begin with these ends; ``mate`` is the other direction."""
        self.mate, self.source, self.sink = mate, source, sink

    def read_from(self, source: Connection | None, buffer: FrameBuffer | None = None) -> None:
        """Another source, with a frame buffer of its own; None: nothing is read until there is one."""
        self.source = source
        self._drop_held()
        if buffer is not None:
            self._frames += self.buffer.scanner.frames
            self._messages += self.buffer.scanner.messages
            self.buffer = buffer
            self.end = None
            self.close_received = None

    def write_to(self, sink: Connection | None) -> None:
        """Another sink: it is written all that was kept. None: keep what comes until there is one."""
        self.sink = sink
        self.close_sent = None
        if sink is None:
            self.outbox.clear()
            self._injected.clear()
            return
        if self.replay is not None and (frames := self.replay.replay()):
            self._send(frames)
        if self.outbox or self._paused:
            self.wake()

    def conduct(
        self, watch: frozenset[int], hold_bytes: int, message_bytes: int, cut_through: Callable[[], Decision] | None
    ) -> None:
        """How frames are treated from the next one on. ``cut_through`` decides about one too long to be stopped at."""
        self.buffer.scanner.set_rules(watch=watch, hold_bytes=hold_bytes, max_message_bytes=message_bytes)
        self._cut_through = cut_through

    def drop_replay(self) -> None:
        """Nothing will be said again."""
        if self.replay is not None:
            self.replay.release()
        self.replay = None

    def release_held(self) -> None:
        """The commit point, or the replica's answer: what was held back goes to the sink first; not after a close."""
        held = self._held
        self._drop_held()
        if not self.closed:
            for frames in held:
                self._send(frames)

    def _drop_held(self) -> None:
        self._held, self._held_bytes = (), 0

    def _send(self, frames: bytes | bytearray) -> None:
        """Write frames of the source, in memory of their own."""
        self.bytes += len(frames)
        self._put(memoryview(frames))

    def fail(self, end: End) -> None:
        """End the direction from outside, unless it has ended; its task does the rest."""
        if self.end is None:
            self.end = end
            self.wake()

    def _vanished(self) -> None:
        """The source ended without a close frame. A frame of it that a close waits for will never be whole."""
        why = (self.source.broken_reason if self.source else "") or "end of stream without a close frame"
        self.end = self.end or End(self.side, Cause.VANISHED, detail=why)
        if self._close_waits:
            self._abort_sink()

    @property
    def _close_waits(self) -> bool:
        """Whether a close waits for the end of a frame that is being cut through."""
        return self._closing and not self.closed and not self.buffer.at_boundary

    @property
    def at_boundary(self) -> bool:
        """See `Writer`."""
        return self.buffer.at_boundary

    @property
    def dried_up(self) -> bool:
        """See `Writer`."""
        return self.end is not None or self.source is None

    def written(self, data: memoryview) -> None:
        """See `Writer`."""
        self.buffer.release(data)

    @property
    def _writes_for_mate(self) -> bool:
        """The other direction has frames to be written, and no task of its own that could."""
        return self.mate is not None and self.mate.source is None and bool(self.mate.outbox)

    @property
    def full(self) -> bool:
        """Without a sink only so much is kept; then nothing more is read until there is one."""
        return self.sink is None and self.replay is not None and self.replay.full

    def wake(self) -> None:
        """Make the pump's task look again at what there is to do."""
        if self.source is not None:
            self.source.interrupt()
        elif self.mate is not None:
            self.mate.wake()

    def release(self) -> None:
        """The session is over: let go of everything that refers to others. What it counted stays."""
        self.filter, self.notify, self._cut_through = forward_all, nothing, None
        self.mate = self.source = self.sink = None
