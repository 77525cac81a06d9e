"""The open connections of a demo replica, and how they are reset at once."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close() sends a TCP reset


class OpenConnections:
    """The accepted connections of one replica, so that all of them can be reset."""

    def __init__(self) -> None:
        self._streams: set[trio.SocketStream] = set()

    @contextmanager
    def track(self, stream: trio.SocketStream) -> Iterator[None]:
        """`stream` is open while the block runs."""
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    def reset_on_close(self) -> None:
        """From now on, closing any of them sends a reset and drops what was not sent yet."""
        for stream in self._streams:
            if stream.socket.fileno() >= 0:
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
