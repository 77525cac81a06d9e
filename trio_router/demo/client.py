"""A WebSocket client connection with deadlines for the handshake and the close. It leaves no socket open."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream  # noqa: TID251  # the demo's ends are not the data path

from trio_router.demo.wire import MESSAGE_QUEUE, RECEIVE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# A replica's media comes in frames of 64 KiB, but nothing stops another one from sending a segment in a single frame.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@asynccontextmanager
async def open_session(
    url: str, *, connect_timeout: float = 10.0, close_timeout: float = 5.0
) -> AsyncIterator[WebSocketConnection]:
    """Connect to `ws://host:port/path`. Leaving the block closes with 1000 and then drops the TCP connection.

    Raises OSError, trio_websocket.HandshakeError or trio.TooSlowError, possibly in an exception group, when
    no WebSocket answers at the address within `connect_timeout` seconds. trio-websocket's own
    `open_websocket_url` leaves the socket open when the peer drops TCP without a close frame, which is how a
    FastVideo session ends.
    """
    parts = urlsplit(url)
    if parts.scheme != "ws" or parts.hostname is None:
        raise ValueError(f"not a ws:// address: {url!r}")
    with trio.fail_after(connect_timeout):
        stream = await trio.open_tcp_stream(parts.hostname, parts.port or 80)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(connect_timeout):
                socket = await _upgrade(nursery, stream, parts.netloc, _resource(parts.path, parts.query))
            yield socket
            with trio.move_on_after(close_timeout):
                await socket.aclose()
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def _upgrade(nursery: trio.Nursery, stream: trio.SocketStream, host: str, resource: str) -> WebSocketConnection:
    return await wrap_client_stream(
        nursery,
        stream,
        host,
        resource,
        message_queue_size=MESSAGE_QUEUE,
        max_message_size=_MAX_MESSAGE_BYTES,
        receive_buffer_size=RECEIVE_BYTES,
    )


def _resource(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")
