"""The seed's design, written by us from its description: asyncio, uvicorn towards clients, `websockets` towards
the replica, two pump tasks, all with the libraries' defaults.

The defaults are the point: uvicorn negotiates permessage-deflate with every client that offers it, and
`websockets.connect` refuses messages above 1 MiB. No web framework stands between uvicorn and the pumps, and
uvicorn picks uvloop when it is installed; both flatter it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def _to_replica(receive: Receive, replica: ClientConnection) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        await replica.send(event["bytes"] if text is None else text)


async def _to_client(replica: ClientConnection, send: Send) -> None:
    async for message in replica:
        key = "text" if isinstance(message, str) else "bytes"
        await send({"type": "websocket.send", key: message})


async def _pump_both(replica: ClientConnection, receive: Receive, send: Send) -> None:
    """Until the first of the two ends; the other is cancelled."""
    upstream = asyncio.create_task(_to_replica(receive, replica))
    downstream = asyncio.create_task(_to_client(replica, send))
    _, pending = await asyncio.wait({upstream, downstream}, return_when=asyncio.FIRST_COMPLETED)
    for pump in pending:
        pump.cancel()
    for pump in (upstream, downstream):
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await pump


async def _relay(replica_url: str, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    async with connect(replica_url) as replica:
        await _pump_both(replica, receive, send)
    with contextlib.suppress(Exception):  # the client may have closed first
        await send({"type": "websocket.close", "code": 1000})


def build_app(replica_url: str) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """The ASGI app: every WebSocket is relayed, every HTTP request is answered with 200."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _relay(replica_url, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    return app


def main() -> None:
    port, replica_port = int(sys.argv[1]), int(sys.argv[2])
    app: Any = build_app(f"ws://127.0.0.1:{replica_port}/v1/stream")
    uvicorn.run(app, host="127.0.0.1", port=port, lifespan="off", log_level="error", access_log=False)


if __name__ == "__main__":
    main()
