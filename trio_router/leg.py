"""A leg: one side of a session, as bytes behind its handshake.

`SocketLeg` is plain TCP, read and written by system calls without a task switch; `StreamLeg` is any Trio stream (TLS,
a test's memory stream). Both do the same things under the same names, so the pumps know no difference:

- `drive` reads into the pump's room and tells it, until the pump has something for its task to do;
- `send_nowait` writes what can be written without waiting, `send_some` waits until something could.

Errors of the operating system end here: a leg that broke is ``gone``, swallows what is written to it, and reads as an
end of stream. Why it broke stands in ``why_gone``.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Awaitable
from enum import Enum, auto
from typing import Final, Protocol

import trio

from .core.liveness import Pulse
from .core.outcome import CloseInfo, Side
from .poller import Poller


class Signal(Enum):
    """Why a pump's task is woken from `drive`."""

    FLUSH = auto()  # the sink did not take everything
    ENDED = auto()  # the source ended; the flow knows how
    LOOK = auto()  # somebody asked for something


class Reader(Protocol):
    """What a leg reads for: a pump."""

    @property
    def wanted(self) -> int:
        """Read at most so many bytes."""
        ...

    @property
    def missing(self) -> int:
        """Fewer bytes than these are of no use yet; 0 if any are."""
        ...

    def room(self) -> memoryview:
        """Put them here."""
        ...

    def took(self, n: int) -> Signal | None:
        """``n`` bytes were put into the room; 0 is the end of the stream."""
        ...


#: One write to a stream that cannot tell how much it accepted: small enough that a slow peer is seen to move.
STREAM_WRITE_BYTES: Final = 64 * 1024

#: Never wait for more than this in the kernel; its buffer must hold twice as much.
LOW_WATER_BYTES: Final = 512 * 1024


class Leg:
    """What both kinds share: who it is, how alive it is, and which close frames went over it."""

    __slots__ = ("close_got", "close_sent", "gone", "pulse", "side", "why_gone")

    def __init__(self, side: Side, now: float) -> None:
        self.side = side
        self.pulse = Pulse(now)
        self.gone = False
        self.why_gone = ""
        self.close_got: CloseInfo | None = None  # received from this side
        self.close_sent: CloseInfo | None = None  # sent to it

    def __repr__(self) -> str:
        state = f"gone: {self.why_gone}" if self.gone else "open"
        return f"<{type(self).__name__} {self.side} {state}>"

    def drive(self, reader: Reader) -> Awaitable[Signal]:
        """Read for ``reader`` until it returns a signal, or `interrupt` is called. Cancelling it loses no byte."""
        raise NotImplementedError

    def send_nowait(self, data: memoryview) -> int:
        """Write what is accepted at once; return how much. All of it if the leg is gone."""
        raise NotImplementedError

    async def send_some(self, data: memoryview) -> int:
        """Wait until at least one byte is accepted; return how many were."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Make a `drive` that is under way return `Signal.LOOK`."""
        raise NotImplementedError

    async def hear_out(self) -> None:
        """Send an end of stream, then read and throw away until the peer's. The caller bounds it."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connection; never waits for the peer."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close so that the peer sees a broken connection (1006), not an orderly end. Synchronous."""
        raise NotImplementedError

    def lose(self, why: str) -> None:
        """Note that the connection is broken."""
        if not self.gone:
            self.gone = True
            self.why_gone = why


class SocketLeg(Leg):
    """A plain TCP connection. Owns ``sock``, which must not be blocking. ``early``: bytes that came with the handshake."""

    __slots__ = ("_early", "_fd", "_low_water", "_poller", "_reader", "_sock")

    def __init__(self, sock: socket.socket, side: Side, poller: Poller, *, early: bytes = b"") -> None:
        super().__init__(side, trio.current_time())
        self._sock = sock
        self._fd = sock.fileno()
        self._poller = poller
        self._early = early
        self._reader: Reader | None = None
        self._low_water = 0

    def drive(self, reader: Reader) -> Awaitable[Signal]:
        """See `Leg`."""
        self._reader = reader
        if self._early or self._closed:
            return self._drive_early(reader)
        return self._poller.drive(self._fd, self._step)

    async def _drive_early(self, reader: Reader) -> Signal:
        while self._early:
            data, self._early = self._early[: reader.wanted], self._early[reader.wanted :]
            if (signal := give(reader, data)) is not None:
                return signal
        if self._closed:
            return reader.took(0) or Signal.ENDED
        return await self._poller.drive(self._fd, self._step)

    @property
    def _closed(self) -> bool:
        return self._sock.fileno() == -1

    def _close(self) -> None:
        """Close the socket; whoever waits for it is told."""
        self._poller.wake(self._fd, Signal.LOOK)  # epoll forgets a closed socket without a word
        trio.lowlevel.notify_closing(self._fd)
        self._sock.close()

    def _step(self) -> Signal | None:
        """One read, called by the poller: the path of every frame begins here."""
        reader = self._reader
        assert reader is not None
        try:
            n = self._sock.recv_into(reader.room())
        except BlockingIOError:
            return None
        except OSError as exc:
            self.lose(exc.strerror or str(exc))
            n = 0
        self.pulse.heard_at = self._poller.now
        signal = reader.took(n)
        missing = reader.missing
        if missing != self._low_water:
            self._wait_for(missing)
        return signal

    def _wait_for(self, missing: int) -> None:
        """Ask the kernel to wake us for so many bytes, not for the first: a large frame is held until it is whole anyway.

        The kernel sees to it that its buffer is large enough, and wakes us all the same at an end or an error (tcp(7),
        SO_RCVLOWAT in socket(7)).
        """
        self._low_water = missing
        if not self.gone:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, min(missing, LOW_WATER_BYTES)))

    def interrupt(self) -> None:
        """See `Leg`."""
        self._poller.wake(self._fd, Signal.LOOK)

    def send_nowait(self, data: memoryview) -> int:
        """See `Leg`."""
        if self.gone:
            return len(data)
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self.lose(exc.strerror or str(exc))
            return len(data)

    async def send_some(self, data: memoryview) -> int:
        """See `Leg`."""
        while not (sent := self.send_nowait(data)):
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except trio.ClosedResourceError:
                self.lose("closed")
        return sent

    async def hear_out(self) -> None:
        """See `Leg`."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while True:
                await trio.lowlevel.wait_readable(self._fd)
                if not self._sock.recv(STREAM_WRITE_BYTES):
                    return
        except (OSError, trio.ClosedResourceError) as exc:
            self.lose(str(exc))

    async def aclose(self) -> None:
        """See `Leg`."""
        self.lose("closed")
        if not self._closed:
            self._close()

    def abort(self) -> None:
        """See `Leg`."""
        self.lose("aborted")
        if not self._closed:
            # Linger of zero seconds: what is unsent is thrown away and the peer gets a reset.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._close()


class StreamLeg(Leg):
    """Any Trio stream. Owns it. Never writes without waiting, because a cancelled write would leave half a frame."""

    __slots__ = ("_early", "_reading", "_stream")

    def __init__(self, stream: trio.abc.Stream, side: Side, *, early: bytes = b"") -> None:
        super().__init__(side, trio.current_time())
        self._stream = stream
        self._early = early
        self._reading: trio.CancelScope | None = None

    async def drive(self, reader: Reader) -> Signal:
        """See `Leg`."""
        while True:
            data, self._early = self._early[: reader.wanted], self._early[reader.wanted :]
            if not data:
                with trio.CancelScope() as self._reading:
                    data = await self._receive(reader.wanted)
                interrupted, self._reading = self._reading.cancelled_caught, None
                if interrupted:
                    return Signal.LOOK
            self.pulse.heard_at = trio.current_time()
            if (signal := give(reader, data)) is not None:
                return signal

    async def _receive(self, wanted: int) -> bytes:
        try:
            return bytes(await self._stream.receive_some(wanted))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.lose(str(exc.__cause__ or exc) or "broken")
            return b""

    def interrupt(self) -> None:
        """See `Leg`."""
        if self._reading is not None:
            self._reading.cancel()

    def send_nowait(self, data: memoryview) -> int:
        """See `Leg`."""
        return len(data) if self.gone else 0

    async def send_some(self, data: memoryview) -> int:
        """See `Leg`. If it is cancelled the leg is lost, because nobody knows how much was written."""
        if self.gone:
            return len(data)
        piece = data[:STREAM_WRITE_BYTES]
        try:
            await self._stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.lose(str(exc.__cause__ or exc) or "broken")
            return len(data)
        except trio.Cancelled:
            self.lose("a write was cut off")
            raise
        return len(piece)

    async def hear_out(self) -> None:
        """See `Leg`."""
        while await self._receive(STREAM_WRITE_BYTES):
            pass

    async def aclose(self) -> None:
        """See `Leg`. A TLS peer is sent its close_notify, if it takes it within a second."""
        broken, self.gone = self.gone, True
        with (
            trio.CancelScope(deadline=trio.current_time() + (0 if broken else 1), shield=True),
            contextlib.suppress(trio.BrokenResourceError),
        ):
            await self._stream.aclose()

    def abort(self) -> None:
        """See `Leg`."""
        self.lose("aborted")
        base = self._stream
        while isinstance(base, trio.SSLStream):
            base = base.transport_stream
        if isinstance(base, trio.SocketStream):
            base.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def give(reader: Reader, data: bytes) -> Signal | None:
    """Put ``data`` into the reader's room and say so."""
    reader.room()[: len(data)] = data
    return reader.took(len(data))


def bare_socket(stream: trio.SocketStream) -> socket.socket:
    """Take the socket out of Trio's stream, which is of no use any more: 1.3 KiB a connection."""
    sock = stream.socket
    family, kind, proto = sock.family, sock.type, sock.proto
    raw = socket.socket(family, kind, proto, fileno=sock.detach())
    raw.setblocking(False)
    # Trio lets a socket hold only 16 KiB unsent, so that a writer hears early of a slow reader. A pump hears of it anyway.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)
    return raw


def make_leg(stream: trio.abc.Stream, side: Side, poller: Poller, early: bytes) -> Leg:
    """The leg for a connection whose handshake is done."""
    if isinstance(stream, trio.SocketStream):
        return SocketLeg(bare_socket(stream), side, poller, early=early)
    return StreamLeg(stream, side, early=early)
