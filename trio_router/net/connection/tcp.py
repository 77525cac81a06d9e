"""A plain TCP connection: the path of nearly every frame. Reads by the poller, writes by system calls."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable
from typing import Final

import trio

from trio_router.core.session.liveness import Delivery
from trio_router.core.session.outcome import Side
from trio_router.net.connection.base import STREAM_WRITE_BYTES, Connection, Reader, Signal, deliver
from trio_router.net.connection.kernel import UNSENT_BYTES, bound_unsent, delivery_of
from trio_router.net.poller import Poller

#: Largest SO_RCVLOWAT that is set; the kernel's receive buffer must be twice as large.
LOW_WATER_BYTES: Final = 512 * 1024


class TcpConnection(Connection):
    """A plain TCP connection. Owns ``sock``, which must be non-blocking. ``early``: bytes that came with the handshake."""

    __slots__ = ("_early", "_fd", "_low_water", "_poller", "_reader", "_sock", "_trio_waits")

    def __init__(self, sock: socket.socket, side: Side, poller: Poller, *, early: bytes = b"") -> None:
        super().__init__(side, trio.current_time())
        self._sock = sock
        self._fd = sock.fileno()
        self._poller = poller
        self._early = early
        self._reader: Reader | None = None
        self._low_water = 0
        self._trio_waits = False  # whether Trio may know the socket

    def drive(self, reader: Reader) -> Awaitable[Signal]:
        """See `Connection.drive`."""
        self._reader = reader
        if self._early or self._closed:
            return self._drive_early(reader)
        return self._poller.drive(self._fd, self._step, end=Signal.ENDED)

    async def _drive_early(self, reader: Reader) -> Signal:
        while self._early:
            data, self._early = self._early[: reader.sizehint], self._early[reader.sizehint :]
            if (signal := deliver(reader, data)) is not None:
                return signal
        if self._closed:
            return reader.buffer_updated(0) or Signal.ENDED
        return await self._poller.drive(self._fd, self._step, end=Signal.ENDED)

    @property
    def _closed(self) -> bool:
        return self._sock.fileno() == -1

    def _close(self) -> None:
        """Close the socket; a task that waits for it is woken."""
        self._poller.closing(self._fd, Signal.LOOK)
        if self._trio_waits:
            trio.lowlevel.notify_closing(self._fd)
        self._sock.close()

    def _step(self) -> Signal | None:
        """One read, called by the poller: the path of every frame begins here."""
        reader = self._reader
        assert reader is not None
        try:
            n = self._sock.recv_into(reader.get_buffer())
        except BlockingIOError:
            return None
        except OSError as exc:
            self.mark_broken(exc.strerror or str(exc))
            n = 0
        self.keepalive.last_received_at = self._poller.now
        signal = reader.buffer_updated(n)
        missing = reader.missing
        if missing != self._low_water:
            self._wait_for(missing)
        return signal

    async def wait_hangup(self) -> Signal:
        """See `Connection.wait_hangup`."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return Signal.ENDED
        signal = await self._poller.wait_hangup(self._fd, Signal.ENDED)
        if signal is Signal.ENDED and (code := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self.mark_broken(os.strerror(code))
        return signal

    def delivery(self) -> Delivery | None:
        """See `Connection.delivery`."""
        return None if self._closed else delivery_of(self._sock)

    def _wait_for(self, missing: int) -> None:
        """Have the kernel wake us for ``missing`` bytes, not for the first: a large frame is held until it is whole anyway.

        The kernel enlarges its receive buffer as needed, and still wakes us at an end or an error (socket(7), SO_RCVLOWAT).
        """
        self._low_water = missing
        if not self.broken:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, min(missing, LOW_WATER_BYTES)))

    def reset_low_water(self) -> None:
        """See `Connection.reset_low_water`. A peer that was silent this long and has unsent bytes reads slowly: bound them."""
        if self._closed:
            return
        if self._low_water:
            self._wait_for(0)
        if (found := self.delivery()) is not None and found.unsent > UNSENT_BYTES:
            bound_unsent(self._sock)

    def interrupt(self) -> None:
        """See `Connection.interrupt`."""
        self._poller.wake(self._fd, Signal.LOOK)

    def send_nowait(self, data: memoryview) -> int:
        """See `Connection.send_nowait`."""
        if self.broken:
            return len(data)
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self.mark_broken(exc.strerror or str(exc))
            return len(data)

    async def send_some(self, data: memoryview) -> int:
        """See `Connection.send_some`."""
        while not (sent := self.send_nowait(data)):
            self._trio_waits = True
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except trio.ClosedResourceError:
                self.mark_broken("closed")
        return sent

    async def linger_until_eof(self) -> None:
        """See `Connection.linger_until_eof`."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self._trio_waits = True
            while True:
                await trio.lowlevel.wait_readable(self._fd)
                if not self._sock.recv(STREAM_WRITE_BYTES):
                    return
        except (OSError, trio.ClosedResourceError) as exc:
            self.mark_broken(str(exc))

    async def aclose(self) -> None:
        """See `Connection.aclose`."""
        self.mark_broken("closed")
        if not self._closed:
            self._close()

    def abort(self) -> None:
        """See `Connection.abort`."""
        self.mark_broken("aborted")
        if not self._closed:
            # SO_LINGER of zero seconds: unsent bytes are discarded and the peer gets a reset (socket(7)).
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._close()
