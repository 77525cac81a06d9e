"""A replica that answers probes with whatever bytes a test wants, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from trio_router import Events, Replica

#: Given the path and the connection; writes a whole answer, or less, or more.
Reply = Callable[[str, trio.SocketStream], Awaitable[None]]


class Hostile:
    """Serves ``reply``, one request a connection. ``heads`` are the request heads that it got, lower case."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.heads: list[str] = []
        self.url = ""

    @property
    def paths(self) -> list[str]:
        """What it was asked for, in order."""
        return [head.split()[1] for head in self.heads]

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection. That the router hangs up in the middle of an answer is what some tests are about."""
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                head += (got := await stream.receive_some())
                if not got:
                    return
            self.heads.append(head.decode().lower())
            await self.reply(head.split()[1].decode(), stream)
        except trio.BrokenResourceError:
            pass


@asynccontextmanager
async def hostile(reply: Reply) -> AsyncIterator[Hostile]:
    """It, listening; for ten seconds at most."""
    server = Hostile(reply)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), server.serve, 0)
            server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield server
        nursery.cancel_scope.cancel()


def answer(body: bytes = b"", *headers: str, status: int = 200) -> bytes:
    """A whole answer; ``headers`` come before the length."""
    lines = "".join(f"{line}\r\n" for line in headers).encode()
    head = b"HTTP/1.1 %d X\r\nconnection: close\r\n%scontent-length: %d\r\n\r\n" % (status, lines, len(body))
    return head + body


def always(pages: dict[str, bytes]) -> Reply:
    """The same answer each time, by path; 404 for others."""

    async def reply(path: str, stream: trio.SocketStream) -> None:
        await stream.send_all(pages.get(path, answer(status=404)))

    return reply


class Heard(Events):
    """What the sink of a health loop was told, as words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def replica_changed(self, replica: Replica, error: str | None) -> None:
        """Noted."""
        self.told.append(f"{replica.health.status}: {error}")

    def replica_unread(self, replica: Replica, why: str) -> None:
        """Noted."""
        self.told.append(f"unread: {why}")

    def replicas_usable(self, usable: bool) -> None:
        """Noted."""
        self.told.append("usable" if usable else "none usable")
