"""Any Trio stream as a connection: TLS, or a test's memory stream. Each read costs a task switch, and each write waits."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import trio

from trio_router.core.session.liveness import Delivery
from trio_router.core.session.outcome import Side
from trio_router.net.connection.base import STREAM_WRITE_BYTES, Connection, Reader, Signal, deliver
from trio_router.net.connection.kernel import delivery_of
from trio_router.net.connection.raw import RawStream


class StreamConnection(Connection):
    """A connection over any Trio stream, which it owns. Never writes without waiting: a cancelled write leaves half a frame."""

    __slots__ = ("_early", "_reading", "_stream")

    def __init__(self, stream: trio.abc.Stream, side: Side, *, early: bytes = b"") -> None:
        super().__init__(side, trio.current_time())
        self._stream = stream
        self._early = early
        self._reading: trio.CancelScope | None = None

    async def drive(self, reader: Reader) -> Signal:
        """See `Connection.drive`."""
        while True:  # noqa: ASYNC913  early bytes are given without waiting; then every turn waits
            data, self._early = self._early[: reader.sizehint], self._early[reader.sizehint :]
            if not data:
                with trio.CancelScope() as self._reading:
                    data = await self._receive(reader.sizehint)
                interrupted, self._reading = self._reading.cancelled_caught, None
                if interrupted:
                    return Signal.LOOK
            if len(data) > (wanted := reader.sizehint):  # it wants less than when the read began
                data, self._early = data[:wanted], data[wanted:]
            self.keepalive.received(trio.current_time())
            if (signal := deliver(reader, data)) is not None:
                return signal

    async def _receive(self, wanted: int) -> bytes:
        try:
            return bytes(await self._stream.receive_some(wanted))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.mark_broken(str(exc.__cause__ or exc) or "broken")
            return b""

    async def wait_hangup(self) -> Signal:
        """See `Connection.wait_hangup`."""
        base = self._base
        with trio.CancelScope() as self._reading, contextlib.suppress(trio.ClosedResourceError):
            if not isinstance(base, RawStream):
                await trio.sleep_forever()
            elif code := await base.wait_hangup():
                self.mark_broken(os.strerror(code))
        interrupted, self._reading = self._reading.cancelled_caught, None
        return Signal.LOOK if interrupted else Signal.ENDED

    def delivery(self) -> Delivery | None:
        """See `Connection.delivery`. Over TLS it counts encrypted bytes."""
        base = self._base
        if isinstance(base, RawStream) and base.socket.fileno() != -1:
            return delivery_of(base.socket)
        return None

    @property
    def _base(self) -> trio.abc.Stream:
        """The stream below all layers of TLS."""
        base = self._stream
        while isinstance(base, trio.SSLStream):
            base = base.transport_stream
        return base

    def interrupt(self) -> None:
        """See `Connection.interrupt`."""
        if self._reading is not None:
            self._reading.cancel()

    def send_nowait(self, data: memoryview) -> int:
        """See `Connection.send_nowait`. Accepts nothing, unless the connection is broken."""
        return len(data) if self.broken else 0

    async def send_some(self, data: memoryview) -> int:
        """See `Connection.send_some`. Cancelling breaks the connection, because it is unknown how much was written."""
        if self.broken:
            return len(data)
        piece = data[:STREAM_WRITE_BYTES]
        try:
            await self._stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.mark_broken(str(exc.__cause__ or exc) or "broken")
            return len(data)
        except trio.Cancelled:
            self.mark_broken("a write was cut off")
            raise
        return len(piece)

    async def linger_until_eof(self) -> None:
        """See `Connection.linger_until_eof`."""
        while await self._receive(STREAM_WRITE_BYTES):
            pass

    async def aclose(self) -> None:
        """See `Connection.aclose`. A TLS peer is sent a close_notify, if that takes at most a second."""
        broken, self.broken = self.broken, True
        with (
            trio.CancelScope(deadline=trio.current_time() + (0 if broken else 1), shield=True),
            contextlib.suppress(trio.BrokenResourceError),
        ):
            await self._stream.aclose()

    def abort(self) -> None:
        """See `Connection.abort`."""
        self.mark_broken("aborted")
        base = self._base
        if isinstance(base, RawStream | trio.SocketStream):
            base.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
