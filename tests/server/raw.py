"""Ends that do what no library does: half frames, resets, heads byte by byte. Frames are the `websockets` library's."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator

import trio
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

END = b"\r\n\r\n"


class Raw:
    """A TCP connection with a buffer to read from."""

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.buffer = bytearray()

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``."""
        while (end := self.buffer.find(mark)) < 0:
            await self._more()
        return self._take(end + len(mark))

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self._more()
        return self._take(size)

    async def to_the_end(self) -> bytes:
        """Everything until the end of the stream; a reset is an end too."""
        with contextlib.suppress(EOFError, trio.BrokenResourceError):
            while True:
                await self._more()
        return self._take(len(self.buffer))

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    def reset(self) -> None:
        """Close so that the other end gets an RST."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError(bytes(self.buffer[:200]))
        self.buffer += data

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


@contextlib.asynccontextmanager
async def dialled(port: int | None) -> AsyncIterator[Raw]:
    """A plain connection to the router."""
    async with await trio.open_tcp_stream("127.0.0.1", port or 0) as stream:
        yield Raw(stream)


def upgrade_request(path: str = "/v1/stream", *fields: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: router.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *fields,
    ]
    return "\r\n".join(lines).encode() + END


@contextlib.asynccontextmanager
async def upgraded(port: int | None, *fields: str) -> AsyncIterator[tuple[Raw, bytes]]:
    """A WebSocket client without a library, and the head that it was answered with."""
    async with dialled(port) as raw:
        await raw.send(upgrade_request("/v1/stream", *fields))
        yield raw, await raw.until(END)


@contextlib.asynccontextmanager
async def raw_replica() -> AsyncIterator[tuple[str, trio.MemoryReceiveChannel[tuple[Raw, bytes]]]]:
    """A replica without a library: its URL, and its upgraded connections, each with the request's head."""
    send, receive = trio.open_memory_channel[tuple[Raw, bytes]](100)

    async def serve(stream: trio.SocketStream) -> None:
        raw = Raw(stream)
        head = await raw.until(END)
        if not head.startswith(b"GET /v1/stream"):
            status = b"200 OK" if head.startswith(b"GET /health") else b"404 Not Found"
            await raw.send(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0" + END)
            return
        key = next(line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = accept_key(key.decode()).encode()
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await raw.send(answer + b"Sec-WebSocket-Accept: " + accept + END)
        send.send_nowait((raw, head))
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", receive
        nursery.cancel_scope.cancel()


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True, mask: bool) -> bytes:
    """A frame as the `websockets` library writes it; a client's is masked."""
    return Frame(opcode, payload, fin).serialize(mask=mask)
