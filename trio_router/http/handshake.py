"""The WebSocket handshake with a client, for requests that were found correct (`core.upgrade_request`).

An ordinary request is answered straight (`core.upgrade.plain_answer`): that is every browser's and every library's, and
saves two thirds of the work. trio-websocket answers the unusual ones, and says no where a correct request is refused. Its
message API is not used.

trio-websocket works on a `Stream`. It is given one that hands it the request and passes its answer on, so that afterwards
the connection can be taken over, frames and all, by a connection. Its reader task lives in a nursery that is cancelled when the
handshake is done, and its objects go with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from trio_router.core.http.head import Headers, RequestHead, parse_head
from trio_router.core.http.head_reader import HeadReader
from trio_router.core.http.upgrade import plain_answer, reduced
from trio_router.net.connection import RawStream


class HeadStream:
    """A connection of which one HTTP head is read, and nothing of what follows it is lost."""

    def __init__(self, base: trio.abc.Stream, *, limit: int) -> None:
        self.base = base
        self._reader = HeadReader(limit)

    @property
    def head(self) -> bytes:
        """Up to and with the empty line; empty until `read_head` has read it."""
        return self._reader.head

    @property
    def early(self) -> bytes:
        """What came after the head."""
        return self._reader.early

    async def read_head(self) -> bytes:
        """Read until the empty line. Empty when the peer ends before it.

        Raises:
            HeadTooLarge: there was none within ``limit`` bytes.
            trio.BrokenResourceError: the connection broke.
        """
        while data := await self.base.receive_some(16 * 1024):
            if self._reader.feed(data) is not None:
                break
        return self.head

    def send_nowait(self, data: bytes) -> int:
        """Write to the connection what it accepts at once; return how much. TLS cannot be asked, and accepts nothing.

        Raises:
            trio.BrokenResourceError: the peer is gone.
        """
        return self.base.send_nowait(data) if isinstance(self.base, RawStream) else 0


class _OneRequest(trio.abc.Stream):
    """Shows one request to trio-websocket, then nothing for ever; what it writes goes to the connection."""

    def __init__(self, base: trio.abc.Stream, request: bytes, give_up: Callable[[], None]) -> None:
        self._base = base
        self._request = request
        self._give_up = give_up

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The request, once."""
        if not self._request:
            await trio.sleep_forever()
        request, self._request = self._request, b""
        return request

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """To the connection."""
        await self._base.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the interface."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The connection outlives the handshake; but trio-websocket gave up, and its caller would wait for ever."""
        self._give_up()
        await trio.lowlevel.checkpoint()


async def accept_client(
    head: HeadStream, request: RequestHead, *, subprotocol: str | None, headers: Headers, seconds: float
) -> bool:
    """Answer the upgrade request that ``head`` has read, which must be a correct one, with a 101.

    False: the client did not take the answer within ``seconds``.

    Raises:
        trio.BrokenResourceError: the client is gone.
    """
    answer = plain_answer(request, subprotocol, headers)
    if answer is not None and (sent := head.send_nowait(answer)) == len(answer):
        return True  # nearly always, and a cancel scope costs more than all of it
    with trio.move_on_after(seconds):
        if answer is not None:
            await head.base.send_all(answer[sent:])
            return True
        return await _by_trio_websocket(
            head, lambda asked: asked.accept(subprotocol=subprotocol, extra_headers=headers)
        )
    return False


async def reject_client(head: HeadStream, status: int, *, seconds: float, headers: Headers | None = None) -> None:
    """Answer the upgrade request that ``head`` has read, which must be a correct one, with a status that is no 101."""
    with trio.move_on_after(seconds):
        await _by_trio_websocket(head, lambda asked: asked.reject(status, extra_headers=headers))


async def _by_trio_websocket(head: HeadStream, answer: Callable[[WebSocketRequest], Awaitable[object]]) -> bool:
    """Let trio-websocket ``answer`` the request. Returns whether it could."""
    asked = parse_head(head.head)
    assert asked is not None
    answered = False
    try:
        async with trio.open_nursery() as nursery:
            stream = _OneRequest(head.base, reduced(asked), nursery.cancel_scope.cancel)
            request = await wrap_server_stream(nursery, stream)
            await answer(request)
            answered = True
            nursery.cancel_scope.cancel()
    except* ConnectionClosed:  # its word for a broken connection
        answered = False
    return answered
