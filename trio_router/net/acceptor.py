"""Listening sockets: accept connections in batches, without a task switch, and hand them over as bare sockets.

Nothing is read here: what a connection wants is decided by the handler.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final

import trio

from trio_router.core.errors import OWN_SHORTAGE, StartError
from trio_router.net.poller import Poller
from trio_router.operations.logging import get_logger

log = get_logger("trio_router.net.acceptor")

#: Length of the kernel's accept queue (listen(2)). Large, because all clients reconnect at once after a restart.
BACKLOG: Final = 4096
#: Connections accepted in one batch; then sockets that are connected already get their turn.
ACCEPTS_PER_TURN: Final = 64
#: Pause after running out of descriptors or memory, before accepting again.
OUT_OF_FILES_SECONDS: Final = 0.1
#: Errors of the connection that would have been accepted, not of the listening socket (accept(2), "Error handling").
NEXT_PLEASE: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    }
)


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on all addresses of ``host``; port 0 picks a free one. One listener for each address.

    Raises:
        StartError: the name cannot be resolved, or the address cannot be listened on.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except (OSError, UnicodeError) as exc:  # UnicodeError: not a name that can be looked up
        raise StartError(f"cannot listen on {host}:{port}: {getattr(exc, 'strerror', None) or exc}") from None


async def accept(
    listening: socket.socket, poller: Poller, handle_connection: Callable[[socket.socket, str, int], object]
) -> None:
    """Call ``handle_connection(socket, client's IP address, client's port)`` for each connection, until cancelled.

    The handler owns the socket and must not raise. The socket is non-blocking, with TCP_NODELAY. ``listening`` must be
    non-blocking; it is closed at the end. When descriptors or memory run out (`OWN_SHORTAGE`), that is logged and
    accepting continues after `OUT_OF_FILES_SECONDS`.
    """

    def step() -> OSError | None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return None
            except OSError as exc:
                if exc.errno in OWN_SHORTAGE:
                    return exc
                if exc.errno not in NEXT_PLEASE:
                    raise
            else:
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handle_connection(connection, address[0], address[1])
        return None

    try:
        while True:
            problem = await poller.drive(listening.fileno(), step)
            log.error("cannot accept", error=problem.strerror, hint="raise ulimit -n")
            await trio.sleep(OUT_OF_FILES_SECONDS)
    finally:
        poller.closing(listening.fileno())
        listening.close()
