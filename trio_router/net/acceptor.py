"""Listening sockets. What connects is handed over as a bare socket, several in one go and without a task switch."""

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

#: Connections that the kernel completes before they are accepted; a burst of reconnects after a restart needs room.
BACKLOG: Final = 4096
#: Accepted in one go: whoever is connected already is served in between.
ACCEPTS_PER_TURN: Final = 64
#: For descriptors to become free.
OUT_OF_FILES_SECONDS: Final = 0.1
#: Not the listening socket's: they belong to the connection that would have been next (accept(2), "Error handling").
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
    """Listen on all addresses of ``host``; port 0 is any free one.

    Raises:
        StartError: the address cannot be listened on.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except (OSError, UnicodeError) as exc:  # UnicodeError: no name that could be looked up
        raise StartError(f"cannot listen on {host}:{port}: {getattr(exc, 'strerror', None) or exc}") from None


async def accept(
    listening: socket.socket, poller: Poller, handle_connection: Callable[[socket.socket, str, int], object]
) -> None:
    """Until cancelled: ``handle_connection(connection, client's IP address, client's port)`` for each; it owns it, and must
    not raise.

    Owns ``listening``, which must not block. Nor do the connections, which do not wait to fill a segment either.
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
