"""The head of a request, and what of it a replica is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK
from trio_router.core.http.head import HOP_BY_HOP, Headers, RequestHead, end_to_end, forwarded_headers, parse_head

UPGRADE = (
    b"GET /v1/stream?token=s%20t&token=2&empty= HTTP/1.1\r\nHost: router:9000\r\nUpgrade: WebSocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n"
    b'Cookie: a=1; sid="x=y"\r\nCOOKIE: late=2\r\n'
    b"Sec-WebSocket-Protocol: fv.2 , fv.1\r\nSec-WebSocket-Protocol: raw\r\n\r\n"
)


def upgrade() -> RequestHead:
    head = parse_head(UPGRADE)
    assert head is not None
    return head


def forward(*headers: tuple[bytes, bytes], host: bytes | None = b"router:9000") -> Headers:
    return forwarded_headers(list(headers), client="192.0.2.1", scheme="https", host=host, request_id=b"run-1")


def test_a_head_is_read() -> None:
    head = upgrade()
    assert (head.method, head.path) == (b"GET", "/v1/stream")
    assert head.get(b"host") == b"router:9000"
    assert head.get(b"nothing") is None
    assert (head.query("token"), head.query("empty"), head.query("none")) == ("s t", None, None)
    assert (head.cookie("a"), head.cookie("sid"), head.cookie("late"), head.cookie("none")) == ("1", "x=y", "2", None)
    assert head.subprotocols == ("fv.2", "fv.1", "raw")
    assert (len(head.headers), head.version) == (9, b"HTTP/1.1")
    assert head.wants_websocket
    assert head.asks_correctly


@pytest.mark.parametrize(
    ("was", "becomes", "wants", "correctly"),
    [
        (b"GET", b"POST", False, True),
        (b"Upgrade: WebSocket", b"Upgrade: h2c", False, True),
        (b"Upgrade: WebSocket\r\n", b"", False, True),
        (b"Upgrade: WebSocket", b"Upgrade: h2c\r\nUpgrade: websocket", True, True),
        (b"Connection: keep-alive, Upgrade", b"Connection: keep-alive", True, False),
        (b"Connection: keep-alive, Upgrade\r\n", b"", True, False),
        (b"Version: 13", b"Version: 8", True, False),
        (b"Sec-WebSocket-Key: abc\r\n", b"", True, False),
        (b"Host: router:9000\r\n", b"", True, False),
    ],
)
def test_what_is_an_upgrade_and_what_is_a_correct_one(was: bytes, becomes: bytes, wants: bool, correctly: bool) -> None:
    head = parse_head(UPGRADE.replace(was, becomes, 1))
    assert head is not None
    assert (head.wants_websocket, head.asks_correctly) == (wants, correctly)


@pytest.mark.parametrize(
    "line", [b"", b"GET /", b"GET / HTTP/2.0", b"GET  / HTTP/1.1", b"\x16\x03\x01\x02", b"PRI * HTTP/2.0"]
)
def test_what_is_not_http_1_is_not_read(line: bytes) -> None:
    assert parse_head(line + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"abc", b"abc\nX-Forwarded-For: 10.0.0.1"),
        (b"abc", b"abc\rX: 1"),
        (b"abc", b"a\0c"),
        (b"/v1/stream", b"/v1/stream\nX:1"),
        (b"Host:", b"Host :"),
        (b"Host:", b" Host:"),
        (b"Host:", b":"),
        (b"Host:", b"H(st:"),
        (b"Cookie: ", b"broken line\r\nCookie: "),
        (b"Cookie: ", b" folded\r\nCookie: "),
    ],
)
def test_what_another_reader_could_read_otherwise_is_not_read(was: bytes, becomes: bytes) -> None:
    assert parse_head(UPGRADE.replace(was, becomes, 1)) is None


@QUICK
@given(st.binary(max_size=80))
def test_no_bytes_make_it_raise(garbage: bytes) -> None:
    for data in (garbage, b"GET /" + garbage.replace(b" ", b"") + b" HTTP/1.1\r\n" + garbage + b"\r\n\r\n"):
        head = parse_head(data)
        if head is not None:
            assert head.path.startswith("/")
            assert head.query("q") is None or "q" in head.target.decode("latin-1").lower() or b"%71" in head.target
            assert head.wants_websocket in (True, False)
            assert head.cookie("c") is None or head.get(b"cookie") is not None


def test_end_to_end_fields_go_through_in_order_and_as_often_as_they_came() -> None:
    kept = [
        (b"authorization", b"Bearer t"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"origin", b"https://o"),
        (b"user-agent", b"x"),
        (b"accept-language", b"de"),
    ]
    assert forward(*kept)[: len(kept)] == kept


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_stay_here(name: bytes) -> None:
    assert name not in dict(forward((name, b"x")))


def test_fields_named_by_connection_stay_here() -> None:
    sent = dict(
        forward(
            (b"connection", b"Upgrade, X-Secret"), (b"x-secret", b"1"), (b"connection", b" other "), (b"other", b"2")
        )
    )
    assert {b"x-secret", b"other", b"connection"}.isdisjoint(sent)


def test_the_handshakes_own_fields_stay_here() -> None:
    names = (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions")
    assert not {*names} & {*dict(forward(*((name, b"x") for name in names)))}


def test_of_an_answer_only_the_cookies_go_on() -> None:
    answer = [
        (b"upgrade", b"websocket"),
        (b"set-cookie", b"a=1"),
        (b"sec-websocket-accept", b"x"),
        (b"server", b"s"),
        (b"location", b"/elsewhere"),
        (b"set-cookie ", b"spaced=1"),
        (b"set-cookie", b"b=\x1b[2J"),
        (b"set-cookie", b"b=\r\nx: y"),
        (b"set-cookie", b"c=3"),
    ]
    assert end_to_end(answer) == [(b"set-cookie", b"a=1"), (b"set-cookie", b"c=3")]


def test_empty_elements_of_the_offer_do_not_count() -> None:
    assert RequestHead(b"GET", b"/", [(b"sec-websocket-protocol", b", a,,b ,")]).subprotocols == ("a", "b")
    assert RequestHead(b"GET", b"/", [(b"sec-websocket-protocol", b"")]).subprotocols == ()


def test_where_the_request_came_from_is_added() -> None:
    assert forward() == [
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"router:9000"),
        (b"x-request-id", b"run-1"),
    ]
    assert b"x-forwarded-host" not in dict(forward(host=None))


def test_what_proxies_before_us_said_is_kept_and_our_hop_is_appended_once() -> None:
    sent = forward(
        (b"x-forwarded-for", b"198.51.100.7"),
        (b"x-forwarded-for", b"203.0.113.5, 10.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"public.example"),
        (b"x-request-id", b"theirs"),
    )
    assert sent == [
        (b"x-forwarded-for", b"198.51.100.7, 203.0.113.5, 10.0.0.1, 192.0.2.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"public.example"),
        (b"x-request-id", b"run-1"),
    ]
