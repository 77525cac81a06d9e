"""Plain trio-websocket: whole messages on both legs, two pumps in a nursery.

Its message limits are raised to 64 MiB, which is the only setting that is not a default. `python -m
bench.peers.trio_ws PORT REPLICA_PORT` is the router.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from bench.peers.base import REPOSITORY, Launch, Peer, package_versions

if TYPE_CHECKING:
    from pathlib import Path

    import trio
    from trio_websocket import WebSocketConnection, WebSocketRequest

_MESSAGE_BYTES = 64 * 1024 * 1024


async def _pump(source: WebSocketConnection, sink: WebSocketConnection, scope: trio.CancelScope) -> None:
    from trio_websocket import ConnectionClosed

    try:
        while True:
            await sink.send_message(await source.get_message())
    except ConnectionClosed:
        scope.cancel()


async def _relay(replica_url: str, request: WebSocketRequest) -> None:
    import trio
    from trio_websocket import open_websocket_url

    client = await request.accept()
    async with open_websocket_url(replica_url, max_message_size=_MESSAGE_BYTES) as replica:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, client, replica, nursery.cancel_scope)
            nursery.start_soon(_pump, replica, client, nursery.cancel_scope)
        with trio.move_on_after(1):
            await client.aclose()


async def serve(port: int, replica_port: int) -> None:
    """Serve until killed."""
    import trio
    from trio_websocket import WebSocketServer

    relay = partial(_relay, f"ws://127.0.0.1:{replica_port}/v1/stream")
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=4096)
    await WebSocketServer(relay, listeners, max_message_size=_MESSAGE_BYTES).run()


def version() -> str:
    return package_versions("trio", "trio-websocket")


def prepare(workdir: Path, port: int, replica_port: int) -> Launch:
    argv = [sys.executable, "-m", "bench.peers.trio_ws", str(port), str(replica_port)]
    return Launch(argv, ready_path=None, env={"PYTHONPATH": str(REPOSITORY)})


PEER = Peer("trio_ws", "trio-websocket", version, prepare, "#8c564b")


def main() -> None:
    import trio

    trio.run(serve, int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
