"""The interface that both kinds of connection implement.

- `Connection.drive` reads into the pump's buffer and reports to it, until the pump has something for its task to do;
- `Connection.send_nowait` writes what can be written without waiting, `Connection.send_some` waits until something could.

Errors of the operating system end here: a broken connection has ``broken`` set and the reason in ``broken_reason``. It
discards what is written to it, and reads as an end of stream.
"""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum, auto
from typing import Final, Protocol

from trio_router.core.session.liveness import Delivery, Keepalive
from trio_router.core.session.outcome import CloseInfo, Side


class Signal(Enum):
    """Why `Connection.drive` returned to its pump's task."""

    FLUSH = auto()  # the sink did not accept everything
    ENDED = auto()  # the source ended; the pump knows how
    LOOK = auto()  # `interrupt` was called


class Reader(Protocol):
    """What a connection reads for: a pump. Modelled on asyncio's BufferedProtocol."""

    @property
    def sizehint(self) -> int:
        """The most bytes that one read may bring."""
        ...

    @property
    def missing(self) -> int:
        """Bytes that must arrive before any can be used; 0 if any byte is useful."""
        ...

    def get_buffer(self) -> memoryview:
        """Memory for the next bytes. Valid until the next await."""
        ...

    def buffer_updated(self, n: int) -> Signal | None:
        """``n`` bytes were written to the start of `get_buffer`; 0 is the end of the stream. A signal ends `drive`."""
        ...


#: Size of one write to a stream that does not report partial writes: small, so that a slow peer's progress is visible.
STREAM_WRITE_BYTES: Final = 64 * 1024


class Connection:
    """What both kinds share: which side it is, its keepalive, whether it is broken, and which close frames went over it."""

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
        """Read for ``reader`` until it returns a signal, or `interrupt` is called. Cancelling loses no byte."""
        raise NotImplementedError

    def send_nowait(self, data: memoryview) -> int:
        """Write what is accepted at once; return the number of bytes. A broken connection accepts and discards all of them."""
        raise NotImplementedError

    async def send_some(self, data: memoryview) -> int:
        """Wait until at least one byte is accepted; return the number of bytes accepted."""
        raise NotImplementedError

    async def wait_hangup(self) -> Signal:
        """While nothing is read: wait until the peer has closed or reset the connection, then return `Signal.ENDED`.

        Unread bytes do not hide the end of the stream, and stay unread. `interrupt` makes it return `Signal.LOOK`.
        Cancelling is safe. Over a stream whose socket is not known it never returns by itself, and a close_notify of TLS
        is not noticed. Must not run at the same time as `drive`.
        """
        raise NotImplementedError

    def delivery(self) -> Delivery | None:
        """How many bytes the peer's kernel has acknowledged, and how many are unsent; None if unknown. One system call."""
        return None

    def interrupt(self) -> None:
        """Make a `drive` or `wait_hangup` that is running return `Signal.LOOK`."""
        raise NotImplementedError

    async def linger_until_eof(self) -> None:
        """Send an end of stream, then read and discard until the peer's end of stream. The caller sets the time limit."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connection; never waits for the peer."""
        raise NotImplementedError

    def reset_low_water(self) -> None:
        """Report the next byte, even if more are needed before a frame can be forwarded: any byte is a sign of life."""

    def abort(self) -> None:
        """Close so that the peer sees a broken connection (1006), not an orderly end. Synchronous."""
        raise NotImplementedError

    def mark_broken(self, why: str) -> None:
        """Record that the connection is broken; the first reason is kept."""
        if not self.broken:
            self.broken = True
            self.broken_reason = why


def deliver(reader: Reader, data: bytes) -> Signal | None:
    """Copy ``data`` into the reader's buffer and report it; return the reader's signal."""
    reader.get_buffer()[: len(data)] = data
    return reader.buffer_updated(len(data))
