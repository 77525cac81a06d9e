"""The access check by itself: what it is asked, what may be answered, and that it fails closed."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from trio_router import AccessDenied, AccessRequest
from trio_router.core.http.head import RequestHead, parse_head
from trio_router.http.access import FAILED, Authorize, RequestHeaders, ask

HEAD = b"\r\n".join(
    [
        b"GET /v1/stream?token=a%20b&token=c&empty= HTTP/1.1",
        b"Host: router.test",
        b"Authorization: Bearer t",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"Sec-WebSocket-Protocol: one, two",
        b"",
        b"",
    ]
)


def request() -> RequestHead:
    found = parse_head(HEAD)
    assert found is not None
    return found


async def answered(authorize: Authorize) -> AccessDenied | None:
    return await ask(authorize, request(), client="192.0.2.1", scheme="https", seconds=10)


async def test_it_is_shown_the_request() -> None:
    seen: list[AccessRequest] = []

    async def check(asked: AccessRequest) -> AccessDenied | None:
        seen.append(asked)
        return None

    assert await answered(check) is None
    asked = seen[0]
    assert (asked.path, asked.query) == ("/v1/stream", "token=a%20b&token=c&empty=")
    assert [asked.parameter(name) for name in ("token", "nothing")] == ["a b", None]
    assert (asked.client, asked.scheme, asked.subprotocols) == ("192.0.2.1", "https", ("one", "two"))
    with pytest.raises(FrozenInstanceError):
        asked.path = "/other"  # type: ignore[misc]


def test_headers_are_found_in_any_case() -> None:
    headers = RequestHeaders(request().headers)
    assert headers.get("authorization") == headers["AUTHORIZATION"] == "Bearer t"
    assert (headers["x-twice"], headers.get_all("X-Twice"), headers.get_all("nothing")) == ("1", ["1", "2"], [])
    assert headers.get("nothing") is None
    assert list(headers) == ["host", "authorization", "x-twice", "sec-websocket-protocol"]
    assert len(headers) == 4
    assert "Bearer" not in repr(headers), "a log must not show it"


async def test_a_no_is_passed_on() -> None:
    denied = AccessDenied(401, "no_token", [("WWW-Authenticate", "Bearer")])

    async def check(asked: AccessRequest) -> AccessDenied | None:
        return denied

    assert await answered(check) is denied
    assert denied.fields == [(b"www-authenticate", b"Bearer")]


def test_what_cannot_be_answered_is_refused_where_it_is_made() -> None:
    assert (AccessDenied().status, AccessDenied().reason, AccessDenied().headers) == (403, "denied", ())
    for status in (200, 101, 400, 404, 500):
        with pytest.raises(ValueError, match="must be one of 401, 403, 429, 503"):
            AccessDenied(status)
    for reason in ("", "No Token", "x" * 65, "a\nb"):
        with pytest.raises(ValueError, match="must be a word"):
            AccessDenied(reason=reason)
    for header in (("a b", "c"), ("", "c"), ("a", "b\r\nc: d")):
        with pytest.raises(ValueError, match="cannot stand in an HTTP answer"):
            AccessDenied(headers=[header])


async def test_one_that_raises_is_a_no_and_one_line_with_its_traceback() -> None:
    async def check(asked: AccessRequest) -> AccessDenied | None:
        raise LookupError("the embedder's bug")

    with capture_logs() as logs:
        assert await answered(check) is FAILED
    assert (FAILED.status, FAILED.reason) == (503, "access_check_failed")
    assert [(line["event"], line["log_level"], line["exc_info"]) for line in logs] == [
        ("access check failed", "error", True)
    ]


async def test_one_that_hangs_is_a_no_in_time(clock: MockClock) -> None:
    async def check(asked: AccessRequest) -> AccessDenied | None:
        await trio.sleep(math.inf)
        return None

    with capture_logs() as logs:
        assert await answered(check) is FAILED
    assert trio.current_time() == 10
    assert len(logs) == 1


@pytest.mark.parametrize("answer", [True, False, "no", 403])
async def test_another_answer_is_a_no(answer: object) -> None:
    async def check(asked: AccessRequest) -> object:
        return answer

    with capture_logs() as logs:
        assert await answered(check) is FAILED  # type: ignore[arg-type]
    assert len(logs) == 1


async def test_being_cancelled_is_no_failure() -> None:
    async def check(asked: AccessRequest) -> AccessDenied | None:
        scope.cancel()
        await trio.lowlevel.checkpoint()
        return None

    with capture_logs() as logs, trio.CancelScope() as scope:
        await answered(check)
    assert scope.cancelled_caught
    assert logs == []
