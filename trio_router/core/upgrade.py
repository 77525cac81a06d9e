"""The opening handshake (RFC 6455 section 4) without generality: both halves, for the case that is always the case.

Pure: heads as bytes. `Upgrade` is the client's half, which the router plays towards its replicas. `plain_answer` is the
server's half for a request that leaves no question open; every other request is judged by trio-websocket (`handshake`).
Both stand here because trio-websocket's tasks and objects, and h11 behind them, were two thirds of the CPU of opening a
session (bench/, scenario churn).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trio_router.core.errors import DialError
from trio_router.core.head import UNFIT, Headers, RequestHead, parse_fields

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_STATUS: Final = re.compile(rb"[1-5][0-9][0-9]")
_HOST: Final = re.compile(rb"[A-Za-z0-9.:_\[\]-]+")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # a token, RFC 9110 section 5.6.2, in lower case
#: Full, restarting, or asked too often: the replica is up and says no.
REFUSING_STATUS: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a client asked for, as it is passed on to a replica. ``target`` is path and query."""

    target: bytes
    subprotocols: tuple[str, ...] = ()
    headers: Sequence[tuple[bytes, bytes]] = ()

    def request(self, host: str, key: bytes) -> bytes:
        """The request's head. ``key`` is 16 random bytes in base64; ``host`` is the replica's own."""
        lines = [
            b"GET " + self.target + b" HTTP/1.1",
            b"Host: " + host.encode("ascii"),
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + key,
        ]
        if self.subprotocols:
            lines.append(b"Sec-WebSocket-Protocol: " + ", ".join(self.subprotocols).encode("latin-1"))
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"", b""])

    def read_answer(self, head: bytes, key: bytes) -> tuple[str | None, Headers]:
        """(sub-protocol chosen, header fields) of the replica's answer.

        Raises:
            DialError: it is not a correct 101; ``status`` has its HTTP status, if there was one.
        """
        first, *lines = head.split(b"\r\n")
        parts = first.split(maxsplit=2)
        status = int(parts[1]) if len(parts) > 1 and parts[0] == b"HTTP/1.1" and _STATUS.fullmatch(parts[1]) else 0
        if status != 101:
            words = (
                f"answered HTTP {status}" if status else "hung up before it answered" if not head else "spoke no HTTP"
            )
            raise DialError(words, refused=status in REFUSING_STATUS, status=status or None, reached=True)
        if UNFIT.search(b"".join(lines)):
            raise DialError("answered a wrong handshake: control characters in its head", reached=True)
        headers = parse_fields(lines)
        fields = dict(headers)
        chosen = fields.get(b"sec-websocket-protocol", b"").decode("latin-1") or None
        wrong = self._wrong(fields, chosen, key)
        if wrong:
            raise DialError(f"answered a wrong handshake: {wrong}", reached=True)
        return chosen, headers

    def _wrong(self, fields: dict[bytes, bytes], chosen: str | None, key: bytes) -> str | None:
        """The rules of section 4.1 for the answer, in their order."""
        if fields.get(b"upgrade", b"").lower() != b"websocket":
            return "no Upgrade: websocket"
        if b"upgrade" not in fields.get(b"connection", b"").lower():
            return "no Connection: Upgrade"
        if fields.get(b"sec-websocket-accept") != accept_token(key):
            return "the Sec-WebSocket-Accept does not match"
        if fields.get(b"sec-websocket-extensions"):
            return "an extension that nobody offered"
        if chosen is not None and chosen not in self.subprotocols:
            return f"sub-protocol {chosen!r}, which nobody offered"
        return None


def plain_answer(request: RequestHead, subprotocol: str | None, headers: Headers) -> bytes | None:
    """The 101 to a request that is correct beyond doubt (section 4.2.1); None for any other."""
    fields = dict(request.headers)
    key = fields.get(b"sec-websocket-key", b"")
    ordinary = (
        request.method == b"GET"
        and request.version == b"HTTP/1.1"
        and len(fields) == len(request.headers)  # no field twice
        and fields.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in [token.strip() for token in fields.get(b"connection", b"").lower().split(b",")]
        and fields.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key) is not None
        and _HOST.fullmatch(fields.get(b"host", b"")) is not None
        and b"content-length" not in fields
        and b"transfer-encoding" not in fields
        and all(_NAME.fullmatch(name) for name in fields)
    )
    if not ordinary:
        return None
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_token(key),
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode("latin-1"))
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", b""])


def accept_token(key: bytes) -> bytes:
    """Section 4.2.2, item 5.4."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
