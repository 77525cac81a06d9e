"""Collects the head of one HTTP message from bytes as they come."""

from __future__ import annotations

from typing import Final

from trio_router.core.errors import HeadTooLarge

_END: Final = b"\r\n\r\n"


class HeadReader:
    """Feed it bytes until it has the head, which may have ``limit`` bytes, its empty line included."""

    __slots__ = ("_data", "_limit", "early", "head")

    def __init__(self, limit: int) -> None:
        #: Everything up to and including the empty line; empty until it is complete.
        self.head = b""
        #: The bytes that followed the head.
        self.early = b""
        self._data = bytearray()
        self._limit = limit

    def feed(self, data: bytes | bytearray) -> bytes | None:
        """Take the next bytes. Returns the head once it is complete, None before. Must not be fed again then.

        Each byte is searched once, however small the pieces are.

        Raises:
            HeadTooLarge: the head has more than ``limit`` bytes, or did not end within as many.
        """
        seen = len(self._data)
        self._data += data
        end = self._data.find(_END, max(0, seen - len(_END) + 1))
        size = len(self._data) if end < 0 else end + len(_END)
        if size > self._limit:
            raise HeadTooLarge(self._limit)
        if end < 0:
            return None
        self.head, self.early = bytes(self._data[:size]), bytes(self._data[size:])
        self._data.clear()
        return self.head
