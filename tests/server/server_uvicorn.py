"""An echo server by uvicorn, as FastVideo's replicas are one: its limits and its pings are the ones a router meets."""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn

Json = dict[str, Any]


async def app(scope: Json, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        status = 200 if scope["path"] == "/health" else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    elif scope["type"] == "websocket":
        await receive()
        if scope["query_string"] == b"refuse":
            await send({"type": "websocket.close"})  # before accept: a 403
            return
        await send({"type": "websocket.accept"})
        await echo(receive, send)


async def echo(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text", "").startswith("close "):
            _, code, reason = message["text"].split()
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
            return
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, lifespan="off", log_level="warning", ws_ping_interval=0.2, ws_ping_timeout=0.2)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
