"""An echo server that drops TCP, without a close frame, at every offence of its client. A program of its own.

By the `websockets` library's protocol without I/O. All else is as it should be: it answers pings and closes.
"""

from __future__ import annotations

import sys
from functools import partial

import trio
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol


class Echo:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = ServerProtocol(max_size=None)
        self.opcode = Opcode.CONT
        self.message = bytearray()

    async def run(self) -> None:
        """Until the client leaves, or is dropped."""
        while data := await self.stream.receive_some(65536):
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if isinstance(event, Request):
                    self.answer(event)
                elif isinstance(event, Frame) and not self.take(event):
                    return
            if self.protocol.parser_exc is not None and not isinstance(self.protocol.parser_exc, EOFError):
                return
            for out in self.protocol.data_to_send():
                if not out:
                    return
                await self.stream.send_all(out)

    def answer(self, request: Request) -> None:
        """101, or the two pages that a probe asks for."""
        if request.path == "/health":
            self.protocol.send_response(self.protocol.reject(200, "ok\n"))
        elif request.path == "/readyz":
            self.protocol.send_response(self.protocol.reject(404, "no\n"))
        else:
            self.protocol.send_response(self.protocol.accept(request))

    def take(self, frame: Frame) -> bool:
        """Echo a whole message. False: it is an offence."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.opcode, self.message = frame.opcode, bytearray()
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return True
        self.message += frame.data
        if frame.fin and self.protocol.state is State.OPEN:
            try:
                if self.opcode is Opcode.TEXT:
                    self.protocol.send_text(bytes(self.message).decode().encode())
                else:
                    self.protocol.send_binary(bytes(self.message))
            except (UnicodeDecodeError, ProtocolError):
                return False
        return True


async def serve(stream: trio.SocketStream) -> None:
    """One connection; whatever happens to it ends only that."""
    try:
        await Echo(stream).run()
    except trio.BrokenResourceError:
        pass
    finally:
        await stream.aclose()


async def main() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), serve, 0)
        sys.stdout.write(f"listening on http://127.0.0.1:{listeners[0].socket.getsockname()[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main)
