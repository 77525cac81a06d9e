"""Far ends of memory streams that speak WebSocket: a client of the router, and what a replica sees of a session."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import trio
from websockets.frames import Close, Frame, Opcode

from tests.frame_stream import FrameStream

Message = dict[str, Any]
INIT: Message = {"type": "session_init_v2"}
ASSIGNED: Message = {"type": "gpu_assigned", "gpu_id": 0}
REJECTED: Message = {"type": "error", "code": "session_rejected", "message": "full", "retryable": False}


class Closed(Exception):
    """The other end closed with this code and reason; 1006 is a stream that ended without a close frame."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class FarEnd(FrameStream):
    """One end. Reads JSON messages; binary ones are given as ``{"type": "binary", "data": …}``."""

    async def say(self, message: Message | str) -> None:
        """A text message."""
        await self.send(Opcode.TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame; the other side may be gone already."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self.send(Opcode.CLOSE, Close(code, reason).serialize())

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
        """The next message is this place in the queue, with or without an estimate."""
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
        try:
            return await super().frame()
        except (EOFError, trio.BrokenResourceError):
            raise Closed(1006) from None


def place(position: int, depth: int, **more: Any) -> Message:
    """What a waiting client is told."""
    return {"type": "queue_status", "position": position, "queue_depth": depth, **more}


async def farewell(client: FarEnd, replica: FarEnd) -> None:
    """The client closes, both ends answer, the session is over."""
    await client.close()
    for end in (replica, client):
        _, closed = await end.last_words()
        assert closed.code == 1000
