"""Far ends of memory streams that speak WebSocket: a client of the router, and what a replica sees of a session.

Frames are written and read by the `websockets` library.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from typing import Any

import trio
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

Message = dict[str, Any]
INIT: Message = {"type": "session_init_v2"}
ASSIGNED: Message = {"type": "gpu_assigned", "gpu_id": 0}
REJECTED: Message = {"type": "error", "code": "session_rejected", "message": "full", "retryable": False}


class Closed(Exception):
    """The other end closed with this code and reason; 1006 is a stream that ended without a close frame."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class FarEnd:
    """One end. Reads JSON messages; binary ones are given as ``{"type": "binary", "data": …}``."""

    def __init__(self, stream: trio.abc.Stream, *, masks: bool) -> None:
        self.stream = stream
        self.masks = masks
        self.reader = StreamReader()
        self._parsing: Generator[None, None, Frame] | None = None

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        await self.stream.send_all(Frame(opcode, payload, True).serialize(mask=self.masks))

    async def say(self, message: Message | str) -> None:
        """A text message."""
        await self.send(Opcode.TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame; the other side may be gone already."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self.send(Opcode.CLOSE, Close(code, reason).serialize())

    async def vanish(self) -> None:
        """Leave without a close frame."""
        await self.stream.aclose()

    async def hear(self) -> Message:
        """The next message; pings are skipped. Raises `Closed`, having answered a close frame."""
        while (found := await self.frame()).opcode in (Opcode.PING, Opcode.PONG):
            pass
        if found.opcode is Opcode.CLOSE:
            said = Close.parse(found.data)
            await self.close(said.code, said.reason)
            raise Closed(said.code, said.reason)
        if found.opcode is Opcode.TEXT:
            message: Message = json.loads(bytes(found.data))
            return message
        return {"type": "binary", "data": found.data}

    async def hears(self, message: Message) -> None:
        """The next message is this one."""
        found = await self.hear()
        assert found == message

    async def told(self, position: int, depth: int) -> None:
        """The next message is this place in the line, with or without an estimate."""
        found = await self.hear()
        found.pop("estimated_wait_seconds", None)
        assert found == place(position, depth)

    async def last_words(self) -> tuple[list[Message], Closed]:
        """All that still comes, and how it ends."""
        heard = []
        try:
            while True:
                heard.append(await self.hear())
        except Closed as closed:
            return heard, closed

    async def read_head(self) -> bytes:
        """The HTTP head that comes before the frames."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = await self.stream.receive_some()
            assert more, f"the stream ended behind {data!r}"
            data += bytes(more)
        head, _, rest = data.partition(b"\r\n\r\n")
        self.reader.feed_data(rest)
        return head

    async def frame(self) -> Frame:
        """The next frame, whatever it is. Raises `Closed` at the end of the stream."""
        self._parsing = self._parsing or Frame.parse(self.reader.read_exact, mask=not self.masks)
        while True:
            try:
                next(self._parsing)
            except StopIteration as done:
                self._parsing = None
                found: Frame = done.value
                return found
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            if not data:
                raise Closed(1006)
            self.reader.feed_data(bytes(data))


def place(position: int, depth: int, **more: Any) -> Message:
    """What a waiting client is told."""
    return {"type": "queue_status", "position": position, "queue_depth": depth, **more}


async def farewell(client: FarEnd, replica: FarEnd) -> None:
    """The client closes, both ends answer, the session is over."""
    await client.close()
    for end in (replica, client):
        _, closed = await end.last_words()
        assert closed.code == 1000
