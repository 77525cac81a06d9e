"""Where connections come in: one port, told apart by their first request.

An upgrade on a stream path becomes a session in the sessions' nursery; everything else is ordinary HTTP, also an
upgrade on a path that nobody knows (404) and one that comes during a drain (503).
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from typing import Final

import structlog
import trio

from .core.config import RouterConfig, StreamConfig
from .core.head import RequestHead, parse_head
from .handshake import HeadStream, HeadTooLarge, answer_client
from .plainhttp import PlainHttp
from .services import Services
from .session import Arrival, Session

log = structlog.get_logger("trio_router.listener")

#: Connections that the kernel completes before they are accepted; a burst of reconnects after a restart needs room.
BACKLOG: Final = 4096
OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts on the stream port. ``draining()`` says that no new session may begin."""

    def __init__(
        self, services: Services, http: PlainHttp, sessions: trio.Nursery, *, draining: Callable[[], bool]
    ) -> None:
        self._services = services
        self._http = http
        self._sessions = sessions
        self._draining = draining
        self._streams = {stream.path: stream for stream in services.config.streams}
        self._tls = client_tls(services.config)
        self._scheme = "https" if self._tls else "http"

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; ``started`` with the port, once it is really listening.

        Raises:
            OSError: the address cannot be listened on.
        """
        config = self._services.config
        listeners = await trio.open_tcp_listeners(config.port, host=config.host, backlog=BACKLOG)
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery, name="listener")
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Like `trio.serve_listeners`, which closes a connection when its handler returns: a session takes it along."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as exc:
                    if exc.errno not in OUT_OF_FILES:
                        raise
                    log.error("cannot accept", error=exc.strerror, hint="raise ulimit -n")
                    await trio.sleep(0.1)
                else:
                    nursery.start_soon(self._welcome, stream, name="request")

    async def serve_http(self, host: str, port: int, *, task_status: trio.TaskStatus[int]) -> None:
        """A port with ordinary HTTP only (``status_port``)."""
        await trio.serve_tcp(
            lambda stream: self._http.serve(stream, b""),
            port,
            host=host,
            task_status=_first_port(task_status),
        )

    async def _welcome(self, stream: trio.SocketStream) -> None:
        """One connection, as far as its first request. What goes wrong in here is the client's own doing."""
        connection: trio.abc.Stream | None = stream
        try:
            connection = await self._meet(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError) as exc:
            log.debug("connection lost before its request", error=str(exc.__cause__ or exc))
        finally:
            if connection is not None:
                await trio.aclose_forcefully(connection)

    async def _meet(self, raw: trio.SocketStream) -> trio.abc.Stream | None:
        """Read the request and pass the connection on. Returns what is left to be closed, if anything."""
        stream: trio.abc.Stream = raw
        client = raw.socket.getpeername()[0]
        head: HeadStream | None = None
        request: RequestHead | None = None
        too_large = False
        with trio.move_on_after(self._services.config.timeouts.handshake_seconds):
            if self._tls is not None:
                stream = trio.SSLStream(raw, self._tls, server_side=True, https_compatible=True)
                await stream.do_handshake()
            head = HeadStream(stream, limit=self._services.config.limits.header_bytes)
            try:
                request = parse_head(await head.read_head())
            except HeadTooLarge:
                too_large = True
        if too_large:
            await _say(stream, b"431 Request Header Fields Too Large")
        elif head is not None and head.head:
            return await self._direct(Arrival(stream, head, request, client, self._scheme) if request else None, stream)
        return stream

    async def _direct(self, arrival: Arrival | None, stream: trio.abc.Stream) -> trio.abc.Stream | None:
        if arrival is None:
            await _say(stream, b"400 Bad Request")
            return stream
        config = self._streams.get(arrival.request.path) if arrival.request.wants_websocket else None
        if not arrival.request.wants_websocket:
            await self._http.serve(stream, arrival.head.head + arrival.head.early)
            return stream
        if config is None:
            await answer_client(arrival.head, reject=404)
        elif self._full():
            await answer_client(arrival.head, reject=503, headers=[(b"retry-after", b"5")])
        else:
            self._begin(arrival, config)
            return None
        return stream

    def _full(self) -> bool:
        limit = self._services.config.limits.max_sessions
        return self._draining() or (limit is not None and len(self._services.book.open) >= limit)

    def _begin(self, arrival: Arrival, stream: StreamConfig) -> None:
        session = Session(self._services, arrival, stream)
        self._sessions.start_soon(session.run, name=f"session {session.id}")


async def _say(stream: trio.abc.Stream, status: bytes) -> None:
    """The answer to bytes that hypercorn never sees."""
    with trio.move_on_after(1):
        await stream.send_all(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


def _first_port(task_status: trio.TaskStatus[int]) -> trio.TaskStatus[list[trio.SocketListener]]:
    class First:
        def started(self, listeners: list[trio.SocketListener]) -> None:
            task_status.started(listeners[0].socket.getsockname()[1])

    return First()  # type: ignore[return-value]


def client_tls(config: RouterConfig) -> ssl.SSLContext | None:
    """The server side's TLS, or None. Offers HTTP/1.1 only: WebSocket over HTTP/2 is another handshake.

    Raises:
        OSError: a file cannot be read, or is no certificate or key (ssl.SSLError).
    """
    if config.tls.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.tls.certificate, config.tls.key)
    context.set_alpn_protocols(["http/1.1"])
    return context
