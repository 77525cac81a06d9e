"""The replica's WebSocket, with a deadline for each call of trio-websocket that could wait for ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection  # noqa: TID251  # the demo's ends are not the data path

if TYPE_CHECKING:
    from trio_router.demo.messages import Message

# Space for the messages of a client that sends while a segment is made: a full queue delays its pings and its close.
MESSAGE_QUEUE = 64
RECEIVE_BYTES = 64 * 1024
TOO_BIG = 1009


class Wire:
    """Messages of one connection. `send` and `receive` raise ConnectionClosed once the client has gone."""

    def __init__(self, socket: WebSocketConnection, stream: trio.abc.Stream, *, max_message_bytes: int) -> None:
        self._socket = socket
        self._stream = stream
        self._max_message_bytes = max_message_bytes

    async def send(self, message: Message | bytes) -> None:
        await self._socket.send_message(message if isinstance(message, bytes) else json.dumps(message))

    async def receive(self, within: float) -> str | bytes | None:
        """The next message, or None when `within` seconds bring none. A too big one closes with 1009."""
        with trio.move_on_after(within):
            message = await self._socket.get_message()
            if isinstance(message, str) and self._hides_too_much(message):
                await self.close(TOO_BIG, "message too big", within=1.0)
                raise ConnectionClosed(self._socket.closed)
            return message
        return None

    def _hides_too_much(self, text: str) -> bool:
        """trio-websocket counts characters; only a long text is worth counting its bytes."""
        limit = self._max_message_bytes
        return len(text) * 4 > limit and len(text.encode()) > limit

    async def close(self, code: int, reason: str, *, within: float) -> None:
        """Send a close frame and wait for its answer, `within` seconds at most."""
        with trio.move_on_after(within):
            await self._socket.aclose(code, reason)

    async def keep_alive(self, interval: float, within: float) -> None:
        """Ping every `interval` seconds; drop the connection when a pong is `within` seconds late."""
        while self._socket.closed is None:
            await trio.sleep(interval)
            with trio.move_on_after(within):
                try:
                    await self._socket.ping()
                except ConnectionClosed:
                    return
                continue
            await trio.aclose_forcefully(self._stream)


async def drain(stream: trio.abc.ReceiveStream, within: float) -> None:
    """Read and forget for up to `within` seconds.

    After a 1009 the client is still sending; closing at once would answer that with a TCP reset, which can
    overtake the close frame.
    """
    with trio.move_on_after(within):
        while await stream.receive_some(RECEIVE_BYTES):
            pass
