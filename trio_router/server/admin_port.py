"""Where the admin API listens: a TCP address, a Unix socket, or both; never the stream port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from typing import Final

import trio

from trio_router.core.config import AdminConfig
from trio_router.core.errors import HeadTooLarge, StartError
from trio_router.core.http.head import without_upgrade
from trio_router.http.handshake import HeadStream
from trio_router.http.plain_http import ASGIApp, PlainHttp
from trio_router.operations.logging import get_logger

log = get_logger("trio_router.server.admin_port")

#: Connections at once; more are closed. Ten dashboards and a few scripts need a tenth of it.
CONNECTIONS: Final = 256
#: For a request's head to come.
HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 32 * 1024
_BACKLOG: Final = 64


class AdminPort:
    """Serves ``app`` as ``config`` says. ``port`` is the one that it really listens on."""

    def __init__(self, app: ASGIApp, config: AdminConfig) -> None:
        self.port: int | None = None
        self._http = PlainHttp(app)
        self._config = config
        self._open = 0

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; ``started`` once it is listening. Returns at once if the API is off.

        Raises:
            StartError: an address or the socket cannot be listened on.
        """
        with contextlib.ExitStack() as stack:
            listeners = [
                *await self._tcp(),
                *([stack.enter_context(unix_listener(self._config.socket))] if self._config.socket else []),
            ]
            if not listeners:
                task_status.started()
                return
            log.info(
                "admin API is listening",
                host=self._config.host if self.port else None,
                port=self.port,
                socket=self._config.socket,
            )
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(self._accept, listener, nursery)
                task_status.started()

    async def _tcp(self) -> list[trio.SocketListener]:
        host, port = self._config.host, self._config.port
        if port is None:
            return []
        try:
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
        except (OSError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise StartError(f"cannot listen on {host}:{port} (admin): {why}") from None
        self.port = listeners[0].socket.getsockname()[1]
        return listeners

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection with one request. Whatever goes wrong in it ends with it."""
        if self._open >= CONNECTIONS:
            return
        self._open += 1
        try:
            head = HeadStream(stream, limit=HEAD_BYTES)
            with trio.move_on_after(HEAD_SECONDS):
                await head.read_head()
            if head.head:
                await self._http.serve(stream, without_upgrade(head.head) + head.early)
        except HeadTooLarge:
            with trio.move_on_after(1):
                await stream.send_all(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # the client's own doing
        except Exception:
            log.exception("a connection of the admin API crashed")
        finally:
            self._open -= 1


@contextlib.contextmanager
def unix_listener(path: str) -> Iterator[trio.SocketListener]:
    """Listen on a Unix socket that only this user can open; it is removed at the end.

    One that was left behind by a process that is no more is replaced; one that somebody listens on is not.

    Raises:
        StartError: it cannot be listened on.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening)
        try:
            _remove_left_behind(path)
            listening.bind(path)
            os.chmod(path, 0o600)  # before anybody can connect
            listening.listen(_BACKLOG)
            mine = os.stat(path)
        except OSError as exc:
            raise StartError(f"cannot listen on {path} (admin): {exc.strerror or exc}") from None
        stack.callback(_remove, path, mine.st_ino)
        yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def _remove_left_behind(path: str) -> None:
    """Raises OSError if somebody listens there, or if it is no socket."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is something that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _remove(path: str, inode: int) -> None:
    """The socket, unless it is another process's by now."""
    with contextlib.suppress(OSError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
