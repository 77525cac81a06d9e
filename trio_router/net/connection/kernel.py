"""What a TCP socket is set to, and asked about, besides its bytes. Linux only."""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio

from trio_router.core.session.liveness import Delivery

#: Bytes that may lie unsent in the kernel for a peer that reads slowly; beyond them the replica is slowed down instead.
#: Setting it for all peers from the start cost a third more CPU at pushed frames of 256 KiB (at 1 and 2 MiB nothing
#: beyond the noise): a peer that keeps up is then waited for more often.
UNSENT_BYTES: Final = 512 * 1024
#: Offsets of ``tcpi_bytes_acked`` (Linux 4.1) and ``tcpi_notsent_bytes`` (4.6) in ``struct tcp_info`` (linux/tcp.h).
_ACKED: Final = struct.Struct("=120xQ")
_UNSENT: Final = struct.Struct("=144xI")


def bare_socket(sock: trio.socket.SocketType) -> socket.socket:
    """Detach the socket from Trio's wrapper. It is non-blocking, with TCP_NODELAY and no TCP_NOTSENT_LOWAT."""
    family, kind, proto = sock.family, sock.type, sock.proto
    raw = socket.socket(family, kind, proto, fileno=sock.detach())
    raw.setblocking(False)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A trio.SocketStream limits unsent bytes to 16 KiB, so that a writer notices a slow reader early. A pump notices anyway.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)
    return raw


def bound_unsent(sock: socket.socket) -> None:
    """Limit the unsent bytes of a socket to about `UNSENT_BYTES` (tcp(7), TCP_NOTSENT_LOWAT).

    Bytes in flight do not count: the peer's window limits those.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def delivery_of(sock: socket.socket) -> Delivery | None:
    """The peer's acknowledged and unsent bytes; None if this kernel or socket does not report them. One system call."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:  # not TCP
        return None
    if len(info) < _UNSENT.size:
        return None
    return Delivery(_ACKED.unpack_from(info)[0], _UNSENT.unpack_from(info)[0])
