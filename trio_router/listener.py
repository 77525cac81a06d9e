"""Where connections come in: one port, told apart by their first request.

A correct upgrade on a stream path becomes a session in the sessions' nursery. A wrong one is answered here, before
anything else is done for it (400, 414, 426, 431), and so is one on an unknown path (404) or during a drain (503).
Everything else is ordinary HTTP.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Final

import structlog
import trio

from .acceptor import accept, listen
from .core.errors import HeadTooLarge
from .core.head import parse_head, without_upgrade
from .core.upgrade_request import BadRequest, upgrade_problem
from .handshake import HeadStream, reject_client
from .leg import RawStream, bare_socket
from .plainhttp import PlainHttp
from .services import Services
from .session import Arrival, Session
from .tls import client_tls

log = structlog.get_logger("trio_router.listener")

#: For one ordinary HTTP request and its answer; and for those that are under way when a drain begins.
HTTP_SECONDS: Final = 60.0
LAST_REQUEST_SECONDS: Final = 2.0
#: Time limit for writing a refusal.
REFUSAL_SECONDS: Final = 1.0


class Listener:
    """Accepts on the stream port. ``draining()`` says that no new session may begin."""

    def __init__(
        self, services: Services, http: PlainHttp, sessions: trio.Nursery, *, draining: Callable[[], bool]
    ) -> None:
        self._services = services
        self._http = http
        self._sessions = sessions
        self._draining = draining
        self._greetings: set[trio.CancelScope] = set()
        self._requests: set[trio.CancelScope] = set()
        self._streams = {stream.path: stream for stream in services.config.streams}
        self._tls = client_tls(services.config)
        self._scheme = "https" if self._tls else "http"

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; ``started`` with the port, once it is really listening.

        Raises:
            StartError: the address cannot be listened on.
        """
        config = self._services.config
        listeners = await listen(config.host, config.port)
        port: int = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            welcome = functools.partial(self._accepted, listeners=nursery)
            for listener in listeners:
                listening = bare_socket(listener.socket)
                nursery.start_soon(accept, listening, self._services.poller, welcome, name="listener")
            task_status.started(port)

    def _accepted(self, sock: socket.socket, client: str, listeners: trio.Nursery) -> None:
        """Unlike in `trio.serve_listeners` the connection is not closed when its handler returns: a session takes it along."""
        stream = RawStream(sock, self._services.poller)
        # What comes during a drain is no session, and must not hold up the end of the others.
        nursery = listeners if self._draining() else self._sessions
        nursery.start_soon(self._welcome, stream, client, name="connection")

    async def serve_http(self, http: PlainHttp, host: str, port: int, *, task_status: trio.TaskStatus[int]) -> None:
        """A port with ordinary HTTP only (``status_port``)."""

        async def serve(stream: trio.SocketStream) -> None:
            try:
                await self._serve_http(http, stream, b"")
            except Exception:
                log.exception("connection crashed")

        await trio.serve_listeners(serve, await listen(host, port), task_status=_first_port(task_status))

    async def _welcome(self, stream: RawStream, client: str) -> None:
        """One connection: its first request says what it is. A session lives on in this task."""
        session = None
        try:
            session = await self._meet(stream, client)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as exc:  # the client's own doing
            log.debug("connection lost before its request", error=str(exc.__cause__ or exc))
        except Exception:  # a bug of ours; the listener and all sessions live on
            log.exception("connection crashed")
        finally:
            if session is None:
                await trio.aclose_forcefully(stream)
        if session is not None:
            await session.run()

    async def _meet(self, raw: RawStream, client: str) -> Session | None:
        """Answer whatever is no session. Returns the session, which owns the connection, if it is one."""
        stream: trio.abc.Stream = raw
        head: HeadStream | None = None
        with trio.move_on_after(self._services.config.timeouts.handshake_seconds) as greeting:
            self._greetings.add(greeting)
            try:
                if self._tls is not None:
                    stream = trio.SSLStream(raw, self._tls, server_side=True, https_compatible=True)
                    await stream.do_handshake()
                head = HeadStream(stream, limit=self._services.config.limits.header_bytes)
                await head.read_head()
            except HeadTooLarge as exc:
                await _refuse(stream, BadRequest(431, str(exc)))
            finally:
                self._greetings.discard(greeting)
        if head is None or not head.head:
            return None
        request = parse_head(head.head)
        if request is None:
            await _refuse(stream, BadRequest(400, "this is not the head of a correct HTTP/1.1 request"))
        elif not request.wants_websocket:
            await self._serve_http(self._http, stream, without_upgrade(head.head) + head.early)
        elif (problem := upgrade_problem(request)) is not None:
            await _refuse(stream, problem)
        else:
            return await self._begin(Arrival(stream, head, request, client, self._scheme))
        return None

    async def _serve_http(self, http: PlainHttp, stream: trio.abc.Stream, peeked: bytes) -> None:
        """One request, within a bounded time: nobody's slow download may hold up the end of the router."""
        with trio.move_on_after(HTTP_SECONDS) as patience:
            self._requests.add(patience)
            try:
                await http.serve(stream, peeked)
            finally:
                self._requests.discard(patience)

    async def _begin(self, arrival: Arrival) -> Session | None:
        """A session for a correct upgrade request, if its path is known and there is room."""
        stream = self._streams.get(arrival.request.path)
        if stream is None:
            await reject_client(arrival.head, 404, seconds=REFUSAL_SECONDS)
        elif self._full():
            await reject_client(arrival.head, 503, seconds=REFUSAL_SECONDS, headers=[(b"retry-after", b"5")])
        else:
            return Session(self._services, arrival, stream)
        return None

    def _full(self) -> bool:
        limit = self._services.config.limits.max_sessions
        return self._draining() or (limit is not None and len(self._services.book.open) >= limit)

    def dismiss(self) -> None:
        """Close the connections that have not asked for anything yet, and soon those of ordinary HTTP."""
        for greeting in list(self._greetings):
            greeting.cancel()
        for request in self._requests:
            request.deadline = min(request.deadline, trio.current_time() + LAST_REQUEST_SECONDS)


async def _refuse(stream: trio.abc.Stream, problem: BadRequest) -> None:
    """Answer a request that neither a session nor hypercorn ever sees."""
    with trio.move_on_after(REFUSAL_SECONDS):
        await stream.send_all(problem.answer())


def _first_port(task_status: trio.TaskStatus[int]) -> trio.TaskStatus[list[trio.SocketListener]]:
    class First:
        def started(self, listeners: list[trio.SocketListener]) -> None:
            task_status.started(listeners[0].socket.getsockname()[1])

    return First()  # type: ignore[return-value]
