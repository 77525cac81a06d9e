"""Ordinary HTTP on the stream port: hypercorn's server on a connection that was accepted, and partly read, here.

hypercorn is driven by its TCPServer, which is not documented for this use. pyproject.toml therefore pins its minor
version, and tests/http/test_plain_http.py checks over a real connection everything that this module relies on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

#: A client of ordinary HTTP that accepts nothing for this long is dropped.
SEND_SECONDS: Final = 5.0

ASGIApp = Callable[..., Awaitable[None]]


class PeekedStream(trio.abc.Stream):
    """A stream whose first bytes were read already; they are returned again before others."""

    def __init__(self, base: trio.abc.Stream, peeked: bytes) -> None:
        self._base = base
        self._peeked = peeked
        transport = base.transport_stream if isinstance(base, trio.SSLStream) else base
        self.socket = getattr(transport, "socket", None)  # hypercorn asks it for both addresses

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The peeked bytes, then the stream's."""
        if self._peeked:
            data, self._peeked = self._peeked, b""
            return data
        return bytes(await self._base.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write to the connection, within `SEND_SECONDS`: hypercorn shields its sends and sets no deadline."""
        with trio.move_on_after(SEND_SECONDS) as patience:
            await self._base.send_all(data)
        if patience.cancelled_caught:
            raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        await self._base.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send an end of stream, if the connection supports it."""
        if isinstance(self._base, trio.abc.HalfCloseableStream):
            await self._base.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._base.aclose()


class PlainHttp:
    """Serves one ASGI app over connections that are passed to it; ``hidden`` paths get a 404."""

    def __init__(self, app: ASGIApp, *, hidden: Collection[str] = ()) -> None:
        self._app = ASGIWrapper(_no_early_disconnect(_hide(app, frozenset(hidden)) if hidden else app))
        self._config = Config()
        # A proxy in front that reuses a connection would send the upgrade as its second request, which is not inspected here.
        self._config.keep_alive_max_requests = 1
        self._config.accesslog = None
        self._config.include_server_header = False

    async def serve(self, stream: trio.abc.Stream, peeked: bytes) -> None:
        """Answer one request, then close. ``peeked`` is what was read from the stream so far."""
        context = WorkerContext(None)
        peekable: Any = PeekedStream(stream, peeked)
        await TCPServer(self._app, self._config, context, {}, peekable)


def _hide(app: ASGIApp, paths: frozenset[str]) -> ASGIApp:
    async def hiding(scope: Any, receive: Any, send: Any) -> None:
        if "/" + scope.get("path", "").lstrip("/") in paths:  # werkzeug reads //status like /status
            scope = {**scope, "path": "/-", "raw_path": b"/-"}  # a path that the app does not know either
        await app(scope, receive, send)

    return hiding


def _no_early_disconnect(app: ASGIApp) -> ASGIApp:
    """Withhold ``http.disconnect`` until the last body message was sent.

    hypercorn sends the app the disconnect inside the app's own last send; quart-trio then cancels itself in the
    middle of it, and the connection is never closed.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        done = False

        async def patient_receive() -> Any:
            message = await receive()
            if done and message["type"] == "http.disconnect":
                await trio.sleep_forever()
            return message

        async def watched_send(message: Any) -> None:
            nonlocal done
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                done = True
            await send(message)

        await app(scope, patient_receive, watched_send)

    return wrapped
