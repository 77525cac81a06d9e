"""Dial a replica and shake hands. Above this file nobody knows `OSError`: what goes wrong here is a `DialError`."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio

from .core.config import ReplicaEndpoint, RouterConfig
from .core.errors import DialError
from .core.head import Headers
from .core.outcome import Side
from .handshake import ask_replica
from .leg import Leg, SocketLeg, StreamLeg
from .poller import Poller


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a client asked for, as it is passed on to a replica."""

    target: str
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()


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
        self._tls: ssl.SSLContext | None = None

    async def dial(self, endpoint: ReplicaEndpoint, upgrade: Upgrade) -> Dialled:
        """Connect, TLS for https, and upgrade; within ``timeouts.connect_seconds`` in all.

        Raises:
            DialError: with words for operators.
        """
        parts = urlsplit(endpoint.base)
        stream: trio.abc.Stream | None = None
        limit = self._config.timeouts.connect_seconds
        try:
            with trio.fail_after(limit):
                stream = await self._connect(parts.hostname or "", parts.port, secure=parts.scheme == "https")
                early, subprotocol, headers = await ask_replica(
                    stream,
                    host=parts.netloc,
                    target=upgrade.target,
                    subprotocols=list(upgrade.subprotocols),
                    headers=list(upgrade.headers),
                    limit=self._config.limits.header_bytes,
                )
            leg = plain_leg(stream, Side.REPLICA, self._poller, early)
            stream = None
            return Dialled(leg, subprotocol, headers)
        except trio.TooSlowError:
            raise DialError(f"no answer within {limit:g} s") from None
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)

    async def _connect(self, host: str, port: int | None, *, secure: bool) -> trio.abc.Stream:
        try:
            stream = await trio.open_tcp_stream(host, port or (443 if secure else 80))
            if not secure:
                return stream
            wrapped = trio.SSLStream(stream, self._context(), server_hostname=host, https_compatible=True)
            try:
                await wrapped.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return wrapped
        except (OSError, trio.BrokenResourceError) as exc:
            raise DialError(f"cannot connect: {exc.__cause__ or exc}") from None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = replica_tls(self._config)
        return self._tls


def replica_tls(config: RouterConfig) -> ssl.SSLContext:
    """What https replicas are checked against; HTTP/1.1 only, because WebSocket over HTTP/2 is another handshake."""
    context = ssl.create_default_context(cafile=config.tls.replica_ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def plain_leg(stream: trio.abc.Stream, side: Side, poller: Poller, early: bytes) -> Leg:
    """The leg for a connection whose handshake is done: without Trio's stream around it where there is no TLS."""
    if isinstance(stream, trio.SocketStream):
        sock = stream.socket
        family, kind, proto = sock.family, sock.type, sock.proto
        raw = socket.socket(family, kind, proto, fileno=sock.detach())
        raw.setblocking(False)
        return SocketLeg(raw, side, poller, early=early)
    return StreamLeg(stream, side, early=early)
