"""Where connections come in: one port, classified by their first request.

A correct upgrade on a stream path becomes a session in the sessions' nursery. A wrong one is answered here, before
anything else is done for it (400, 414, 426, 431), and so is one on an unknown path (404), during a drain (503), or whom
the embedder's access check denies (401, 403, 429).
Everything else is ordinary HTTP.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from trio_router.core.errors import HeadTooLarge
from trio_router.core.events import Refusal
from trio_router.core.http.connection_limits import ConnectionLimits
from trio_router.core.http.head import parse_head, without_upgrade
from trio_router.core.http.upgrade_request import BadRequest, upgrade_problem
from trio_router.http.access import AccessDenied, Authorize, ask
from trio_router.http.handshake import HeadStream, reject_client
from trio_router.http.plain_http import PlainHttp
from trio_router.net.acceptor import accept, listen
from trio_router.net.connection import RawStream, bare_socket
from trio_router.net.descriptors import is_reserve
from trio_router.net.tls import client_tls
from trio_router.operations.logging import get_logger
from trio_router.session.context import Services
from trio_router.session.session import Arrival, Session

log = get_logger("trio_router.server.listener")

#: Time limit of one ordinary HTTP request and its answer; also for those in progress when a drain begins.
HTTP_SECONDS: Final = 60.0
LAST_REQUEST_SECONDS: Final = 2.0
#: Time limit of a request and its answer on one of the last descriptors.
SCARCE_SECONDS: Final = 2.0
#: Time limit for writing a refusal.
REFUSAL_SECONDS: Final = 1.0
_CLOSED: Final = b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One port: what is served on it, and its connection limits. ``streams``: sessions are accepted too."""

    http: PlainHttp
    limits: ConnectionLimits
    tls: ssl.SSLContext | None = None
    streams: bool = False


@dataclass(frozen=True, slots=True)
class _Caller:
    """The peer of a connection. ``scarce``: it is on one of the last descriptors."""

    client: str
    scarce: bool
    port: int = 0


class Listener:
    """Accepts on the stream port. ``draining()`` returns whether new sessions are refused; ``authorize`` checks access."""

    def __init__(
        self,
        services: Services,
        http: PlainHttp,
        sessions: trio.Nursery,
        *,
        draining: Callable[[], bool],
        authorize: Authorize | None = None,
    ) -> None:
        self._services = services
        self._sessions = sessions
        self._draining = draining
        self._authorize = authorize
        self._handshakes: set[trio.CancelScope] = set()
        self._requests: set[trio.CancelScope] = set()
        self._paths = {stream.path: stream for stream in services.config.streams}
        self._stream_door = _Endpoint(http, self._connection_limits(), client_tls(services.config), streams=True)
        self._scheme = "https" if self._stream_door.tls else "http"

    def _connection_limits(self) -> ConnectionLimits:
        limits = self._services.config.limits
        return ConnectionLimits(limits.connections_without_session, limits.connections_without_session_per_address)

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; ``started`` with the port, once it is really listening.

        Raises:
            StartError: the address cannot be listened on.
        """
        config = self._services.config
        await self._listen(self._stream_door, config.host, config.port, task_status)

    async def serve_http(self, http: PlainHttp, host: str, port: int, *, task_status: trio.TaskStatus[int]) -> None:
        """A port with ordinary HTTP only (``status_port``). Its connection limits are separate from the stream port's."""
        await self._listen(_Endpoint(http, self._connection_limits()), host, port, task_status)

    async def _listen(self, endpoint: _Endpoint, host: str, port: int, task_status: trio.TaskStatus[int]) -> None:
        listeners = await listen(host, port)
        bound: int = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            welcome = functools.partial(self._accepted, endpoint=endpoint, listeners=nursery)
            for listener in listeners:
                listening = bare_socket(listener.socket)
                nursery.start_soon(accept, listening, self._services.poller, welcome, name="listener")
            task_status.started(bound)

    def _accepted(
        self, sock: socket.socket, client: str, port: int, endpoint: _Endpoint, listeners: trio.Nursery
    ) -> None:
        """Start a task for it. Unlike `trio.serve_listeners` it leaves the connection open at its end: a session may own it."""
        caller = _Caller(client, is_reserve(sock.fileno()), port)
        reason = endpoint.limits.enter(client, scarce=caller.scarce)
        if reason is not None:
            self._turn_away(sock, caller, reason, says=endpoint.tls is None)
            return
        stream = RawStream(sock, self._services.poller)
        # A connection during a drain is no session, and must not delay the end of the others.
        nursery = self._sessions if endpoint.streams and not self._draining() else listeners
        nursery.start_soon(self._handle_connection, stream, caller, endpoint, name="connection")

    def _turn_away(self, sock: socket.socket, caller: _Caller, reason: str, *, says: bool) -> None:
        """Close it without reading its request; ``says``: send a 503 first."""
        with sock:
            try:
                if says:
                    sock.send(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5" + _CLOSED)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                says = False
        self._refuse(caller, reason, 503 if says else None)

    async def _handle_connection(self, stream: RawStream, caller: _Caller, endpoint: _Endpoint) -> None:
        """Serve one connection, which its first request classifies. A session runs in this task."""
        session = None
        try:
            session = await self._classify(stream, caller, endpoint)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as exc:  # the client's own doing
            log.debug("connection lost before its request", error=str(exc.__cause__ or exc))
        except Exception:  # a bug of ours; the listener and all sessions live on
            log.exception("connection crashed")
        finally:
            endpoint.limits.leave(caller.client)
            if session is None:
                await trio.aclose_forcefully(stream)
        if session is not None:
            await session.run()

    async def _classify(self, raw: RawStream, caller: _Caller, endpoint: _Endpoint) -> Session | None:
        """Answer everything that is not a session. Returns the session, which then owns the connection, or None."""
        stream: trio.abc.Stream = raw
        head: HeadStream | None = None
        seconds = self._services.config.timeouts.handshake_seconds
        with trio.move_on_after(min(seconds, SCARCE_SECONDS) if caller.scarce else seconds) as handshake:
            self._handshakes.add(handshake)
            try:
                if endpoint.tls is not None:
                    stream = trio.SSLStream(raw, endpoint.tls, server_side=True, https_compatible=True)
                    await self._shake_tls(stream, caller)
                head = HeadStream(stream, limit=self._services.config.limits.header_bytes)
                await head.read_head()
            except HeadTooLarge as exc:
                self._refuse(caller, "head_too_large", 431)
                await _refuse(stream, BadRequest(431, str(exc)))
            finally:
                self._handshakes.discard(handshake)
        if handshake.cancelled_caught and not self._draining():
            self._refuse(caller, "no_request_in_time")
        if head is None or not head.head:
            return None
        request = parse_head(head.head)
        if request is None:
            self._refuse(caller, "bad_request", 400)
            await _refuse(stream, BadRequest(400, "this is not the head of a correct HTTP/1.1 request"))
        elif not request.wants_websocket or not endpoint.streams:
            await self._serve_http(endpoint.http, stream, without_upgrade(head.head) + head.early, scarce=caller.scarce)
        elif (problem := upgrade_problem(request)) is not None:
            self._refuse(caller, "bad_request", problem.status, request.path, problem.text)
            await _refuse(stream, problem)
        else:
            return await self._begin(Arrival(stream, head, request, caller.client, self._scheme, caller.port), caller)
        return None

    async def _shake_tls(self, stream: trio.SSLStream[RawStream], caller: _Caller) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as exc:
            cause = exc.__cause__
            # An end of stream is a load balancer that looks whether the port is open.
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
                self._refuse(caller, "tls_failed", detail=cause.reason or str(cause))
            raise

    async def _serve_http(
        self, http: PlainHttp, stream: trio.abc.Stream, peeked: bytes, *, scarce: bool = False
    ) -> None:
        """Serve one request within a time limit: a slow download must not delay the end of the router."""
        with trio.move_on_after(SCARCE_SECONDS if scarce else HTTP_SECONDS) as patience:
            self._requests.add(patience)
            try:
                await http.serve(stream, peeked)
            finally:
                self._requests.discard(patience)

    async def _begin(self, arrival: Arrival, caller: _Caller) -> Session | None:
        path = arrival.request.path
        stream = self._paths.get(path)
        if stream is None:
            self._refuse(caller, "unknown_path", 404, path)
            await reject_client(arrival.head, 404, seconds=REFUSAL_SECONDS)
        elif (denied := self._full(caller) or await self._deny(arrival, caller)) is not None:
            self._refuse(caller, denied.reason, denied.status, path)
            await reject_client(arrival.head, denied.status, seconds=REFUSAL_SECONDS, headers=denied.fields)
        else:
            return Session(self._services, arrival, stream)
        return None

    async def _deny(self, arrival: Arrival, caller: _Caller) -> AccessDenied | None:
        """What the embedder's access check says, if there is one. While it thought, the router may have become full."""
        if self._authorize is None:
            return None
        seconds = self._services.config.timeouts.handshake_seconds
        request = arrival.request
        denied = await ask(self._authorize, request, client=arrival.client, scheme=arrival.scheme, seconds=seconds)
        return denied or self._full(caller)

    def _full(self, caller: _Caller) -> AccessDenied | None:
        """Why no session may begin now, if so."""
        limit = self._services.config.limits.max_sessions
        if self._draining():
            return _full("draining")
        if limit is not None and len(self._services.session_table.open) >= limit:
            return _full("max_sessions")
        return _full("out_of_file_descriptors") if caller.scarce else None

    def _refuse(
        self, caller: _Caller, reason: str, status: int | None = None, path: str | None = None, detail: str = ""
    ) -> None:
        self._services.events.refused(Refusal(reason, caller.client, status, path, detail))

    def close_idle(self) -> None:
        """Close connections that have sent no request yet, and soon those of ordinary HTTP."""
        for handshake in list(self._handshakes):
            handshake.cancel()
        for request in self._requests:
            request.deadline = min(request.deadline, trio.current_time() + LAST_REQUEST_SECONDS)


def _full(reason: str) -> AccessDenied:
    return AccessDenied(503, reason, (("Retry-After", "5"),))


async def _refuse(stream: trio.abc.Stream, problem: BadRequest) -> None:
    """Answer a request that neither a session nor hypercorn handles."""
    with trio.move_on_after(REFUSAL_SECONDS):
        await stream.send_all(problem.answer())
