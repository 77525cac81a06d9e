"""What both kinds of connection do, under the same names.

- `Connection.drive` reads into the pump's room and tells it, until the pump has something for its task to do;
- `Connection.send_nowait` writes what can be written without waiting, `Connection.send_some` waits until something could.

Errors of the operating system end here: a connection that broke is ``broken``, swallows what is written to it, and reads as an
end of stream. Why it broke stands in ``broken_reason``.
"""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum, auto
from typing import Final, Protocol

from trio_router.core.session.liveness import Delivery, Keepalive
from trio_router.core.session.outcome import CloseInfo, Side


class Signal(Enum):
    """Why a pump's task is woken from `drive`."""

    FLUSH = auto()  # the sink did not take everything
    ENDED = auto()  # the source ended; the reader knows how
    LOOK = auto()  # somebody asked for something


class Reader(Protocol):
    """What a connection reads for: a pump."""

    @property
    def sizehint(self) -> int:
        """Read at most so many bytes."""
        ...

    @property
    def missing(self) -> int:
        """Fewer bytes than these are of no use yet; 0 if any are."""
        ...

    def get_buffer(self) -> memoryview:
        """Put them here."""
        ...

    def buffer_updated(self, n: int) -> Signal | None:
        """``n`` bytes were put into the room; 0 is the end of the stream."""
        ...


#: One write to a stream that cannot tell how much it accepted: small enough that a slow peer is seen to move.
STREAM_WRITE_BYTES: Final = 64 * 1024


class Connection:
    """What both kinds share: who it is, how alive it is, and which close frames went over it."""

    __slots__ = ("broken", "broken_reason", "close_got", "close_sent", "keepalive", "side")

    def __init__(self, side: Side, now: float) -> None:
        self.side = side
        self.keepalive = Keepalive(now)
        self.broken = False
        self.broken_reason = ""
        self.close_got: CloseInfo | None = None  # received from this side
        self.close_sent: CloseInfo | None = None  # sent to it

    def __repr__(self) -> str:
        state = f"gone: {self.broken_reason}" if self.broken else "open"
        return f"<{type(self).__name__} {self.side} {state}>"

    def drive(self, reader: Reader) -> Awaitable[Signal]:
        """Read for ``reader`` until it returns a signal, or `interrupt` is called. Cancelling it loses no byte."""
        raise NotImplementedError

    def send_nowait(self, data: memoryview) -> int:
        """Write what is accepted at once; return how much. All of it if the connection is gone."""
        raise NotImplementedError

    async def send_some(self, data: memoryview) -> int:
        """Wait until at least one byte is accepted; return how many were."""
        raise NotImplementedError

    async def wait_hangup(self) -> Signal:
        """While nothing is read: wait until the peer has hung up or reset the connection; `Signal.ENDED` then.

        Bytes that lie unread do not hide it, and stay there. `interrupt` makes it return `Signal.LOOK`. Cancelling is
        safe. Over a stream whose socket is not known it waits for ever, and TLS's own goodbye is not seen. Nobody may
        be in `drive` at the same time.
        """
        raise NotImplementedError

    def delivery(self) -> Delivery | None:
        """How far the peer's kernel has taken what was written to it; None where nobody knows. One system call."""
        return None

    def interrupt(self) -> None:
        """Make a `drive` or `wait_hangup` that is under way return `Signal.LOOK`."""
        raise NotImplementedError

    async def linger_until_eof(self) -> None:
        """Send an end of stream, then read and throw away until the peer's. The caller bounds it."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connection; never waits for the peer."""
        raise NotImplementedError

    def reset_low_water(self) -> None:
        """Hear of the next byte, also where more are needed before anything can be done: it is a sign of life."""

    def abort(self) -> None:
        """Close so that the peer sees a broken connection (1006), not an orderly end. Synchronous."""
        raise NotImplementedError

    def mark_broken(self, why: str) -> None:
        """Note that the connection is broken."""
        if not self.broken:
            self.broken = True
            self.broken_reason = why


def deliver(reader: Reader, data: bytes) -> Signal | None:
    """Put ``data`` into the reader's room and say so."""
    reader.get_buffer()[: len(data)] = data
    return reader.buffer_updated(len(data))
