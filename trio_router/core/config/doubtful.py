"""Values that are legal but surely not meant. Each is a warning: the router runs with them. No errors belong here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from trio_router.core.config.models import RouterConfig

Doubt = tuple[tuple[str | int, ...], str]

_EVERYWHERE: Final = ("0.0.0.0", "::", "")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def doubts(config: RouterConfig) -> Iterator[Doubt]:
    """(Location of the key in the file, warning text) for each."""
    yield from _probes(config)
    yield from _pages(config)
    yield from _affinity(config)
    yield from _timeouts(config)
    yield from _replicas(config)


def _probes(config: RouterConfig) -> Iterator[Doubt]:
    timeout, interval = config.health_check_timeout_seconds, config.health_check_interval_seconds
    if timeout > interval:
        yield (
            ("router", "health_check", "timeout_seconds"),
            f"{timeout:g} s is above interval_seconds ({interval:g} s): a replica that hangs is probed less often",
        )


def _pages(config: RouterConfig) -> Iterator[Doubt]:
    if not config.status_on_stream_port and config.status_port is None:
        yield ("router", "status_on_stream_port"), "/status can be reached nowhere: set status_port"
    if config.status_host is not None and config.status_port is None:
        yield ("router", "status_host"), "has no effect without status_port"


def _affinity(config: RouterConfig) -> Iterator[Doubt]:
    affinity = config.affinity
    if affinity.cookie is not None and affinity.secret is None:
        yield ("router", "affinity", "cookie"), "without a secret, cookies of before a restart count for nothing"
    if affinity.secret is not None and affinity.cookie is None:
        yield ("router", "affinity", "secret"), "signs nothing: no cookie is named"
    balances = {stream.balance or config.balance: index for index, stream in reversed([*enumerate(config.streams)])}
    if "hash" in balances and not affinity.keys:
        at = ("router", "streams", balances["hash"], "balance")
        yield at if config.balance != "hash" else ("router", "balance"), "hash has no key: affinity.keys is empty"
    ejection = config.ejection
    if ejection.base_seconds > ejection.max_seconds:
        yield (
            ("router", "ejection", "base_seconds"),
            f"{ejection.base_seconds:g} s is above max_seconds ({ejection.max_seconds:g} s), which is what counts",
        )


def _timeouts(config: RouterConfig) -> Iterator[Doubt]:
    timeouts = config.timeouts
    ping, dead = timeouts.ping_interval_seconds, timeouts.dead_peer_seconds
    if dead < 2 * ping:
        yield (
            ("router", "timeouts", "dead_peer_seconds"),
            f"{dead:g} s is below twice ping_interval_seconds ({ping:g} s): one pong that is late ends a session",
        )
    if timeouts.suspect_seconds > dead:
        yield (
            ("router", "timeouts", "suspect_seconds"),
            f"{timeouts.suspect_seconds:g} s has no effect above dead_peer_seconds ({dead:g} s)",
        )


def _replicas(config: RouterConfig) -> Iterator[Doubt]:
    own = {*_LOOPBACK, config.host} if config.host in _EVERYWHERE else {config.host}
    for index, replica in enumerate(config.replicas):
        parts = urlsplit(replica.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if port == config.port and parts.hostname in own:
            yield ("router", "replicas", index, "url"), f"{replica.url} is this router itself"
    sizes = [replica.max_sessions for replica in config.replicas]
    room = sum(size for size in sizes if size != "auto")
    limit = config.limits.max_sessions
    if limit is not None and limit < room:
        yield (
            ("router", "limits", "max_sessions"),
            f"{limit} sessions leave replicas idle, which have room for {room if 'auto' not in sizes else f'{room} and more'}",
        )
