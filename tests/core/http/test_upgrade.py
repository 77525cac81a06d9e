"""Both halves of the opening handshake. Third-party oracles: h11 reads what we write, `websockets` makes the tokens."""

from __future__ import annotations

import h11
import pytest
from websockets.headers import build_host
from websockets.utils import accept_key

from trio_router.core.errors import DialError
from trio_router.core.http.head import RequestHead, parse_head
from trio_router.core.http.upgrade import Upgrade, accept_token, plain_answer, reduced

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASK = (
    b"GET /v1/stream HTTP/1.1\r\nHost: [::1]:9000\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\nCookie: a=1\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=1\r\n\r\n"
)


def ask(was: bytes = b"", becomes: bytes = b"") -> RequestHead:
    head = parse_head(ASK.replace(was, becomes, 1))
    assert head is not None
    return head


def test_the_token_is_that_of_the_rfc() -> None:
    assert accept_token(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" == accept_key(KEY.decode()).encode()


def test_our_request_is_what_it_should_be() -> None:
    upgrade = Upgrade(b"/v1/stream?a=b%20c", ("fv.2", "fv.1"), [(b"cookie", b"x=1"), (b"cookie", b"y=2")])
    server = h11.Connection(h11.SERVER)
    server.receive_data(upgrade.request(build_host("::1", 8000, secure=False), KEY))
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (b"GET", b"/v1/stream?a=b%20c")
    assert list(event.headers) == [
        (b"host", b"[::1]:8000"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-protocol", b"fv.2, fv.1"),
        (b"cookie", b"x=1"),
        (b"cookie", b"y=2"),
    ]
    assert b"protocol" not in Upgrade(b"/").request("h", KEY).lower()


def test_what_we_ask_we_answer() -> None:
    request = parse_head(Upgrade(b"/x", ("a",)).request("h:1", KEY))
    assert request is not None
    answer = plain_answer(request, "a", [(b"set-cookie", b"c=1"), (b"set-cookie", b"d=2")])
    assert answer is not None
    chosen, headers = Upgrade(b"/x", ("a",)).read_answer(answer, KEY)
    assert chosen == "a"
    assert [value for name, value in headers if name == b"set-cookie"] == [b"c=1", b"d=2"]


def test_a_right_answer_is_taken() -> None:
    chosen, headers = Upgrade(b"/").read_answer(ANSWER, KEY)
    assert chosen is None
    assert (b"set-cookie", b"a=1") in headers


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        (b"Upgrade: WebSocket\r\n", b"", "no Upgrade: websocket"),
        (b"Upgrade: WebSocket", b"Upgrade: h2c", "no Upgrade: websocket"),
        (b"Connection: Upgrade", b"Connection: close", "no Connection: Upgrade"),
        (b"s3pP", b"S3pP", "Sec-WebSocket-Accept does not match"),
        (b"Set-Cookie: a=1", b"Sec-WebSocket-Extensions: permessage-deflate", "an extension that nobody offered"),
        (b"Set-Cookie: a=1", b"Sec-WebSocket-Protocol: other", "sub-protocol 'other', which nobody offered"),
    ],
)
def test_a_wrong_handshake_is_not_taken(was: bytes, becomes: bytes, words: str) -> None:
    with pytest.raises(DialError, match="answered a wrong handshake") as caught:
        Upgrade(b"/", ("fv.1",)).read_answer(ANSWER.replace(was, becomes, 1), KEY)
    assert words in str(caught.value)
    assert (caught.value.status, caught.value.refused, caught.value.is_answer) == (None, False, False)
    assert caught.value.reached, "it got the request: whose fault it is is not clear"


@pytest.mark.parametrize(
    ("first", "words", "status", "refused"),
    [
        (b"HTTP/1.1 404 Not Found", "answered HTTP 404", 404, False),
        (b"HTTP/1.1 403", "answered HTTP 403", 403, False),
        (b"HTTP/1.1 429 Too Many", "answered HTTP 429", 429, True),
        (b"HTTP/1.1 503 Full", "answered HTTP 503", 503, True),
        (b"HTTP/1.1 500 Oops", "answered HTTP 500", 500, False),
        (b"HTTP/1.1 200 OK", "answered HTTP 200", 200, False),
        (b"HTTP/1.0 101 Old", "spoke no HTTP", None, False),
        (b"HTTP/1.1 abc", "spoke no HTTP", None, False),
        (b"HTTP/1.1", "spoke no HTTP", None, False),
        (b"SSH-2.0-x", "spoke no HTTP", None, False),
        (b"\x16\x03\x01", "spoke no HTTP", None, False),
    ],
)
def test_another_answer_says_what_it_was(first: bytes, words: str, status: int | None, refused: bool) -> None:
    with pytest.raises(DialError, match=words) as caught:
        Upgrade(b"/").read_answer(first + b"\r\nServer: x\r\n\r\n", KEY)
    assert (caught.value.status, caught.value.refused) == (status, refused)


def test_no_answer_at_all() -> None:
    with pytest.raises(DialError, match="hung up before it answered"):
        Upgrade(b"/").read_answer(b"", KEY)


def test_an_ordinary_request_is_answered() -> None:
    assert plain_answer(ask(), None, []) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize(
    "added",
    [
        b"Cookie: b=2",
        b"Connection: close",
        b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b",
        b"Content-Length: 0",
    ],
)
def test_an_unusual_request_is_left_to_who_knows_more(added: bytes) -> None:
    assert plain_answer(ask(b"Cookie: a=1", b"Cookie: a=1\r\n" + added), None, []) is None


def test_of_a_request_only_what_the_handshake_needs_is_kept() -> None:
    odd = ask(
        b"keep-alive, Upgrade", b"Upgrade\r\nConnection: close\r\nSec-WebSocket-Protocol: a, b\r\nContent-Length: 0"
    )
    found = parse_head(reduced(odd))
    assert found is not None
    assert found.headers == [
        (b"host", b"router"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-protocol", b"a, b"),
    ]
    assert (found.method, found.target) == (b"GET", b"/v1/stream")
