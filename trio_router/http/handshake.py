"""The WebSocket handshake with a client, for requests that `core.http.upgrade_request` found correct.

An ordinary request is answered directly (`core.http.upgrade.plain_answer`): nearly every browser and library sends one,
and it saves two thirds of the work. trio-websocket answers unusual requests, and refuses correct ones where the router
must. Its message API is not used.

trio-websocket works on a `Stream`. It is given one that supplies the request and forwards its answer, so that afterwards
a `Connection` can take over the stream for frames. Its reader task lives in a nursery that is cancelled when the
handshake is done.
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
    """A stream of which one HTTP head is read; bytes that follow the head are kept in ``early``."""

    def __init__(self, base: trio.abc.Stream, *, limit: int) -> None:
        self.base = base
        self._reader = HeadReader(limit)

    @property
    def head(self) -> bytes:
        """The head up to and including the empty line; empty until `read_head` has read it."""
        return self._reader.head

    @property
    def early(self) -> bytes:
        """The bytes that were read beyond the head."""
        return self._reader.early

    async def read_head(self) -> bytes:
        """Read until the empty line; return the head. Empty if the peer ends the stream before it.

        Raises:
            HeadTooLarge: there was no empty line within ``limit`` bytes.
            trio.BrokenResourceError: the connection broke.
        """
        while data := await self.base.receive_some(16 * 1024):
            if self._reader.feed(data) is not None:
                break
        return self.head

    def send_nowait(self, data: bytes) -> int:
        """Write what is accepted at once; return the number of bytes. TLS has no such call, and accepts nothing.

        Raises:
            trio.BrokenResourceError: the connection broke.
        """
        return self.base.send_nowait(data) if isinstance(self.base, RawStream) else 0


class _OneRequest(trio.abc.Stream):
    """Supplies one request to trio-websocket, then blocks; what is written goes to the connection."""

    def __init__(self, base: trio.abc.Stream, request: bytes, give_up: Callable[[], None]) -> None:
        self._base = base
        self._request = request
        self._give_up = give_up

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The request at the first call; later calls block until cancelled."""
        if not self._request:
            await trio.sleep_forever()
        request, self._request = self._request, b""
        return request

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write to the connection; see `trio.abc.SendStream.send_all`."""
        await self._base.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Leave the connection open. trio-websocket calls this when it gives up; its caller would wait for ever otherwise."""
        self._give_up()
        await trio.lowlevel.checkpoint()


async def accept_client(
    head: HeadStream, request: RequestHead, *, subprotocol: str | None, headers: Headers, seconds: float
) -> bool:
    """Answer the upgrade request in ``head``, which must be correct, with a 101.

    Returns False if the client did not accept the answer within ``seconds``.

    Raises:
        trio.BrokenResourceError: the connection broke.
    """
    answer = plain_answer(request, subprotocol, headers)
    if answer is not None and (sent := head.send_nowait(answer)) == len(answer):
        return True  # nearly always, and a cancel scope costs more than the rest
    with trio.move_on_after(seconds):
        if answer is not None:
            await head.base.send_all(answer[sent:])
            return True
        return await _by_trio_websocket(
            head, lambda asked: asked.accept(subprotocol=subprotocol, extra_headers=headers)
        )
    return False


async def reject_client(head: HeadStream, status: int, *, seconds: float, headers: Headers | None = None) -> None:
    """Answer the upgrade request in ``head``, which must be correct, with another status than 101."""
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
    except* ConnectionClosed:  # its exception for a broken connection
        answered = False
    return answered
