"""Dial a replica and shake hands. Above this file nobody knows `OSError`: what goes wrong here is a `DialError`."""

from __future__ import annotations

import base64
import errno
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.errors import DialError
from trio_router.core.head import Headers
from trio_router.core.outcome import Side
from trio_router.core.upgrade import Upgrade
from trio_router.handshake import END_OF_HEAD, HeadStream, HeadTooLarge
from trio_router.leg import Leg, SocketLeg, StreamLeg, bare_socket
from trio_router.poller import Poller
from trio_router.tls import replica_tls

_READ_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Dialled:
    """A replica leg behind its handshake, and what the replica answered."""

    leg: Leg
    subprotocol: str | None
    headers: Headers


class Dialler:
    """Dials the replicas of one router."""

    def __init__(self, config: RouterConfig, poller: Poller) -> None:
        self._config = config
        self._poller = poller
        self._limit = config.limits.header_bytes
        self._tls: ssl.SSLContext | None = None

    async def dial(self, endpoint: ReplicaEndpoint, upgrade: Upgrade) -> Dialled:
        """Connect, TLS for https, and upgrade; within ``timeouts.connect_seconds`` in all.

        Raises:
            DialError: with words for operators.
        """
        parts = urlsplit(endpoint.base)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        key = base64.b64encode(os.urandom(16))
        request = upgrade.request(parts.netloc, key)
        way = self._dial_tls if secure else self._dial_plain
        try:
            with trio.fail_after(self._config.timeouts.connect_seconds):
                leg, head = await way(host, port, request)
        except trio.TooSlowError:
            raise DialError(f"no answer within {self._config.timeouts.connect_seconds:g} s") from None
        except HeadTooLarge:
            raise DialError(f"answered with a head of more than {self._limit} bytes") from None
        except (OSError, trio.BrokenResourceError) as exc:
            cause = exc.__cause__ or exc
            raise DialError(f"cannot connect: {getattr(cause, 'strerror', None) or cause}") from None
        try:
            chosen, headers = upgrade.read_answer(head, key)
        except DialError:
            await leg.aclose()
            raise
        return Dialled(leg, chosen, headers)

    async def _dial_plain(self, host: str, port: int, request: bytes) -> tuple[Leg, bytes]:
        sock = await _connect(host, port)
        try:
            sent = sock.send(request)
            while sent < len(request):
                await trio.lowlevel.wait_writable(sock)
                sent += sock.send(request[sent:])
            data = b""
            while (end := data.find(END_OF_HEAD)) < 0:
                if len(data) > self._limit:
                    raise HeadTooLarge
                await trio.lowlevel.wait_readable(sock)
                more = sock.recv(_READ_BYTES)
                if not more:
                    data = b""
                    break
                data += more
        except BaseException:
            trio.lowlevel.notify_closing(sock)
            sock.close()
            raise
        end += len(END_OF_HEAD)
        return SocketLeg(sock, Side.REPLICA, self._poller, early=data[end:]), data[:end]

    async def _dial_tls(self, host: str, port: int, request: bytes) -> tuple[Leg, bytes]:
        if self._tls is None:
            self._tls = replica_tls(self._config)
        raw = await trio.open_tcp_stream(host, port)
        stream = trio.SSLStream(raw, self._tls, server_hostname=host, https_compatible=True)
        try:
            await stream.send_all(request)
            answer = HeadStream(stream, limit=self._limit)
            await answer.read_head()
        except BaseException:
            await trio.aclose_forcefully(raw)
            raise
        return StreamLeg(stream, Side.REPLICA, early=answer.early), answer.head


async def _connect(host: str, port: int) -> socket.socket:
    """A connected socket that does not block. Names go through Trio's happy eyeballs, addresses straight."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return bare_socket(await trio.open_tcp_stream(host, port))
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        trio.lowlevel.notify_closing(sock)
        sock.close()
        raise
    return sock
