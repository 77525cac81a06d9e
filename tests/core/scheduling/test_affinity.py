"""Where a client's key is found, what is remembered of it, and the signed cookie."""

from __future__ import annotations

import pytest

from trio_router.core.http.head import RequestHead
from trio_router.core.scheduling.affinity import AffinityCookie, AffinityTable, client_of, digest, find_key

SECRET = "0123456789abcdef"


def request(*headers: tuple[bytes, bytes], query: bytes = b"") -> RequestHead:
    return RequestHead(b"GET", b"/v1/stream?" + query, list(headers))


def test_a_key_is_looked_for_in_the_configured_order() -> None:
    asked = request((b"x-user", b"h"), (b"cookie", b"sid=c"), query=b"user=q")
    places = ("client_id", "query:user", "header:X-User", "cookie:sid")
    assert find_key(places, asked, "me") == "client_id:me"
    assert find_key(places, asked, None) == f"query:user:{digest('q')}"
    assert find_key(places[2:], asked, "me") == f"header:X-User:{digest('h')}"
    assert find_key(places[3:], asked, "me") == f"cookie:sid:{digest('c')}"
    assert find_key(("client_id",), asked, None) is None
    assert find_key(places, request(), None) is None
    assert find_key((), asked, "me") is None


def test_a_key_shows_nothing_that_may_be_a_secret() -> None:
    asked = request((b"x-token", b"s3cret\xff"), (b"cookie", b"sid=s3cret"), query=b"token=s3cret")
    for place in ("query:token", "header:x-token", "cookie:sid"):
        assert "s3cret" not in (find_key((place,), asked, None) or "s3cret")


@pytest.mark.parametrize(
    ("headers", "query", "counted"),
    [
        ((), b"", "192.0.2.1"),
        (((b"authorization", b"Bearer t1"),), b"", f"token:{digest('t1')}"),
        (((b"authorization", b"bearer  t1 "),), b"token=t2", f"token:{digest('t1')}"),
        (((b"authorization", b"Bearer"),), b"token=t2", "192.0.2.1"),
        (((b"authorization", b"Basic dTpw"),), b"", "192.0.2.1"),
        ((), b"token=t2", f"token:{digest('t2')}"),
    ],
)
def test_whom_a_session_counts_for(headers: tuple[tuple[bytes, bytes], ...], query: bytes, counted: str) -> None:
    assert client_of(request(*headers, query=query), "192.0.2.1") == counted


def test_a_key_is_known_while_it_is_open_and_for_a_while_after() -> None:
    table = AffinityTable(ttl_seconds=300.0, max_keys=10)
    assert table.look_up("k", now=0.0) is None
    assert table.look_up(None, now=0.0) is None
    table.opened("k", "http://a")
    assert table.look_up("k", now=1e6) == "http://a"
    table.closed("k", now=1e6)
    assert table.look_up("k", now=1e6 + 299.9) == "http://a"
    assert table.look_up("k", now=1e6 + 300.0) is None
    assert len(table) == 0


def test_a_key_moves_with_its_last_session_and_stays_open_until_all_have_ended() -> None:
    table = AffinityTable(ttl_seconds=10.0, max_keys=10)
    table.opened("k", "http://a")
    table.opened("k", "http://b")
    table.closed("k", now=0.0)
    assert table.look_up("k", now=1000.0) == "http://b"
    table.closed("k", now=1000.0)
    assert table.look_up("k", now=1009.0) == "http://b"
    table.opened("k", "http://c")
    assert table.look_up("k", now=2000.0) == "http://c"
    table.closed("never opened", now=2000.0)
    assert len(table) == 1


def test_the_longest_idle_keys_go_first_and_open_ones_never() -> None:
    table = AffinityTable(ttl_seconds=10.0, max_keys=2)
    for now, key in enumerate("abc"):
        table.opened(key, f"http://{key}")
        table.closed(key, now=float(now))
    assert [table.look_up(key, now=2.0) for key in "abc"] == [None, "http://b", "http://c"]
    for key in "def":
        table.opened(key, f"http://{key}")
    assert [table.look_up(key, now=2.0) for key in "bcdef"] == [None, None, "http://d", "http://e", "http://f"]
    table.closed("d", now=3.0)
    assert (len(table), table.look_up("d", now=3.0)) == (2, None)


def test_idle_keys_do_not_outlive_their_time_even_if_nobody_asks_for_them() -> None:
    table = AffinityTable(ttl_seconds=10.0, max_keys=100)
    for now in range(20):
        table.opened(str(now), "http://a")
        table.closed(str(now), now=float(now))
    table.look_up("another", now=20.0)
    assert len(table) == 9


def test_a_cookie_goes_round() -> None:
    cookie = AffinityCookie("route", SECRET)
    name, value = cookie.header("key-1", cookie.tag("http://a"), secure=True)
    pair, *flags = value.decode().split("; ")
    assert (name, flags) == (b"set-cookie", ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"])
    assert cookie.read(request((b"cookie", pair.encode()))) == ("key-1", cookie.tag("http://a"))
    assert not cookie.header("key-1", "tag", secure=False)[1].endswith(b"Secure")


def test_only_our_own_cookies_count() -> None:
    cookie, other = AffinityCookie("route", SECRET), AffinityCookie("route", SECRET[::-1])
    pair = cookie.header("key-1", "tag", secure=False)[1].partition(b";")[0]
    for value in (b"route=", b"route=x", b"route=a.b.c", pair[:-1], pair + b"x", b"route=\xff.\xff", b"x" + pair):
        assert cookie.read(request((b"cookie", value))) is None
    assert other.read(request((b"cookie", pair))) is None
    assert cookie.read(request()) is None


@pytest.mark.parametrize("fields", [{"key": "tag"}, "key", ["key"], ["key", "tag", "more"], ["key", 1], None])
def test_a_signed_cookie_of_another_shape_counts_for_nothing(fields: object) -> None:
    cookie = AffinityCookie("route", SECRET)
    signed = cookie._signer.dumps(fields)
    assert isinstance(signed, str)
    assert cookie.read(request((b"cookie", b"route=" + signed.encode()))) is None


def test_a_tag_names_no_replica_to_outsiders_and_the_same_one_after_a_restart() -> None:
    first, again, other = AffinityCookie("a", SECRET), AffinityCookie("b", SECRET), AffinityCookie("a", SECRET[::-1])
    assert first.tag("http://a") == again.tag("http://a")
    assert first.tag("http://a") not in (first.tag("http://b"), other.tag("http://a"))
    assert len(AffinityCookie("a", "x" * 200).tag("http://a")) == 12
