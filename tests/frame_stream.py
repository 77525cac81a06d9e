"""Frames over a Trio stream, written and read by the `websockets` library: what the far ends of the rooms are made of."""

from __future__ import annotations

from collections.abc import Generator

import trio
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader


class FrameStream:
    """One end of a connection whose handshake is done. ``masks``: it is a client's."""

    def __init__(self, stream: trio.abc.Stream, *, masks: bool) -> None:
        self.stream = stream
        self.masks = masks
        self.reader = StreamReader()
        self.parsing: Generator[None, None, Frame] | None = None  # a frame that has come in part

    async def send(self, opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
        """Send a frame; returns its bytes."""
        data = Frame(opcode, payload, fin).serialize(mask=self.masks)
        await self.stream.send_all(data)
        return data

    async def vanish(self) -> None:
        """Leave without a close frame."""
        await self.stream.aclose()

    async def frame(self) -> Frame:
        """The next frame, whatever it is. Raises EOFError at the end of the stream."""
        self.parsing = self.parsing or Frame.parse(self.reader.read_exact, mask=not self.masks)
        while True:
            try:
                next(self.parsing)
            except StopIteration as done:
                self.parsing = None
                found: Frame = done.value
                return found
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(f"{len(self.reader.buffer)} bytes of a frame are left")
            self.reader.feed_data(bytes(data))
