"""What the kernel is told, and asked, about a TCP connection besides its bytes."""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio

from trio_router.core.session.liveness import Delivery

#: So many bytes may lie unsent in the kernel for a peer that reads slowly: the replica is held back instead. For all
#: peers from the start it cost a third more CPU at pushed frames of 256 KiB (1 and 2 MiB: no less, within the noise),
#: because whoever keeps up is then waited for more often.
UNSENT_BYTES: Final = 512 * 1024
#: Where ``tcpi_bytes_acked`` (Linux 4.1) and ``tcpi_notsent_bytes`` (4.6) stand in ``struct tcp_info`` (linux/tcp.h).
_ACKED: Final = struct.Struct("=120xQ")
_UNSENT: Final = struct.Struct("=144xI")


def bare_socket(sock: trio.socket.SocketType) -> socket.socket:
    """Take the socket out of Trio's wrapper. It does not block, and does not wait to fill a segment."""
    family, kind, proto = sock.family, sock.type, sock.proto
    raw = socket.socket(family, kind, proto, fileno=sock.detach())
    raw.setblocking(False)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A SocketStream lets it hold only 16 KiB unsent, so that a writer hears early of a slow reader; a pump does anyway.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)
    return raw


def bound_unsent(sock: socket.socket) -> None:
    """Let a socket hold no more than about `UNSENT_BYTES` unsent (tcp(7), TCP_NOTSENT_LOWAT).

    Bytes that are on their way are not counted: how many those may be is up to the peer's window.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def delivery_of(sock: socket.socket) -> Delivery | None:
    """How far the peer's kernel has taken what was written; None where this kernel cannot say. One system call."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:  # not TCP
        return None
    if len(info) < _UNSENT.size:
        return None
    return Delivery(_ACKED.unpack_from(info)[0], _UNSENT.unpack_from(info)[0])
