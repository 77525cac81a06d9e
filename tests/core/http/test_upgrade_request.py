"""Which upgrade requests are correct. Third-party oracles: h11 and `websockets` must take what we take."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.core.samples import QUICK
from trio_router.core.http.head import RequestHead, forwarded_headers, parse_head
from trio_router.core.http.upgrade import Upgrade
from trio_router.core.http.upgrade_request import MAX_FIELD_BYTES, MAX_FIELDS, BadRequest, upgrade_problem

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASK = (
    b"GET /v1/stream?a=b%20c HTTP/1.1\r\nHost: [::1]:9000\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\nCookie: a=1\r\n\r\n"
)
#: An own field of the sample that others are put in place of.
COOKIE = b"Cookie: a=1"


def ask(was: bytes = b"", becomes: bytes = b"") -> RequestHead:
    assert was in ASK
    head = parse_head(ASK.replace(was, becomes, 1))
    assert head is not None
    return head


def problem(was: bytes, becomes: bytes) -> BadRequest:
    found = upgrade_problem(ask(was, becomes))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"", b""),
        (b"keep-alive, Upgrade", b"keep-alive\r\nConnection: upgrade"),
        (b"keep-alive, Upgrade", b", upgrade ,,"),
        (COOKIE, b"Cookie: a=1\r\nCookie: b=2"),
        (COOKIE, b"Content-Length: 0"),
        (COOKIE, b"Sec-WebSocket-Protocol: a, ,b\r\nSec-WebSocket-Protocol: c"),
        (COOKIE, b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: x"),
        (COOKIE, b"Expect: 100-continue"),
        (COOKIE, b"X-Forwarded-For: a\r\nX-Forwarded-For: b"),
        (COOKIE, b"X: caf\xc3\xa9\t\xff"),
        (b"[::1]:9000", b"a.b-c_d:"),
        (b"[::1]:9000", b"[fe80::1%25eth0]"),
        (b"[::1]:9000", b"x" * 64 + b":80"),
        (b"/v1/stream?a=b%20c", b'/v1/stream?{"a"}|^'),
    ],
)
def test_a_correct_request_has_no_problem(was: bytes, becomes: bytes) -> None:
    assert upgrade_problem(ask(was, becomes)) is None


@pytest.mark.parametrize(
    ("was", "becomes", "text"),
    [
        (b"GET", b"POST", "by GET, not 'POST'"),
        (b"HTTP/1.1", b"HTTP/1.0", "in HTTP/1.1, not 'HTTP/1.0'"),
        (b"HTTP/1.1", b"HTTP/1.x", "in HTTP/1.1, not 'HTTP/1.x'"),
        (b"/v1/stream", b"/v1/\xff", "request target"),
        (b"/v1/stream", b"/v1/stream#f", "request target"),
        (b"/v1/stream?a=b%20c", b"*", "request target"),
        (b"Host: [::1]:9000\r\n", b"", "no Host field"),
        (b"[::1]:9000", b"", "no host with an optional port: ''"),
        (b"[::1]:9000", b"a b", "no host with an optional port: 'a b'"),
        (b"[::1]:9000", b"\xff", r"no host with an optional port: '\xff'"),
        (b"[::1]:9000", b"u@a", "no host"),
        (b"[::1]:9000", b"a:b", "no host"),
        (b"[::1]:9000", b"a, b", "no host"),
        (b"[::1]:9000", b"a%2", "no host"),
        (COOKIE, b"Host: [::1]:9000", "more than one Host field"),
        (COOKIE, b"Upgrade: websocket", "more than one Upgrade field"),
        (COOKIE, b"Sec-WebSocket-Key: " + KEY, "more than one Sec-WebSocket-Key field"),
        (COOKIE, b"Sec-WebSocket-Version: 13", "more than one Sec-WebSocket-Version field"),
        (COOKIE, b"Content-Length: 0\r\nContent-Length: 0", "more than one Content-Length field"),
        (COOKIE, b"Origin: a\r\nOrigin: b", "more than one Origin field"),
        (COOKIE, b"Authorization: a\r\nAuthorization: b", "more than one Authorization field"),
        (COOKIE, b"Content-Length: 5", "no body, but there is a Content-Length"),
        (COOKIE, b"Content-Length: -0", "no body, but there is a Content-Length"),
        (COOKIE, b"Transfer-Encoding: chunked", "no body, but there is a Transfer-Encoding"),
        (COOKIE, b"Content-Length: 0\r\nTransfer-Encoding: chunked", "no body, but there is a Transfer-Encoding"),
        (b"Upgrade: WebSocket", b"Upgrade: websocket, h2c", "Upgrade field must be websocket"),
        (b"Upgrade: WebSocket", b"Upgrade: websockets", "Upgrade field must be websocket"),
        (b"Upgrade: WebSocket\r\n", b"", "Upgrade field must be websocket"),
        (b"keep-alive, Upgrade", b"keep-alive, Upgrader", "Connection field must be a list of options with upgrade"),
        (b"keep-alive, Upgrade", b'"keep-alive", Upgrade', "Connection field must be a list of options"),
        (b"keep-alive, Upgrade", b"keep alive, Upgrade", "Connection field must be a list of options"),
        (b"Connection: keep-alive, Upgrade\r\n", b"", "Connection field must be a list of options with upgrade"),
        (b"Sec-WebSocket-Version: 13\r\n", b"", "no Sec-WebSocket-Version"),
        (b"Sec-WebSocket-Key: " + KEY + b"\r\n", b"", "16 bytes in base64"),
        (KEY, b"YWJj", "16 bytes in base64"),
        (KEY, KEY[:-2], "16 bytes in base64"),
        (KEY, KEY[:-3] + b"===", "16 bytes in base64"),
        (COOKIE, b"Sec-WebSocket-Protocol: a b", "must be a token, not 'a b'"),
        (COOKIE, b"Sec-WebSocket-Protocol: \xff", "must be a token"),
    ],
)
def test_a_wrong_request_is_answered_400_with_what_is_wrong(was: bytes, becomes: bytes, text: str) -> None:
    found = problem(was, becomes)
    assert found.status == 400
    assert text in found.text


@pytest.mark.parametrize("version", [b"8", b"14", b"013", b"13, 8", b"", b"x\xff"])
def test_another_version_is_answered_426_with_the_one_that_is_spoken(version: bytes) -> None:
    found = problem(b"Version: 13", b"Version: " + version)
    assert found.status == 426
    answer = read(found.answer())
    fields = dict(answer.headers)
    assert (fields[b"sec-websocket-version"], fields[b"upgrade"]) == (b"13", b"websocket")
    assert fields[b"connection"] == b"upgrade, close"


def read(answer: bytes) -> h11.Response:
    """As a client reads it, to the end."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    response, body, end = client.next_event(), client.next_event(), client.next_event()
    assert isinstance(response, h11.Response)
    assert isinstance(body, h11.Data)
    assert isinstance(end, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    assert body.data.endswith(b"\n")
    return response


def test_the_answer_says_why_and_ends_the_connection() -> None:
    answer = BadRequest(431, "too much").answer()
    response = read(answer)
    assert response.status_code == 431
    assert answer.endswith(b"\r\n\r\ntoo much\n")
    assert dict(response.headers)[b"connection"] == b"close"


# What is forwarded has bounds


def padded(name: bytes, size: int) -> bytes:
    return name + b": " + b"x" * (size - len(name))


def test_a_field_may_have_so_many_bytes_and_no_more() -> None:
    assert upgrade_problem(ask(COOKIE, padded(b"X-Long", MAX_FIELD_BYTES))) is None
    found = problem(COOKIE, padded(b"X-Long", MAX_FIELD_BYTES + 1))
    assert found == BadRequest(431, "the header field 'x-long' has more than 8000 bytes")


def test_a_request_may_have_so_many_fields_and_no_more() -> None:
    own = len(ask().headers)
    more = b"\r\n".join(b"X-%d: 1" % number for number in range(MAX_FIELDS - own + 1))
    assert upgrade_problem(ask(COOKIE, more)) is None
    found = problem(COOKIE, more + b"\r\nX: 1")
    assert found == BadRequest(431, "the request has 101 header fields, more than 100")


def test_a_target_may_have_so_many_bytes_and_no_more() -> None:
    was = b"/v1/stream?a=b%20c"
    assert upgrade_problem(ask(was, b"/" * MAX_FIELD_BYTES)) is None
    assert problem(was, b"/" * (MAX_FIELD_BYTES + 1)).status == 414


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"Sec-WebSocket-Protocol"])
def test_fields_that_become_one_are_measured_as_one(name: bytes) -> None:
    def two(size: int) -> bytes:
        return b"\r\n".join([padded(name, len(name) + size)] * 2)

    assert upgrade_problem(ask(COOKIE, two(MAX_FIELD_BYTES // 2 - 2))) is None
    assert problem(COOKIE, two(MAX_FIELD_BYTES // 2)).status == 431


def test_an_offer_that_grows_on_its_way_is_measured_as_it_leaves() -> None:
    assert problem(COOKIE, b"Sec-WebSocket-Protocol: " + b"a," * 3000).status == 431


# Whatever comes


def by_h11(data: bytes) -> h11.Request:
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    return event


def taken_by_websockets(head: RequestHead) -> None:
    fields = Headers([(name.decode(), value.decode("latin-1")) for name, value in head.headers])
    request = Request(head.target.decode(), fields)
    ServerProtocol().process_request(request)  # raises for a wrong one


FIELDS = st.sampled_from(
    [line + b"\r\n" for line in ASK.split(b"\r\n")[1:-2]]
    + [
        b"Host: \xff\r\n",
        b"Host: a:80\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 0, 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"connection : Upgrade\r\n",
        b"Upgrade: h2c\r\n",
        b"Sec-WebSocket-Protocol: a,\r\n",
        b"Sec-WebSocket-Protocol: (\r\n",
        b" folded: line\r\n",
        b" folded\r\n",
        b"no colon\r\n",
        b"X:\r\n",
        b"X: \t a \t b \t\r\n",
    ]
)
PIECES = FIELDS | st.binary(max_size=12) | st.binary(max_size=12).map(lambda data: b"X: " + data + b"\r\n")
LINES = st.sampled_from(
    [b"GET /v1/stream HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"GET /\xff HTTP/1.1\r\n", b"GET * HTTP/1.1\r\n"]
)
HEADS = st.tuples(
    LINES | st.binary(max_size=40), st.lists(PIECES, max_size=4), st.permutations(ASK.split(b"\r\n")[1:-2])
)


@QUICK
@given(HEADS, st.booleans(), st.integers(0, 7))
@example((b"GET / HTTP/1.1\r\n", [], ASK.split(b"\r\n")[1:-2]), True, 7)
def test_it_never_raises_and_whatever_it_takes_others_take_too(
    parts: tuple[bytes, list[bytes], list[bytes]], late: bool, kept: int
) -> None:
    first, odd, own = parts
    lines = b"".join(line + b"\r\n" for line in own[: kept or 7])
    data = first + (lines + b"".join(odd) if late else b"".join(odd) + lines) + b"\r\n"
    data = data[: data.find(b"\r\n\r\n") + 4]  # as a HeadReader cuts it
    head = parse_head(data)
    if head is None or upgrade_problem(head) is not None:
        return
    event = by_h11(data)
    assert (event.target, list(event.headers)) == (head.target, head.headers)
    taken_by_websockets(head)
    # And what a replica is sent for it is read as it was meant.
    headers = forwarded_headers(
        head.headers, client="192.0.2.1", scheme="http", host=head.get(b"host"), request_id=b"1"
    )
    sent = by_h11(Upgrade(head.target, head.subprotocols, tuple(headers)).request("replica:1", KEY))
    assert list(sent.headers)[-len(headers) :] == headers


@QUICK
@given(st.binary(max_size=60), st.integers(0, len(ASK)), st.integers(0, 12))
def test_a_correct_request_with_a_hole_or_dirt_in_it_is_refused_or_still_correct(
    dirt: bytes, at: int, cut: int
) -> None:
    data = ASK[:at] + dirt + ASK[at + cut :]
    end = data.find(b"\r\n\r\n")
    head = parse_head(data[: end + 4])
    if end >= 0 and head is not None and upgrade_problem(head) is None:
        assert list(by_h11(data[: end + 4]).headers) == head.headers
        taken_by_websockets(head)
