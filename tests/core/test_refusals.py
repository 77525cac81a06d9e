"""Heads and values that are refused, or made harmless, before they reach code that would fail on them."""

from __future__ import annotations

import pytest

from trio_router import ConfigError, parse_config
from trio_router.core.errors import DialError
from trio_router.core.http.head import parse_head, without_upgrade
from trio_router.core.http.upgrade import Upgrade, accept_token


@pytest.mark.parametrize("host", ["a b", "höst", "a:", "a:0"])
def test_a_url_whose_host_or_port_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"router\.replicas\[0\]\.url: "):
        parse_config(f'router: {{replicas: [{{url: "http://{host}"}}]}}')


def test_yes_is_no_number_of_sessions() -> None:
    with pytest.raises(ConfigError, match="max_sessions: must be a number or auto"):
        parse_config("router: {replicas: [{url: http://a, max_sessions: yes}]}")


@pytest.mark.parametrize("target", [b"http://[::1", b"a", b""])
def test_a_target_is_a_path(target: bytes) -> None:
    assert parse_head(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n") is None
    assert parse_head(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") is not None


def test_a_request_for_another_protocol_becomes_an_ordinary_one() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nUPGRADE: h2c\r\nHTTP2-Settings: AAMAAABk\r\nAccept: */*\r\n\r\n"
    assert without_upgrade(head) == b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"


def test_a_replica_may_not_smuggle_a_line_into_the_clients_answer() -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    good = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept_token(key)
    assert Upgrade(b"/").read_answer(good + b"\r\nX: a\r\n\r\n", key)[0] is None
    with pytest.raises(DialError, match="control characters"):
        Upgrade(b"/").read_answer(good + b"\r\nX: a\nSet-Cookie: b\r\n\r\n", key)
