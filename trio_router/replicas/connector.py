"""Dial a replica and shake hands. Above this file nobody knows `OSError`: what goes wrong here is a `DialError`."""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.errors import DialError, HeadTooLarge, own_shortage
from trio_router.core.http.head import Headers
from trio_router.core.http.head_reader import HeadReader
from trio_router.core.http.upgrade import Upgrade
from trio_router.core.session.outcome import Side
from trio_router.http.handshake import HeadStream
from trio_router.net.connection import Connection, StreamConnection, TcpConnection, bare_socket
from trio_router.net.descriptors import is_reserve
from trio_router.net.poller import Poller
from trio_router.net.timers import Timers
from trio_router.net.tls import replica_tls

_READ_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Connected:
    """A replica connection with the handshake done, and what the replica answered."""

    connection: Connection
    subprotocol: str | None
    headers: Headers


class ReplicaConnector:
    """Dials the replicas of one router. Its poller and timers must be running."""

    def __init__(self, config: RouterConfig, poller: Poller, timers: Timers) -> None:
        self._config = config
        self._poller = poller
        self._timers = timers
        self._limit = config.limits.header_bytes
        self._tls: ssl.SSLContext | None = None

    def reconfigure(self, config: RouterConfig) -> None:
        """Dial within its ``connect_seconds`` from now on."""
        self._config = config
        self._limit = config.limits.header_bytes

    async def connect(self, endpoint: ReplicaEndpoint, upgrade: Upgrade) -> Connected:
        """Connect, TLS for https, and upgrade; within ``timeouts.connect_seconds`` in all.

        Raises:
            DialError: with words for operators.
        """
        address = _address(endpoint.base)
        key = base64.b64encode(os.urandom(16))
        request = upgrade.request(address.netloc, key)
        way = self._dial_tls if address.secure else self._dial_plain
        try:
            connection, head = await way(address, request, trio.current_time() + self._config.timeouts.connect_seconds)
        except HeadTooLarge as exc:
            raise DialError(f"answered with {exc}", reached=True) from None
        except trio.TooSlowError:
            raise DialError(f"no answer within {self._config.timeouts.connect_seconds:g} s", timed_out=True) from None
        except (OSError, trio.BrokenResourceError) as exc:
            if (own := own_shortage(exc)) is not None:
                what = "memory" if own.errno in (errno.ENOMEM, errno.ENOBUFS) else "file descriptors"
                raise DialError(f"router is out of {what}: {own.strerror}", own=True) from None
            cause = exc.__cause__ or exc
            reached = isinstance(cause, ConnectionResetError | BrokenPipeError)
            text = f"cannot connect: {getattr(cause, 'strerror', None) or cause}"
            raise DialError(text, reached=reached) from None
        try:
            chosen, headers = upgrade.read_answer(head, key)
        except DialError:
            await connection.aclose()
            raise
        return Connected(connection, chosen, headers)

    async def _dial_plain(self, to: Address, request: bytes, by: float) -> tuple[Connection, bytes]:
        sock = await _connect(to, by)
        try:
            await _send(sock, request, by)
            answer = await self._read_head(sock, by)
        except BaseException:
            self._poller.closing(sock.fileno())
            trio.lowlevel.notify_closing(sock)
            sock.close()
            raise
        return TcpConnection(sock, Side.REPLICA, self._poller, early=answer.early), answer.head

    async def _read_head(self, sock: socket.socket, by: float) -> HeadReader:
        """Read the replica's answer up to its empty line; the reader's head is empty if the peer ends before it.

        Waits where the connection will. The timers watches the time, for a fourth of what a cancel scope costs.
        """
        reader = HeadReader(self._limit)

        def step() -> HeadReader | None:
            try:
                more = sock.recv(_READ_BYTES)
            except BlockingIOError:
                return None
            return reader if not more or reader.feed(more) is not None else None

        fd = sock.fileno()
        late = self._timers.call_at(lambda _: self._poller.wake(fd, None), at=by)
        try:
            read: HeadReader | None = await self._poller.drive(fd, step)
        finally:
            late.cancel()
        if read is None:
            raise trio.TooSlowError
        return read

    async def _dial_tls(self, to: Address, request: bytes, by: float) -> tuple[Connection, bytes]:
        if self._tls is None:
            self._tls = replica_tls(self._config)
        with trio.fail_at(by):
            raw = await trio.open_tcp_stream(to.host, to.port)
            stream = trio.SSLStream(raw, self._tls, server_hostname=to.host, https_compatible=True)
            try:
                _leave_the_reserve(raw.socket.fileno())
                await stream.send_all(request)
                answer = HeadStream(stream, limit=self._limit)
                await answer.read_head()
            except BaseException:
                await trio.aclose_forcefully(raw)
                raise
        return StreamConnection(stream, Side.REPLICA, early=answer.early), answer.head


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica is. ``family`` is None for a name, which has to be looked up at each dial."""

    host: str
    port: int
    netloc: str
    secure: bool
    family: socket.AddressFamily | None


@functools.cache
def _address(base: str) -> Address:
    parts = urlsplit(base)
    host, secure = parts.hostname or "", parts.scheme == "https"
    family = None
    with contextlib.suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    return Address(host, parts.port or (443 if secure else 80), parts.netloc, secure, family)


async def _connect(to: Address, by: float) -> socket.socket:
    """A socket that does not block, connected or about to be. Names go through Trio's happy eyeballs, addresses straight."""
    if to.family is None:
        with trio.fail_at(by):
            sock = bare_socket((await trio.open_tcp_stream(to.host, to.port)).socket)
        try:
            _leave_the_reserve(sock.fileno())
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.socket(to.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _leave_the_reserve(sock.fileno())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex((to.host, to.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _leave_the_reserve(fd: int) -> None:
    """The last descriptors are not for sessions (`files`).

    Raises:
        OSError: ``fd`` is one of them.
    """
    if is_reserve(fd):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def _send(sock: socket.socket, data: bytes, by: float) -> None:
    """All of it. The first try may find the connection not made yet; near by it is, and nothing has to be waited for."""
    with contextlib.suppress(BlockingIOError):
        data = data[sock.send(data) :]
    if data:
        with trio.fail_at(by):
            while data:
                await trio.lowlevel.wait_writable(sock)
                with contextlib.suppress(BlockingIOError):
                    data = data[sock.send(data) :]
