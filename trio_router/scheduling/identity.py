"""What a session is known by: how many its client has open, its affinity key, the router's own cookie.

Nothing here waits; who gets a slot is `admission`'s.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from typing import Final

import trio

from trio_router.core.config import RouterConfig, StreamConfig
from trio_router.core.http.head import RequestHead
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica
from trio_router.core.scheduling.affinity import AffinityCookie, AffinityTable, client_of, find_key
from trio_router.core.scheduling.queue import SlotRequest

_NO_REQUEST: Final = SlotRequest()


class ClientIdentity:
    """One session: what it wishes, and what it is known by."""

    __slots__ = ("bound", "cookie", "counted", "slot_request")

    def __init__(self) -> None:
        self.slot_request = _NO_REQUEST
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

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by its ``affinity.keys`` and ``queue.per_client`` from now on."""
        self._config = config

    def arrive(self, identity: ClientIdentity, request: RequestHead, *, address: str, stream: StreamConfig) -> None:
        """A session begins; what is known of it before it says anything. `leave` must follow."""
        identity.cookie = self._cookie.read(request) if self._cookie else None
        identity.slot_request = SlotRequest(client=client_of(request, address), balance=stream.balance)
        self.identify(identity, request, client_id=None, preset=None)

    def identify(
        self, identity: ClientIdentity, request: RequestHead, *, client_id: str | None, preset: str | None
    ) -> None:
        """What the session's first message added."""
        key = find_key(self._config.affinity.keys, request, client_id)
        if key is None and identity.cookie is not None:
            key = f"cookie:{identity.cookie[0]}"
        if (key, preset) != (identity.slot_request.key, identity.slot_request.preset):
            identity.slot_request = dataclasses.replace(identity.slot_request, key=key, preset=preset)

    def admit(self, identity: ClientIdentity) -> bool:
        """Whether its client may have one session more; if so this one counts from now on."""
        limit = self._config.queue.per_client
        identity.counted = limit is None or self._clients[identity.slot_request.client] < limit
        if identity.counted:
            self._clients[identity.slot_request.client] += 1
        return identity.counted

    def cookie_header(
        self, identity: ClientIdentity, placed: Replica | None, *, secure: bool
    ) -> list[tuple[bytes, bytes]]:
        """The router's own cookie for the 101, if it is configured.

        It names the replica that the session has, or, where none is picked yet, the one that it will prefer.
        """
        if self._cookie is None:
            return []
        key = identity.cookie[0] if identity.cookie else secrets.token_urlsafe(9)
        if identity.slot_request.key is None:
            identity.slot_request = dataclasses.replace(identity.slot_request, key=f"cookie:{key}")
        url = placed.url if placed is not None else self.known(identity)
        if url is None:
            slot_request = identity.slot_request
            likely = self._registry.select(now=trio.current_time(), key=slot_request.key, balance=slot_request.balance)
            url = likely.url if likely is not None else None
        tag = self._cookie.tag(url) if url else ""
        identity.cookie = (key, tag)
        return [self._cookie.header(key, tag, secure=secure)]

    def leave(self, identity: ClientIdentity) -> None:
        """The session is over, whatever it had."""
        if identity.counted:
            client = identity.slot_request.client
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        if identity.bound is not None:
            self.affinity.closed(identity.bound, now=trio.current_time())

    def committed(self, identity: ClientIdentity, replica: Replica) -> None:
        """The session is past its commit point there: that replica knows the client now."""
        if identity.slot_request.key is not None:
            identity.bound = identity.slot_request.key
            self.affinity.opened(identity.bound, replica.url)

    def known(self, identity: ClientIdentity) -> str | None:
        """The replica that knows the client: as remembered, or as its cookie says."""
        slot_request, cookie = identity.slot_request, identity.cookie
        known = self.affinity.look_up(slot_request.key, now=trio.current_time())
        if known is not None or cookie is None or self._cookie is None:
            return known
        # A policy by key leads a key of the client's own to its replica, whatever the cookie says.
        by_key = self._registry.policy(slot_request.balance).uses_key
        if not by_key or slot_request.key == f"cookie:{cookie[0]}":
            tags = {self._cookie.tag(replica.url): replica.url for replica in self._registry.replicas}
            return tags.get(cookie[1])
        return None
