"""A connection: one side of a session, as bytes that follow its handshake.

`TcpConnection` is plain TCP, read and written by system calls without a task switch; `StreamConnection` is any Trio
stream (TLS, a test's memory stream). Both have the interface `base.Connection`, so a pump need not tell them apart.
"""

from __future__ import annotations

import trio

from trio_router.core.session.outcome import Side
from trio_router.net.connection.base import Connection, Reader, Signal
from trio_router.net.connection.kernel import bare_socket, bound_unsent
from trio_router.net.connection.raw import RawStream
from trio_router.net.connection.stream import StreamConnection
from trio_router.net.connection.tcp import TcpConnection
from trio_router.net.poller import Poller

__all__ = [
    "Connection",
    "RawStream",
    "Reader",
    "Signal",
    "StreamConnection",
    "TcpConnection",
    "bare_socket",
    "bound_unsent",
    "make_connection",
]


def make_connection(stream: trio.abc.Stream, side: Side, poller: Poller, early: bytes) -> Connection:
    """A `Connection` over a stream whose handshake is done. ``early``: bytes that were read beyond the handshake.

    The connection owns ``stream``.
    """
    if isinstance(stream, RawStream):
        return TcpConnection(stream.socket, side, poller, early=early)
    return StreamConnection(stream, side, early=early)
