"""Both WebSocket handshakes, done by trio-websocket, whose message API ends where they do.

trio-websocket works on a `Stream`. It is given one of ours that hands it exactly the HTTP head and keeps every byte
behind it, so that afterwards the connection can be taken over, frames and all, by a leg. Its reader task lives in a
nursery that is cancelled when the handshake is done, and its objects go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio
from trio_websocket import HandshakeError, wrap_client_stream, wrap_server_stream

from .core.errors import DialError
from .core.head import Headers, parse_fields

END_OF_HEAD: Final = b"\r\n\r\n"
#: Full, restarting, or asked too often: the replica is up and says no.
REFUSING_STATUS: Final = frozenset({429, 503})


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

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the interface."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The connection outlives the handshake; but trio-websocket gave up, and its caller would wait for ever."""
        self.give_up()
        await trio.lowlevel.checkpoint()


async def answer_client(
    head: HeadStream, *, subprotocol: str | None = None, reject: int | None = None, headers: Headers | None = None
) -> bool:
    """Answer the upgrade request that ``head`` has read: 101, or the HTTP status ``reject``.

    Returns whether the connection is a WebSocket now. A wrong request is answered 400, whatever was asked for.

    Raises:
        trio.BrokenResourceError: the client is gone.
    """
    accepted = False
    async with trio.open_nursery() as nursery:
        head.give_up = nursery.cancel_scope.cancel
        request = await wrap_server_stream(nursery, head)
        if reject is not None:
            await request.reject(reject, extra_headers=headers)
        else:
            await request.accept(subprotocol=subprotocol, extra_headers=headers)
            accepted = True
        nursery.cancel_scope.cancel()
    return accepted


class _ReplicaHead(HeadStream):
    """Reads the answer only when it is asked for it, and lets trio-websocket see it only if it is a 101."""

    status = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._shown:
            head = await self.read_head()
            parts = head[:64].split(maxsplit=2)
            self.status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
            if self.status != 101:
                self.give_up()
        return await super().receive_some(max_bytes)


async def ask_replica(
    base: trio.abc.Stream, *, host: str, target: str, subprotocols: list[str], headers: Headers, limit: int
) -> tuple[bytes, str | None, Headers]:
    """Upgrade ``base`` towards a replica. Returns (bytes behind the head, sub-protocol chosen, response headers).

    Raises:
        DialError: it did not answer with a correct 101; ``status`` has its HTTP status, if there was one.
    """
    head = _ReplicaHead(base, limit=limit)
    connection: Any = None
    try:
        async with trio.open_nursery() as nursery:
            head.give_up = nursery.cancel_scope.cancel
            connection = await wrap_client_stream(
                nursery,
                head,  # type: ignore[arg-type]
                host,
                target,
                subprotocols=subprotocols or None,
                extra_headers=headers,
            )
            nursery.cancel_scope.cancel()
    except* (HandshakeError, HeadTooLarge, trio.BrokenResourceError) as group:
        raise DialError(f"handshake failed: {group.exceptions[0]}") from None
    if connection is None:
        status = f"answered HTTP {head.status}" if head.status else "hung up before it answered"
        status = "answered a wrong handshake" if head.status == 101 else status
        raise DialError(status, refused=head.status in REFUSING_STATUS, status=head.status or None)
    return head.early, connection.subprotocol, parse_fields(head.head.split(b"\r\n")[1:])
