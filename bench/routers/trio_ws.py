"""Plain trio-websocket: whole messages on both connections, two pumps in a nursery.

Its message limits are raised to 64 MiB, which is the only setting that is not a default.
"""

from __future__ import annotations

import sys
from functools import partial

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
    open_websocket_url,
)

_MESSAGE_BYTES = 64 * 1024 * 1024


async def _pump(source: WebSocketConnection, sink: WebSocketConnection, scope: trio.CancelScope) -> None:
    try:
        while True:
            await sink.send_message(await source.get_message())
    except ConnectionClosed:
        scope.cancel()


async def _relay(replica_url: str, request: WebSocketRequest) -> None:
    client = await request.accept()
    async with open_websocket_url(replica_url, max_message_size=_MESSAGE_BYTES) as replica:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, client, replica, nursery.cancel_scope)
            nursery.start_soon(_pump, replica, client, nursery.cancel_scope)
        with trio.move_on_after(1):
            await client.aclose()


async def serve(port: int, replica_port: int) -> None:
    """Serve until killed."""
    relay = partial(_relay, f"ws://127.0.0.1:{replica_port}/v1/stream")
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=4096)
    await WebSocketServer(relay, listeners, max_message_size=_MESSAGE_BYTES).run()


def main() -> None:
    trio.run(serve, int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
