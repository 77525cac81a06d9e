"""A client that comes back is sent to the replica that served it: where its key is found, and the table of keys."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from itsdangerous import BadSignature, URLSafeSerializer

from trio_router.core.http.head import RequestHead
from trio_router.core.text import printable


def find_key(sources: Iterable[str], request: RequestHead, client_id: str | None) -> str | None:
    """The first key that is present, in the order of ``sources`` (see `AffinityConfig.keys`).

    A value from a header, cookie or query may be a secret: only its digest is kept, and shown to operators. A
    ``client_id`` is shown as it is, but printable.
    """
    for source in sources:
        kind, _, name = source.partition(":")
        if kind == "client_id":
            value = client_id
        elif kind == "query":
            value = request.query(name)
        elif kind == "header":
            value = (request.get(name.lower().encode()) or b"").decode("latin-1")
        else:
            value = request.cookie(name)
        if value:
            return f"client_id:{printable(value)}" if kind == "client_id" else f"{source}:{digest(value)}"
    return None


def client_of(request: RequestHead, address: str) -> str:
    """What ``per_client`` counts: the bearer token (or ``token`` parameter) if there is one, else the address."""
    scheme, _, token = (request.get(b"authorization") or b"").decode("latin-1").partition(" ")
    secret = token.strip() if scheme.lower() == "bearer" else request.query("token")
    return f"token:{digest(secret)}" if secret else address


def digest(value: str) -> str:
    """A short one-way digest, the same in every run."""
    return hashlib.blake2b(value.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class _Memory:
    replica: str
    open: int = 0
    idle_since: float = 0.0


@dataclass(slots=True)
class AffinityTable:
    """Which replica (by URL) last had the session of a key. Bounded in number and, once idle, in time.

    Keys of open sessions are never forgotten, even if there are more of them than ``max_keys``.
    """

    ttl_seconds: float
    max_keys: int
    _open: dict[str, _Memory] = field(default_factory=dict)
    _idle: OrderedDict[str, _Memory] = field(default_factory=OrderedDict)  # longest idle first

    def __len__(self) -> int:
        return len(self._open) + len(self._idle)

    def look_up(self, key: str | None, *, now: float) -> str | None:
        """The URL of the replica that served the key last; None if unknown."""
        if key is None:
            return None
        self._forget(now)
        memory = self._open.get(key) or self._idle.get(key)
        return memory.replica if memory is not None else None

    def opened(self, key: str, replica: str) -> None:
        """A session with this key is on that replica now; the key moves with it."""
        memory = self._open.get(key) or self._idle.pop(key, None) or _Memory(replica)
        self._open[key] = memory
        memory.replica = replica
        memory.open += 1
        self._bound()

    def closed(self, key: str, *, now: float) -> None:
        """A session with this key ended. No effect if none is open."""
        memory = self._open.get(key)
        if memory is None:
            return
        memory.open -= 1
        if not memory.open:
            memory.idle_since = now
            self._idle[key] = self._open.pop(key)
            self._bound()

    def _bound(self) -> None:
        while self._idle and len(self) > self.max_keys:
            self._idle.popitem(last=False)

    def _forget(self, now: float) -> None:
        while self._idle and now - next(iter(self._idle.values())).idle_since >= self.ttl_seconds:
            self._idle.popitem(last=False)


class AffinityCookie:
    """The router's own cookie: a random key and a tag of the replica, signed, so that nobody can aim at a replica.

    The tag is keyed with the secret too: it tells outsiders nothing, and means the same after a restart.
    """

    def __init__(self, name: str, secret: str) -> None:
        self.name = name
        self._secret = secret
        self._signer = URLSafeSerializer(secret, salt="trio-router-affinity")

    def read(self, request: RequestHead) -> tuple[str, str] | None:
        """(key, replica tag) of a cookie that this router signed; None for anything else."""
        value = request.cookie(self.name)
        try:
            fields = self._signer.loads(value) if value else None
        except BadSignature:
            return None
        if isinstance(fields, list) and len(fields) == 2 and all(isinstance(part, str) for part in fields):
            return fields[0], fields[1]
        return None

    def header(self, key: str, tag: str, *, secure: bool) -> tuple[bytes, bytes]:
        """The Set-Cookie header field, as (name, value)."""
        signed = self._signer.dumps([key, tag])
        value = signed if isinstance(signed, str) else signed.decode()
        flags = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        return b"set-cookie", f"{self.name}={value}{flags}".encode()

    def tag(self, url: str) -> str:
        """The tag that represents a replica in the cookie."""
        return hashlib.blake2b(url.encode(), key=self._secret.encode()[:64], digest_size=6).hexdigest()
