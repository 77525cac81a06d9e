"""A WebSocket server in a process of its own, by the `websockets` library: echoes, or pushes when it is told to.

A text message ``push FRAMES BYTES`` is answered with so many binary frames; everything else is echoed. Says on standard
output how each connection was closed.
"""

from __future__ import annotations

import asyncio  # the library's own
import os
import sys
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


async def handler(ws: ServerConnection) -> None:
    try:
        async for message in ws:
            if isinstance(message, str) and message.startswith("push "):
                _, frames, size = message.split()
                payload = os.urandom(int(size))
                for _ in range(int(frames)):
                    await ws.send(payload)
            else:
                await ws.send(message)
    except ConnectionClosed:
        pass
    finally:
        say(f"closed {ws.close_code} {ws.close_reason}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def answer(ws: ServerConnection, request: Request) -> Response | None:
    if request.path == "/health":
        return ws.respond(HTTPStatus.OK, "ok\n")
    return ws.respond(HTTPStatus.NOT_FOUND, "no\n") if request.path == "/readyz" else None


async def main() -> None:
    options = {"compression": None, "max_size": None, "ping_interval": None, "process_request": answer}
    async with serve(handler, "127.0.0.1", 0, backlog=4096, **options) as server:  # type: ignore[arg-type]
        say(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
