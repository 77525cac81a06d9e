"""The opening handshake (RFC 6455 section 4), both sides.

Pure: heads as bytes. `Upgrade` is the client's side, which the router plays towards its replicas. `plain_answer` is the
server's side for an ordinary request; an unusual one is answered by trio-websocket (`handshake`). Both stand here because
trio-websocket's tasks and objects, and h11 beneath them, were two thirds of the CPU of opening a session (bench/,
scenario churn).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trio_router.core.errors import DialError
from trio_router.core.http.head import UNFIT, Headers, RequestHead, parse_fields

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS: Final = re.compile(rb"[1-5][0-9][0-9]")
#: Overloaded or restarting (RFC 9110 section 15.6.4, RFC 6585 section 4): the replica is up, but busy.
REFUSING_STATUS: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A client's request as it is passed on to a replica. ``target`` is path and query."""

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
        """The first rule of RFC 6455 section 4.1 that the answer breaks, as text; None if it breaks none."""
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
    """The 101 to a correct request (`core.upgrade_request.upgrade_problem` found nothing) that is an ordinary one.

    None for a correct but unusual one: a field stands in it twice, or a Content-Length of 0.
    """
    fields = dict(request.headers)
    if len(fields) != len(request.headers) or b"content-length" in fields:
        return None
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_token(fields[b"sec-websocket-key"]),
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode("latin-1"))
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", b""])


def reduced(request: RequestHead) -> bytes:
    """A correct upgrade request with nothing but what the handshake needs, each field once.

    For trio-websocket. It takes the last of several Connection fields for all of them, and its own decoding of the Host
    raises at labels of more than 63 characters, the port counted in; so it is given a name in its place.
    """
    return Upgrade(request.target, request.subprotocols).request("router", request.get(b"sec-websocket-key") or b"")


def accept_token(key: bytes) -> bytes:
    """The value of Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2, item 5.4)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
