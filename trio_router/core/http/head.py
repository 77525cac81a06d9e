"""The head of an HTTP/1.1 request, as far as a router reads it: its path, and whether it asks for WebSocket.

It decides only who answers. Whether the request is correct is checked elsewhere: an upgrade in `upgrade_request`, the
rest by hypercorn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

Headers = list[tuple[bytes, bytes]]

#: Not forwarded: they describe one connection (RFC 9110 section 7.6.1), or are the handshake's own. ``Expect`` asks for a
#: 100 before a body (section 10.1.1); an upgrade has none, and servers answer 417 or 100 where a 101 is awaited.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: Bytes that may not occur in any line of a head.
UNFIT: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request line and header fields; names in lower case, values without the space around them."""

    method: bytes
    target: bytes
    headers: Headers
    version: bytes = b"HTTP/1.1"

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition(b"?")[0].decode("ascii", "replace")

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field of that name (lower case); None if there is none."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name, in their order."""
        return [value for key, value in self.headers if key == name]

    def query(self, name: str) -> str | None:
        """The first value of a query parameter, decoded; None if there is none."""
        values = parse_qs(self.target.partition(b"?")[2].decode("ascii", "replace")).get(name)
        return values[0] if values else None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, as it was sent; None if there is none."""
        for field in self.all(b"cookie"):
            for pair in field.decode("latin-1").split(";"):
                key, _, value = pair.strip().partition("=")
                if key == name:
                    return value.strip('"')
        return None

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The sub-protocols that the client offers, in its order, without empty list elements (RFC 9110 section 5.6.1.2)."""
        names = [name.strip() for field in self.all(b"sec-websocket-protocol") for name in field.split(b",")]
        return tuple(name.decode("latin-1") for name in names if name)

    @property
    def wants_websocket(self) -> bool:
        """Whether it seems to be an upgrade to WebSocket."""
        return self.method == b"GET" and any(b"websocket" in value.lower() for value in self.all(b"upgrade"))

    @property
    def asks_correctly(self) -> bool:
        """Whether an upgrade has what the handshake needs. `upgrade_request.upgrade_problem` checks much more."""
        return (
            b"upgrade" in (self.get(b"connection") or b"").lower()
            and self.get(b"sec-websocket-version") == b"13"
            and all(self.get(name) for name in (b"host", b"sec-websocket-key"))
        )


def without_upgrade(head: bytes) -> bytes:
    """The same request without its wish to upgrade, which a server may ignore (RFC 9110 section 7.8).

    hypercorn would switch to HTTP/2 in the clear, and then one connection carries more than one request.
    """
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith((b"upgrade:", b"http2-settings:")))


def parse_head(head: bytes) -> RequestHead | None:
    """Parse everything up to and including the empty line; None if it is not HTTP/1.1.

    Also None for what the next parser could read as another head (RFC 9112 sections 2.2, 5.1 and 5.2): a bare CR, LF or
    NUL, a name with a space, a line without a colon, a folded line. Fields are forwarded unchanged, so none may be
    smuggled through.
    """
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or UNFIT.search(b"".join(lines)):
        return None
    if not parts[1].startswith(b"/") and parts[1] != b"*":
        return None
    fields = parse_fields(lines[1:])
    if len(fields) != len(lines) - lines.count(b"") - 1:  # a line without a colon
        return None
    names = [name for name, _ in fields]
    if names and not (all(names) and TOKEN.fullmatch(b"".join(names))):
        return None
    return RequestHead(parts[0], parts[1], fields, parts[2])


def parse_fields(lines: Iterable[bytes]) -> Headers:
    """Header lines as (lower-case name, value); lines without a colon are left out."""
    fields = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip()) for name, colon, value in fields if colon]


def forwarded_headers(headers: Headers, *, client: str, scheme: str, host: bytes | None, request_id: bytes) -> Headers:
    """The fields that a replica is sent: the end-to-end fields, and where the request came from.

    A proxy in front appended its own addresses to X-Forwarded-For; the router appends ``client``, the address it sees.
    """
    named = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    out = [
        (key, value)
        for key, value in headers
        if key not in HOP_BY_HOP and key not in named and key not in _OURS and not key.startswith(b"sec-websocket-")
    ]
    seen = dict(headers)
    chain = [value for key, value in headers if key == b"x-forwarded-for"]
    out.append((b"x-forwarded-for", b", ".join([*chain, client.encode()])))
    out.append((b"x-forwarded-proto", seen.get(b"x-forwarded-proto", scheme.encode())))
    if seen.get(b"x-forwarded-host", host):
        out.append((b"x-forwarded-host", seen.get(b"x-forwarded-host", host or b"")))
    out.append((b"x-request-id", request_id))
    return out


_OURS: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"})


def end_to_end(headers: Headers) -> Headers:
    """The fields of a replica's 101 that the client gets: its cookies. The sub-protocol is handled separately.

    All others describe the replica (Server, Date), its connection, or an answer that is not a 101 (Location).
    """
    return [(name, value) for name, value in headers if name == b"set-cookie" and not UNFIT.search(value)]
