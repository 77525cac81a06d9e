"""A Trio stream over a bare socket, for the time before a connection is a session's, or turns out to be plain HTTP.

It reads through the `Poller`, so a socket is registered once for its handshake and all its frames. `send_nowait`
writes the answer to a handshake without a task switch. With `trio.SocketStream` opening a session took a tenth more CPU.
"""

from __future__ import annotations

import contextlib
import operator
import socket
from collections.abc import Iterator
from typing import Final

import trio

from trio_router.net.poller import Poller

_READ_BYTES: Final = 64 * 1024


class RawStream(trio.abc.HalfCloseableStream):
    """Owns ``socket``, which must be non-blocking. Passes the stream checks of `trio.testing`."""

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self.socket = sock
        self._poller = poller
        self._sending = False
        self._said_eof = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        size = _READ_BYTES if max_bytes is None else operator.index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be at least 1")

        def step() -> bytes | None:
            try:
                return self.socket.recv(size)
            except BlockingIOError:
                return None

        try:
            data: bytes | None = await self._poller.drive(self._open_fd(), step)
        except OSError as exc:
            raise trio.BrokenResourceError(exc.strerror) from exc
        if data is None:
            raise trio.ClosedResourceError("closed by another task")
        return data

    async def wait_hangup(self) -> int:
        """Wait until the peer has sent an end of stream or a reset, even with bytes unread; return its errno, or 0.

        Raises:
            trio.ClosedResourceError: it was closed here, before or meanwhile.
        """
        fd = self._open_fd()
        await self._poller.wait_hangup(fd, True)
        self._open_fd()
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        with self._only_sender():
            await trio.lowlevel.checkpoint()
            rest = memoryview(data)
            self._open_fd()
            if self._said_eof:
                raise trio.ClosedResourceError("nothing can follow an end of stream")
            while rest and (rest := rest[self.send_nowait(rest) :]):
                await trio.lowlevel.wait_writable(self._open_fd())

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Write what is accepted at once; return the number of bytes.

        Raises:
            trio.BrokenResourceError: the connection broke.
            trio.ClosedResourceError: it was closed here.
        """
        self._open_fd()
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise trio.BrokenResourceError(exc.strerror) from exc

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        with self._only_sender():
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.wait_writable(self._open_fd())

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        with self._only_sender():
            await trio.lowlevel.checkpoint()
            self._open_fd()
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as exc:
                raise trio.BrokenResourceError(exc.strerror) from exc
            self._said_eof = True

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        fd = self.socket.fileno()
        if fd != -1:
            self._poller.closing(fd)
            trio.lowlevel.notify_closing(fd)
            self.socket.close()
        await trio.lowlevel.checkpoint()

    @contextlib.contextmanager
    def _only_sender(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task is writing to this stream")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def _open_fd(self) -> int:
        fd = self.socket.fileno()
        if fd == -1:
            raise trio.ClosedResourceError
        return fd
