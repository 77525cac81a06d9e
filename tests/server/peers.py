"""Both ends of a session by the `websockets` library, driven from the test: each call runs in a thread.

A replica's handler only hands its connection to the test, so a test reads as one line of events on both ends.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import trio
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.sync.server import ServerConnection, serve

T = TypeVar("T")

#: Far above what any step needs: it turns a hang into a failure.
BOUND_SECONDS = 20.0
Closed = tuple[int, str]  # code and reason; 1005 is an empty close frame, 1006 none at all
Answer = Callable[[ServerConnection, Request], Response | None]


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run it without blocking Trio; a cancelled test does not wait for it."""
    return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


class Peer:
    """One end of a WebSocket connection."""

    def __init__(self, socket_: Connection) -> None:
        self.ws = socket_

    async def send(self, message: str | bytes | Iterable[bytes]) -> None:
        """Send a message; an iterable's items are its fragments."""
        await in_thread(self.ws.send, message)

    async def recv(self) -> str | bytes:
        return await in_thread(self.ws.recv, BOUND_SECONDS)

    async def fragments(self) -> list[str | bytes]:
        """One message as it was cut into frames."""
        return await in_thread(lambda: list(self.ws.recv_streaming()))

    async def ping(self, payload: bytes) -> None:
        """Send a ping and wait for its pong."""
        answered = await in_thread(self.ws.ping, payload)
        assert await in_thread(answered.wait, BOUND_SECONDS), "no pong"

    async def close(self, code: int, reason: str = "") -> Closed:
        """Close, and return what the other end answered."""
        await in_thread(self.ws.close, code, reason)
        return self.heard

    async def close_empty(self) -> Closed:
        """Close without a code."""

        def send_close() -> None:
            with contextlib.suppress(ConnectionClosed), self.ws.send_context():
                self.ws.protocol.send_close()

        await in_thread(send_close)
        return self.heard

    async def ended(self) -> Closed:
        """Read to the end; the close frame that came."""
        return (await self.rest())[1]

    async def rest(self) -> tuple[list[str | bytes], Closed]:
        """Everything that still comes, and the close frame behind it."""
        messages = []
        try:
            while True:
                messages.append(await self.recv())
        except ConnectionClosed:
            return messages, self.heard

    @property
    def heard(self) -> Closed:
        """The close frame that came from the other end."""
        found = self.ws.protocol.close_rcvd
        return (int(found.code), found.reason) if found else (1006, "")

    def vanish(self, *, reset: bool) -> None:
        """Leave without a close frame: by RST, or by a plain FIN."""
        if reset:
            self.ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ws.close_socket()


@contextlib.asynccontextmanager
async def viewer(
    port: int | None, path: str = "/v1/stream", *, scheme: str = "ws", **options: Any
) -> AsyncIterator[Peer]:
    """A client of the router on ``port``; without compression unless ``options`` ask for it."""
    options = {"compression": None, "max_size": None, "proxy": None, "ping_interval": None} | options
    url = f"{scheme}://127.0.0.1:{port}{path}"
    ws = await trio.to_thread.run_sync(lambda: connect(url, **options).__enter__())
    try:
        yield Peer(ws)
    finally:
        ws.close_socket()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(ws.recv_events_thread.join)


class Replica:
    """A replica: a server on a port of its own. `accepted` gives its connections in order."""

    def __init__(self, url: str, arrivals: trio.MemoryReceiveChannel[Peer]) -> None:
        self.url = url
        self._arrivals = arrivals

    async def accepted(self) -> Peer:
        return await self._arrivals.receive()

    @property
    def waiting(self) -> int:
        """Connections that nobody has looked at."""
        return self._arrivals.statistics().current_buffer_used


@contextlib.asynccontextmanager
async def replica(
    *, answer: Answer | None = None, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Replica]:
    """A running replica. ``answer`` may answer an upgrade request with something else than 101."""
    send, receive = trio.open_memory_channel[Peer](100)
    over = threading.Event()  # for the library's own threads

    def handler(ws: ServerConnection) -> None:
        trio.from_thread.run_sync(send.send_nowait, Peer(ws), trio_token=token)
        over.wait()

    def request(ws: ServerConnection, request: Request) -> Response | None:
        if request.path in ("/health", "/readyz"):
            return ws.respond(200 if request.path == "/health" else 404, "health\n")
        return answer(ws, request) if answer else None

    token = trio.lowlevel.current_trio_token()
    options = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 1} | options
    server = serve(handler, "127.0.0.1", 0, process_request=request, ssl=tls, **options)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    scheme = "http" if tls is None else "https"
    try:
        yield Replica(f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}", receive)
    finally:
        over.set()
        for ws in server.connections:
            ws.close_socket()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.shutdown)
            await trio.to_thread.run_sync(thread.join)
