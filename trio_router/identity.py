"""What a session is known by: how many its client has open, its affinity key, the router's own cookie.

Nothing here waits; who gets a slot is `admission`'s.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from typing import Final

import trio

from trio_router.core.affinity import AffinityCookie, AffinityTable, client_of, find_key
from trio_router.core.config import RouterConfig, StreamConfig
from trio_router.core.head import RequestHead
from trio_router.core.line import Wish
from trio_router.core.registry import ReplicaRegistry
from trio_router.core.replica import Replica

_NO_WISH: Final = Wish()


class Guest:
    """One session: what it wishes, and what it is known by."""

    __slots__ = ("bound", "cookie", "counted", "wish")

    def __init__(self) -> None:
        self.wish = _NO_WISH
        self.cookie: tuple[str, str] | None = None  # (key, replica tag) of the router's own
        self.counted = False  # among the sessions of its client
        self.bound: str | None = None  # the key under which the affinity table counts it as open


class Identities:
    """Knows the sessions of one router, and for a while those of the past."""

    def __init__(self, config: RouterConfig, registry: ReplicaRegistry) -> None:
        self._config = config
        self._registry = registry
        self.affinity = AffinityTable(config.affinity.ttl_seconds, config.affinity.max_keys)
        self._clients: Counter[str] = Counter()
        rule = config.affinity
        self._cookie = AffinityCookie(rule.cookie, rule.secret or secrets.token_hex(32)) if rule.cookie else None

    def arrive(self, guest: Guest, request: RequestHead, *, address: str, stream: StreamConfig) -> None:
        """A session begins; what is known of it before it says anything. `leave` must follow."""
        guest.cookie = self._cookie.read(request) if self._cookie else None
        guest.wish = Wish(client=client_of(request, address), balance=stream.balance)
        self.identify(guest, request, client_id=None, preset=None)

    def identify(self, guest: Guest, request: RequestHead, *, client_id: str | None, preset: str | None) -> None:
        """What the session's first message added."""
        key = find_key(self._config.affinity.keys, request, client_id)
        if key is None and guest.cookie is not None:
            key = f"cookie:{guest.cookie[0]}"
        if (key, preset) != (guest.wish.key, guest.wish.preset):
            guest.wish = dataclasses.replace(guest.wish, key=key, preset=preset)

    def admit(self, guest: Guest) -> bool:
        """Whether its client may have one session more; if so this one counts from now on."""
        limit = self._config.queue.per_client
        guest.counted = limit is None or self._clients[guest.wish.client] < limit
        if guest.counted:
            self._clients[guest.wish.client] += 1
        return guest.counted

    def cookie_header(self, guest: Guest, placed: Replica | None, *, secure: bool) -> list[tuple[bytes, bytes]]:
        """The router's own cookie for the 101, if it is configured.

        It names the replica that the session has, or, where none is picked yet, the one that it will prefer.
        """
        if self._cookie is None:
            return []
        key = guest.cookie[0] if guest.cookie else secrets.token_urlsafe(9)
        if guest.wish.key is None:
            guest.wish = dataclasses.replace(guest.wish, key=f"cookie:{key}")
        url = placed.url if placed is not None else self.known(guest)
        if url is None:
            wish = guest.wish
            likely = self._registry.select(now=trio.current_time(), key=wish.key, balance=wish.balance)
            url = likely.url if likely is not None else None
        tag = self._cookie.tag(url) if url else ""
        guest.cookie = (key, tag)
        return [self._cookie.header(key, tag, secure=secure)]

    def leave(self, guest: Guest) -> None:
        """The session is over, whatever it had."""
        if guest.counted:
            client = guest.wish.client
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        if guest.bound is not None:
            self.affinity.closed(guest.bound, now=trio.current_time())

    def committed(self, guest: Guest, replica: Replica) -> None:
        """The session is past its commit point there: that replica knows the client now."""
        if guest.wish.key is not None:
            guest.bound = guest.wish.key
            self.affinity.opened(guest.bound, replica.url)

    def known(self, guest: Guest) -> str | None:
        """The replica that knows the client: as remembered, or as its cookie says."""
        wish, cookie = guest.wish, guest.cookie
        known = self.affinity.look_up(wish.key, now=trio.current_time())
        if known is not None or cookie is None or self._cookie is None:
            return known
        # A policy by key leads a key of the client's own to its replica, whatever the cookie says.
        by_key = self._registry.policy(wish.balance).uses_key
        if not by_key or wish.key == f"cookie:{cookie[0]}":
            tags = {self._cookie.tag(replica.url): replica.url for replica in self._registry.replicas}
            return tags.get(cookie[1])
        return None
