"""The far end of a leg: a client or a replica, whose frames are written and read by the `websockets` library."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import trio
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader


def message(**values: Any) -> bytes:
    """A JSON message."""
    return json.dumps(values).encode()


INIT = message(type="session_init_v2", client_id="ann")
ASSIGNED = message(type="gpu_assigned", gpu_id=0)
QUEUED = message(type="queue_status", position=1, queue_depth=1)
COMPLETE = message(type="ltx2_stream_complete", reason="cap")
REJECTED = message(type="error", code="session_rejected", message="full", retryable=False)


class FarEnd:
    """A client, or a replica, as it sits at the other end of a leg."""

    def __init__(self, stream: trio.abc.Stream, *, masks: bool) -> None:
        self.stream = stream
        self.masks = masks
        self._reader = StreamReader()
        self._parsing: Generator[None, None, Frame] | None = None

    async def send(self, opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
        """Send a frame; returns its bytes."""
        data = Frame(opcode, payload, fin).serialize(mask=self.masks)
        await self.stream.send_all(data)
        return data

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

    async def vanish(self) -> None:
        """Leave without a close frame."""
        await self.stream.aclose()

    async def hear(self) -> Frame:
        """The next frame. Raises EOFError at the end of the stream."""
        self._parsing = self._parsing or Frame.parse(self._reader.read_exact, mask=not self.masks)
        while True:
            try:
                next(self._parsing)
            except StopIteration as done:
                self._parsing = None
                found: Frame = done.value
                return found
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(f"{len(self._reader.buffer)} bytes of a frame are left")
            self._reader.feed_data(bytes(data))

    async def hears(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        """The next frame is this one."""
        assert await self.hear() == Frame(opcode, payload, fin)

    async def hears_bytes(self, data: bytes) -> None:
        """Exactly these bytes come next, whatever they mean."""
        assert self._parsing is None
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
            assert len(self._reader.buffer) == left
        else:
            raise AssertionError(f"{found} instead of the end")
