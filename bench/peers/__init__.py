"""The routers under test, one small module each; `direct` is the connection without any.

All get one worker thread, logs off, and otherwise what their manuals say for WebSocket. What differs from a
default is said in the module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers import caddy, envoy, haproxy, nginx, ours, seed, trio_ws
from bench.peers.base import Launch, MissingPeer, Peer

if TYPE_CHECKING:
    from pathlib import Path

OURS = ours.PEER.name
BEFORE = ours.BEFORE.name
OPAQUE = ours.OPAQUE.name
DIRECT = "direct"
PROXIES = (haproxy.PEER.name, nginx.PEER.name, envoy.PEER.name, caddy.PEER.name)
TLS = frozenset({OURS, BEFORE, *PROXIES})
_USUAL = tuple(module.PEER for module in (ours, haproxy, nginx, envoy, caddy, seed, trio_ws))
_ON_REQUEST = (haproxy.PEER_16K, nginx.PEER_64K)
PEERS: dict[str, Peer] = {peer.name: peer for peer in (_USUAL[0], ours.BEFORE, ours.OPAQUE, *_USUAL[1:], *_ON_REQUEST)}
DEFAULT = (*(peer.name for peer in _USUAL), OPAQUE, DIRECT)
TITLES = {DIRECT: "direct", **{name: peer.title for name, peer in PEERS.items()}}
COLORS = {DIRECT: "#7f7f7f", **{name: peer.color for name, peer in PEERS.items()}}


def compare_with(checkout: Path) -> None:
    """Make `ours_before` the trio_router of this directory. Raises `MissingPeer`."""
    PEERS[BEFORE] = ours.before(checkout)


__all__ = [
    "BEFORE",
    "COLORS",
    "DEFAULT",
    "DIRECT",
    "OPAQUE",
    "OURS",
    "PEERS",
    "PROXIES",
    "TITLES",
    "TLS",
    "Launch",
    "MissingPeer",
    "Peer",
    "compare_with",
]
