"""Whether a client's upgrade request is correct: RFC 6455 section 4.2.1, and what RFC 9112 requires of every request.

Checked completely before there is a session. What is accepted here is answered 101 unless a replica objects, so no
replica is dialled for a request that is refused afterwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from trio_router.core.http.head import TOKEN, RequestHead

#: Request lines of 8,000 bytes must be expected everywhere (RFC 9112 section 3). Servers end soon above: `websockets` at
#: 8,192 bytes a line, nginx at 8 KiB, Apache (LimitRequestFieldSize) at 8,190. Holds for the target and for each field.
MAX_FIELD_BYTES: Final = 8000
#: Apache's limit (LimitRequestFields). `websockets` takes 128, of which the router fills up to ten itself.
MAX_FIELDS: Final = 100
#: The one version there is (RFC 6455 section 4.1, item 9).
VERSION: Final = b"13"

#: Origin-form in visible ASCII, without a fragment (RFC 9112 section 3.2.1, RFC 6455 section 3).
_TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
#: RFC 9110 section 7.2: uri-host [":" port]; an address may have a zone (RFC 6874).
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~%-]+)?\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?"
)
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
#: Fields of which a request has one at most (RFC 6455 section 11.3, RFC 9110 sections 7.2, 8.6 and 11.6.2, RFC 6454
#: section 7.3). Of two, one reader takes the first and another one the last.
_SINGLE: Final = (
    b"host",
    b"upgrade",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"content-length",
    b"transfer-encoding",
    b"origin",
    b"authorization",
)


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A refused request: HTTP status, and in ``text`` the reason for the client's developer."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def answer(self) -> bytes:
        """The whole response. It closes the connection: after a wrong request the next one cannot be delimited."""
        body = self.text.encode() + b"\n"
        options = b"upgrade, close" if any(name == b"upgrade" for name, _ in self.headers) else b"close"
        lines = [
            b"HTTP/1.1 %d %s" % (self.status, HTTPStatus(self.status).phrase.encode()),
            b"connection: " + options,
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(body),
            *(name + b": " + value for name, value in self.headers),
        ]
        return b"\r\n".join([*lines, b"", body])


def upgrade_problem(request: RequestHead) -> BadRequest | None:
    """What is wrong with a request to upgrade; None if it may be answered 101. Never raises.

    ``request`` comes from `parse_head`, which has checked that its names are tokens and its values free of control
    characters.
    """
    fields = dict(request.headers)
    return _too_large(request, fields) or _wrong_request(request, fields) or _wrong_handshake(request, fields)


def _too_large(request: RequestHead, fields: dict[bytes, bytes]) -> BadRequest | None:
    """What a replica's server would refuse as too large, and would be blamed for."""
    if len(request.target) > MAX_FIELD_BYTES:
        return BadRequest(414, f"the request target has more than {MAX_FIELD_BYTES} bytes")
    if len(request.headers) > MAX_FIELDS:
        return BadRequest(431, f"the request has {len(request.headers)} header fields, more than {MAX_FIELDS}")
    for name, value in request.headers:
        if len(name) + len(value) > MAX_FIELD_BYTES:
            return _large(name)
    # Measured as it is forwarded: several fields as one.
    if b"x-forwarded-for" in fields and len(b", ".join(request.all(b"x-forwarded-for"))) > MAX_FIELD_BYTES:
        return _large(b"x-forwarded-for")
    if b"sec-websocket-protocol" in fields and len(", ".join(request.subprotocols)) > MAX_FIELD_BYTES:
        return _large(b"sec-websocket-protocol")
    return None


def _wrong_request(request: RequestHead, fields: dict[bytes, bytes]) -> BadRequest | None:
    """Rules for every request; and none may have a body, because frames follow its head."""
    if request.method != b"GET":
        return _wrong(f"an upgrade must be asked for by GET, not {_shown(request.method)}")
    if request.version != b"HTTP/1.1":
        return _wrong(f"an upgrade must be asked for in HTTP/1.1, not {_shown(request.version)}")
    if not _TARGET.fullmatch(request.target):
        return _wrong("the request target must be a path in visible ASCII characters without a fragment")
    if len(fields) != len(request.headers):
        for name in _SINGLE:
            if len(request.all(name)) > 1:
                return _wrong(f"more than one {_title(name)} field")
    if b"host" not in fields:
        return _wrong("no Host field")
    if not _HOST.fullmatch(fields[b"host"]):
        return _wrong(f"the Host field is no host with an optional port: {_shown(fields[b'host'])}")
    if b"transfer-encoding" in fields:
        return _wrong("an upgrade request has no body, but there is a Transfer-Encoding field")
    if fields.get(b"content-length", b"0") != b"0":
        return _wrong("an upgrade request has no body, but there is a Content-Length field that is not 0")
    return None


def _wrong_handshake(request: RequestHead, fields: dict[bytes, bytes]) -> BadRequest | None:
    """The rules of RFC 6455 section 4.2.1, items 3 to 8."""
    if fields.get(b"upgrade", b"").lower() != b"websocket":
        return _wrong("the Upgrade field must be websocket, and nothing else")
    connection = b",".join(request.all(b"connection")).lower()
    options = [option.strip() for option in connection.split(b",")]
    if b"upgrade" not in options or not TOKEN.fullmatch(b"".join(options)):
        return _wrong("the Connection field must be a list of options with upgrade in it")
    version = fields.get(b"sec-websocket-version")
    if version is None:
        return _wrong("no Sec-WebSocket-Version field")
    if version != VERSION:
        headers = ((b"sec-websocket-version", VERSION), (b"upgrade", b"websocket"))
        return BadRequest(426, f"the WebSocket version must be 13, not {_shown(version)}", headers)
    if not _KEY.fullmatch(fields.get(b"sec-websocket-key", b"")):
        return _wrong("the Sec-WebSocket-Key field must be 16 bytes in base64")
    for name in request.subprotocols if b"sec-websocket-protocol" in fields else ():
        if not TOKEN.fullmatch(name.encode("latin-1")):
            return _wrong(f"a sub-protocol must be a token, not {_shown(name.encode('latin-1'))}")
    return None


def _wrong(text: str) -> BadRequest:
    return BadRequest(400, text)


def _large(name: bytes) -> BadRequest:
    return BadRequest(431, f"the header field {_shown(name)} has more than {MAX_FIELD_BYTES} bytes")


def _title(name: bytes) -> str:
    return name.decode("ascii").title().replace("Websocket", "WebSocket")


def _shown(value: bytes) -> str:
    """A value of the client's, shortened, in printable ASCII."""
    return repr(value[:80])[1:]
