"""A client that comes back lands on the replica that knows it; also behind a restart, by `hash` or by a signed cookie."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.session.ends import ASSIGNED, INIT, FarEnd, farewell
from tests.session.stage import Actor, Stage, staged
from trio_router.core.config import ReplicaEndpoint
from trio_router.core.http.head import RequestHead
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.scheduling.affinity import AffinityCookie

SECRET = "0123456789abcdef0123456789abcdef"
COOKIE: dict[str, Any] = {"affinity": {"cookie": "route", "secret": SECRET}}


def request(cookie: str) -> RequestHead:
    return RequestHead(b"GET", b"/v1/stream", [(b"cookie", f"route={cookie}".encode())])


def handed_out(head: bytes) -> str:
    """The cookie of a router's answer, as a browser sends it back."""
    lines = [line for line in head.decode().split("\r\n") if line.lower().startswith("set-cookie: ")]
    assert len(lines) == 1, head
    return lines[0].partition(": ")[2].partition(";")[0]


class SessionEntry:
    """One session through a stage, up to its commit point: where it landed, and its cookie."""

    def __init__(self, actor: Actor, client: FarEnd, replica: FarEnd, cookie: str | None) -> None:
        self.actor, self.client, self.replica, self.cookie = actor, client, replica, cookie

    @property
    def url(self) -> str:
        return self.actor.record.url

    async def ends(self, stage: Stage) -> None:
        await farewell(self.client, self.replica)
        await stage.settled()


async def entry(stage: Stage, *, client_id: str | None = None, **asked: str) -> SessionEntry:
    said = INIT | ({"client_id": client_id} if client_id else {})
    client, head = await stage.come(**asked)
    await client.say(said)
    await stage.settled()
    actor = next(actor for actor in stage.actors if actor.unseen)
    replica = await actor.admit(said)
    await client.hears(ASSIGNED)
    return SessionEntry(actor, client, replica, handed_out(head) if b"et-cookie" in head else None)


async def where(stage: Stage, **asked: str) -> str:
    """Where such a client lands, if it comes and goes."""
    found = await entry(stage, **asked)
    await found.ends(stage)
    return found.url


KEYS = [
    ({"client_id": "ann"}, {"client_id": "bob"}, ("client_id",)),
    ({"target": "/v1/stream?user=ann"}, {"target": "/v1/stream?user=bob"}, ("client_id", "query:user")),
    ({"x-user": "ann"}, {"x-user": "bob"}, ("header:x-user",)),
    ({"cookie": "sid=ann"}, {"cookie": "sid=bob"}, ("query:user", "cookie:sid")),
]


@pytest.mark.parametrize(("mine", "other", "keys"), KEYS)
async def test_a_reconnect_lands_on_the_same_replica(
    clock: MockClock, mine: dict[str, str], other: dict[str, str], keys: tuple[str, ...]
) -> None:
    async with staged(8, affinity={"keys": keys}) as stage:
        home = await where(stage, **mine)
        for _ in range(10):
            await where(stage, **other)
            assert await where(stage, **mine) == home


async def test_a_key_is_kept_for_its_time_after_the_session_ended(clock: MockClock) -> None:
    async with staged(2, balance="round_robin", affinity={"ttl_seconds": 5}) as stage:
        homes = []
        for pause in (0, 4.9, 4.9, 5):
            await trio.sleep(pause)
            found = await entry(stage, client_id="ann")
            await trio.sleep(15)  # an open session does not age
            await found.ends(stage)
            homes.append(found.url)
        assert homes == ["http://r0", "http://r0", "http://r0", "http://r1"]


async def test_a_client_that_comes_back_at_once_finds_its_own_replica_though_its_slot_lingers(clock: MockClock) -> None:
    async with staged(3, balance="first") as stage:
        for actor in stage.actors:
            stage.report(actor, busy=0, total=1)
        stage.actors[0].record.health.consecutive_failures = 1  # so that the policy would choose another one
        first = await entry(stage, client_id="ann")
        assert first.url == "http://r1"
        await first.client.vanish()
        await first.replica.last_words()
        await stage.settled()
        assert not stage.actors[1].record.available(trio.current_time()), "it may still be busy"
        other = await entry(stage, client_id="bob")
        assert other.url == "http://r2"
        back = await entry(stage, client_id="ann")
        assert back.url == first.url
        for found in (other, back):
            await found.ends(stage)


@pytest.mark.parametrize("trouble", ["full", "sick"])
async def test_a_key_moves_when_its_replica_is_full_or_gone(clock: MockClock, trouble: str) -> None:
    async with staged(2, balance="first") as stage:
        home, other = stage.actors
        assert await where(stage, client_id="ann") == home.record.url
        taken = None
        if trouble == "full":
            taken = stage.registry.reserve(now=0.0, prefer=home.record.url)
        else:
            for _ in range(3):
                stage.report(home, good=False)
        assert await where(stage, client_id="ann") == other.record.url
        if taken is not None:
            stage.registry.release(taken, now=0.0)
        for _ in range(2):
            stage.report(home)
        assert await where(stage, client_id="ann") == other.record.url, "it moved with the client"
        assert await where(stage) == home.record.url


@pytest.mark.parametrize("balance", ["least_sessions", "first", "round_robin", "random_two", "hash"])
async def test_a_cookie_leads_to_the_same_replica_behind_a_restart(clock: MockClock, balance: str) -> None:
    cookies: dict[str, str] = {}
    async with staged(8, balance=balance, **COOKIE) as stage:
        guests = [await entry(stage) for _ in range(5)]
        for identity in guests:
            assert identity.cookie is not None
            cookies[identity.cookie] = identity.url
            await identity.ends(stage)
        for cookie, url in cookies.items():
            assert await where(stage, cookie=cookie) == url
    async with staged(8, balance=balance, **COOKIE) as stage:
        for cookie, url in reversed(cookies.items()):
            assert await where(stage, cookie=cookie) == url


async def test_an_old_cookie_learns_where_its_client_has_moved(clock: MockClock) -> None:
    async with staged(3, balance="first", **COOKIE) as stage:
        first = await entry(stage)
        assert first.cookie is not None
        second = await entry(stage, cookie=first.cookie)  # its replica is full with the first one
        assert second.url != first.url
        for found in (first, second):
            await found.ends(stage)
        third = await entry(stage, cookie=first.cookie)
        assert third.url == second.url
        assert third.cookie is not None
        await third.ends(stage)
        renewed = third.cookie
    async with staged(3, balance="first", **COOKIE) as stage:
        assert await where(stage, cookie=renewed) == second.url


async def test_hash_survives_a_restart_and_a_cookie_does_not_overrule_it(clock: MockClock) -> None:
    """Clients without a cookie jar: only their client_id comes back."""
    homes: list[dict[str, str]] = []
    for settings in ({}, COOKIE, COOKIE):
        async with staged(8, balance="hash", **settings) as stage:
            names = [f"client-{n}" for n in range(20)]
            homes.append({name: await where(stage, client_id=name) for name in names})
    assert homes[0] == homes[1] == homes[2]
    assert len(set(homes[0].values())) > 3


def test_hash_means_the_same_in_every_process() -> None:
    """Written down once: clients that come back after a deployment find their replica by these numbers."""
    registry = ReplicaRegistry([ReplicaEndpoint(f"http://r{n}:8000") for n in range(8)])
    for replica in registry.replicas:
        registry.probe_succeeded(replica, latency_ms=1.0, wall=0.0, now=0.0)
    homes = [registry.select(key=key, balance="hash") for key in ("client_id:ann", "client_id:bob", "x")]
    assert [home and home.label for home in homes] == ["r1:8000", "r7:8000", "r7:8000"]


async def test_a_stream_with_a_policy_of_its_own_keeps_it_with_a_cookie(clock: MockClock) -> None:
    streams = [{"path": "/v1/stream", "balance": "first"}]
    async with staged(4, streams=streams, **COOKIE) as stage:
        for _ in range(10):
            assert await where(stage) == "http://r0"


async def test_a_cookie_of_another_secret_counts_for_nothing(clock: MockClock) -> None:
    forger = AffinityCookie("route", "another secret, long enough")
    async with staged(3, balance="first", **COOKIE) as stage:
        name, value = forger.header("key", forger.tag("http://r2"), secure=False)
        assert name == b"set-cookie"
        assert await where(stage, cookie=value.decode().partition(";")[0]) == "http://r0"


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters=";\r\n")))
def test_nobody_can_make_up_a_cookie(text: str) -> None:
    assert AffinityCookie("route", SECRET).read(request(text)) is None


@given(st.data())
def test_a_cookie_that_was_changed_counts_for_nothing(data: st.DataObject) -> None:
    cookie = AffinityCookie("route", SECRET)
    value = cookie.header("key", cookie.tag("http://a"), secure=False)[1].decode().partition(";")[0].partition("=")[2]
    assert cookie.read(request(value)) == ("key", cookie.tag("http://a"))
    at = data.draw(st.integers(0, len(value) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."))
    changed = value[:at] + letter + value[at + 1 :]
    found = cookie.read(request(changed))
    assert found is None or found == ("key", cookie.tag("http://a")), "base64 has letters with bits to spare"


def test_a_cookie_tells_nobody_which_replica_it_means() -> None:
    url = "http://10.1.2.3:8000"
    cookie, other = AffinityCookie("route", SECRET), AffinityCookie("route", SECRET[::-1])
    value = cookie.header("key", cookie.tag(url), secure=False)[1]
    assert b"10.1" not in value
    assert cookie.tag(url) != other.tag(url), "the tag means nothing without the secret"
    assert AffinityCookie("route", SECRET).tag(url) == cookie.tag(url)
