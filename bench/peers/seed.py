"""The seed's design, written by us from its description: asyncio, uvicorn towards clients, `websockets`
towards the replica, two pump tasks, all with the libraries' defaults.

The defaults are the point: uvicorn negotiates permessage-deflate with every client that offers it, and
`websockets.connect` refuses messages above 1 MiB. No web framework is between uvicorn and the pumps, and
uvicorn picks uvloop when it is installed; both flatter it. `python -m bench.peers.seed PORT REPLICA_PORT`
is the router.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from bench.peers.base import REPOSITORY, Launch, Peer, package_versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

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


async def _relay(replica_url: str, receive: Receive, send: Send) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    await receive()
    await send({"type": "websocket.accept"})
    async with connect(replica_url) as replica:
        pumps = {
            asyncio.create_task(_to_replica(receive, replica)),
            asyncio.create_task(_to_client(replica, send)),
        }
        _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pending:
            pump.cancel()
        for pump in pumps:
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await pump
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


def version() -> str:
    return package_versions("uvicorn", "websockets", "uvloop")


def prepare(workdir: Path, port: int, replica_port: int) -> Launch:
    argv = [sys.executable, "-m", "bench.peers.seed", str(port), str(replica_port)]
    return Launch(argv, env={"PYTHONPATH": str(REPOSITORY)})


PEER = Peer("seed", "seed's design", version, prepare, "#d62728")


def main() -> None:
    import uvicorn

    port, replica_port = int(sys.argv[1]), int(sys.argv[2])
    app: Any = build_app(f"ws://127.0.0.1:{replica_port}/v1/stream")
    uvicorn.run(app, host="127.0.0.1", port=port, lifespan="off", log_level="error", access_log=False)


if __name__ == "__main__":
    main()
