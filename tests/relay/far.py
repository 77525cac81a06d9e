"""The far end of a connection: a client or a replica."""

from __future__ import annotations

import json
from typing import Any

from websockets.frames import Close, Frame, Opcode

from tests.frame_stream import FrameStream


def message(**values: Any) -> bytes:
    """A JSON message."""
    return json.dumps(values).encode()


INIT = message(type="session_init_v2", client_id="ann")
ASSIGNED = message(type="gpu_assigned", gpu_id=0)
QUEUED = message(type="queue_status", position=1, queue_depth=1)
COMPLETE = message(type="ltx2_stream_complete", reason="cap")
REJECTED = message(type="error", code="session_rejected", message="full", retryable=False)


class FarEnd(FrameStream):
    """A client, or a replica, as it sits at the other end of a connection."""

    async def text(self, payload: bytes) -> bytes:
        return await self.send(Opcode.TEXT, payload)

    async def binary(self, payload: bytes) -> bytes:
        return await self.send(Opcode.BINARY, payload)

    async def close(self, code: int | None = None, reason: str = "") -> None:
        await self.send(Opcode.CLOSE, Close(code, reason).serialize() if code else b"")

    async def pong(self, ping: Frame) -> None:
        """Answer a ping."""
        assert ping.opcode is Opcode.PING
        await self.send(Opcode.PONG, bytes(ping.data))

    async def hear(self) -> Frame:
        """The next frame. Raises EOFError at the end of the stream."""
        return await self.frame()

    async def hears(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        """The next frame is this one."""
        assert await self.hear() == Frame(opcode, payload, fin)

    async def hears_bytes(self, data: bytes) -> None:
        """Exactly these bytes come next, whatever they mean."""
        assert self.parsing is None
        got = b""
        while len(got) < len(data):
            got += bytes(await self.stream.receive_some(len(data) - len(got)))
        assert got == data

    async def hears_close(self, code: int | None, reason: str = "") -> None:
        """The next frame is this close."""
        payload = Close(code, reason).serialize() if code else b""
        await self.hears(Opcode.CLOSE, payload)

    async def hears_error(self, code: str, *, retryable: bool = True) -> None:
        """The next frame is an error message of the FastVideo dialect."""
        found = await self.hear()
        assert found.opcode is Opcode.TEXT
        fields = json.loads(bytes(found.data))
        assert (fields["type"], fields["code"], fields["retryable"]) == ("error", code, retryable)

    async def hears_end(self, *, left: int = 0) -> None:
        """The stream ends, ``left`` bytes into the payload of a frame."""
        try:
            found = await self.hear()
        except EOFError:
            assert len(self.reader.buffer) == left
        else:
            raise AssertionError(f"{found} instead of the end")
