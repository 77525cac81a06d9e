"""One port for HTTP and WebSocket: read a request's head from an accepted stream, without losing a byte after it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

# Generous for a head with cookies; more than this is not a request that a demo has to answer.
_HEAD_LIMIT_BYTES = 64 * 1024


class BadRequest(Exception):
    """The received bytes are not an HTTP request, or end before its head is complete."""


@dataclass(frozen=True)
class RequestHead:
    """`received` is everything read so far: the head and whatever followed it."""

    method: str
    path: str
    headers: Mapping[str, str]
    received: bytes

    @property
    def is_websocket(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"


class ReplayStream(trio.abc.Stream):
    """A stream that yields `received` again before it reads on."""

    def __init__(self, received: bytes, stream: trio.abc.Stream) -> None:
        self._received = received
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._received:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        size = max_bytes or len(self._received)
        data, self._received = self._received[:size], self._received[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def read_head(stream: trio.abc.Stream) -> RequestHead:
    """The next request's head. Raises BadRequest; the caller bounds the time."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some()
        received += data
        if not data or len(received) > _HEAD_LIMIT_BYTES:
            raise BadRequest("the request's head is incomplete or too long")
    return _parse(bytes(received))


async def answer_json(stream: trio.abc.Stream, method: str, status: int, body: Mapping[str, Any]) -> None:
    """Send one complete response that ends the connection. The caller closes the stream."""
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    await stream.send_all(head.encode() + (b"" if method == "HEAD" else content))


def _parse(received: bytes) -> RequestHead:
    parser = h11.Connection(h11.SERVER)
    try:
        parser.receive_data(received)
        request = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(request, h11.Request):
        raise BadRequest("no request")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    return RequestHead(request.method.decode(), request.target.decode("latin-1"), headers, received)
