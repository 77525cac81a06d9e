"""A balancing policy that a program gives to its router: found by its name, asked for its properties, not for its name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from trio_router import Policy, Replica, ReplicaEndpoint, Router, RouterConfig
from trio_router.core.config import AffinityConfig, StreamConfig
from trio_router.core.http.head import RequestHead
from trio_router.core.scheduling.affinity import AffinityCookie
from trio_router.scheduling.scheduler import SessionEntry

SECRET = "0123456789abcdef0123456789abcdef"
ENDPOINTS = (ReplicaEndpoint("http://r0"), ReplicaEndpoint("http://r1"))


class Last(Policy):
    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        return candidates[-1]


class LastByKey(Last):
    uses_key = True


def router(policy: type[Policy] | None, **settings: Any) -> Router:
    config = RouterConfig(replicas=ENDPOINTS, balance="mine", **settings)
    made = Router(config, policies={"mine": policy} if policy else None)
    for replica in made.registry.replicas:
        made.registry.record_success(replica, latency_ms=1.0)
    return made


def test_a_router_uses_the_policy_that_it_was_given() -> None:
    made = router(Last)
    chosen = made.registry.select()
    assert chosen is not None
    assert chosen.url == "http://r1"


def test_a_router_without_it_says_which_ones_there_are() -> None:
    with pytest.raises(ValueError, match="no policy is called 'mine'; known are least_sessions"):
        router(None)


@pytest.mark.parametrize(("policy", "known"), [(Last, "http://r0"), (LastByKey, None)])
async def test_a_policy_by_key_is_not_overruled_by_a_cookie(policy: type[Policy], known: str | None) -> None:
    affinity = AffinityConfig(cookie="route", secret=SECRET)
    identities = router(policy, affinity=affinity).services.identities
    cookie = AffinityCookie("route", SECRET)
    value = cookie.header("key", cookie.tag("http://r0"), secure=False)[1].partition(b";")[0]
    request = RequestHead(b"GET", b"/v1/stream", [(b"cookie", value)])
    entry = SessionEntry()
    identities.arrive(entry, request, address="10.0.0.1", stream=StreamConfig())
    identities.identify(entry, request, client_id="ann", preset=None)
    assert identities.known(entry) == known
