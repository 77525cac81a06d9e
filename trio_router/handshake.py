"""The WebSocket handshake with a client. trio-websocket judges the requests; its message API ends where they do.

A request that leaves no question open is answered straight (`core.upgrade.plain_answer`): that is every browser's and
every library's, and saves two thirds of the work. Whatever is unusual goes to trio-websocket, which accepts or refuses.

trio-websocket works on a `Stream`. It is given one of ours that hands it exactly the HTTP head and keeps every byte
behind it, so that afterwards the connection can be taken over, frames and all, by a leg. Its reader task lives in a
nursery that is cancelled when the handshake is done, and its objects go with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from trio_router.core.head import Headers, RequestHead
from trio_router.core.upgrade import plain_answer
from trio_router.leg import RawStream

END_OF_HEAD: Final = b"\r\n\r\n"


class HeadTooLarge(Exception):
    """The head is longer than allowed."""


class HeadStream(trio.abc.Stream):
    """Shows one HTTP head to its reader, then nothing for ever; writes go to the connection.

    ``early`` is what came behind the head.
    """

    def __init__(self, base: trio.abc.Stream, *, limit: int) -> None:
        self.base = base
        self.head = b""
        self.early = b""
        self.give_up: Callable[[], None] = lambda: None
        self._limit = limit
        self._shown = False

    async def read_head(self) -> bytes:
        """Read until the empty line. Empty when the peer ends before it.

        Raises:
            HeadTooLarge: there was none within ``limit`` bytes.
            trio.BrokenResourceError: the connection broke.
        """
        data = bytearray()
        while (end := data.find(END_OF_HEAD)) < 0:
            if len(data) > self._limit:
                raise HeadTooLarge
            more = await self.base.receive_some(16 * 1024)
            if not more:
                return b""
            data += more
        end += len(END_OF_HEAD)
        if end > self._limit:
            raise HeadTooLarge
        self.head, self.early = bytes(data[:end]), bytes(data[end:])
        return self.head

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The head, once."""
        if self._shown:
            await trio.sleep_forever()
        self._shown = True
        return self.head

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """To the connection."""
        await self.base.send_all(data)

    def send_nowait(self, data: bytes) -> int:
        """Write to the connection what it accepts at once; return how much. TLS cannot be asked, and accepts nothing.

        Raises:
            trio.BrokenResourceError: the peer is gone.
        """
        return self.base.send_nowait(data) if isinstance(self.base, RawStream) else 0

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the interface."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The connection outlives the handshake; but trio-websocket gave up, and its caller would wait for ever."""
        self.give_up()
        await trio.lowlevel.checkpoint()


async def accept_client(
    head: HeadStream, request: RequestHead, *, subprotocol: str | None, headers: Headers, seconds: float
) -> bool:
    """Answer the upgrade request that ``head`` has read with a 101.

    False: it was wrong, and was answered 400; or the client did not take the answer within ``seconds``.

    Raises:
        trio.BrokenResourceError: the client is gone.
    """
    answer = plain_answer(request, subprotocol, headers)
    if answer is not None and (sent := head.send_nowait(answer)) == len(answer):
        return True  # nearly always, and a cancel scope costs more than all of it
    with trio.move_on_after(seconds):
        if answer is not None:
            await head.send_all(answer[sent:])
            return True
        return await _by_trio_websocket(
            head, lambda asked: asked.accept(subprotocol=subprotocol, extra_headers=headers)
        )
    return False


async def reject_client(head: HeadStream, status: int, *, seconds: float, headers: Headers | None = None) -> None:
    """Answer the upgrade request that ``head`` has read with an HTTP status that is no 101; 400 if it is wrong."""
    with trio.move_on_after(seconds):
        await _by_trio_websocket(head, lambda asked: asked.reject(status, extra_headers=headers))


async def _by_trio_websocket(head: HeadStream, answer: Callable[[WebSocketRequest], Awaitable[object]]) -> bool:
    """Let trio-websocket read the request, and ``answer`` it if it is one. Returns whether it was."""
    answered = False
    try:
        async with trio.open_nursery() as nursery:
            head.give_up = nursery.cancel_scope.cancel
            request = await wrap_server_stream(nursery, head)
            await answer(request)
            answered = True
            nursery.cancel_scope.cancel()
    except* ConnectionClosed:  # its word for a broken connection
        answered = False
    return answered
