"""HAProxy, one thread. After the upgrade it copies bytes (a tunnel) and knows nothing of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.base import Launch, Peer, find_binary, first_line, write_config

if TYPE_CHECKING:
    from pathlib import Path

# maxconn: two sockets a session within the 20,000 open files that the 8,000 sessions are planned for.
_CONFIG = """\
global
    nbthread 1
    maxconn 9500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    backlog 4096
frontend door
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    server replica 127.0.0.1:{replica_port}
"""
_INSTALL = "apt-get install haproxy"


def version() -> str:
    return first_line([find_binary("haproxy", _INSTALL), "-v"])


def prepare(workdir: Path, port: int, replica_port: int) -> Launch:
    config = _CONFIG.format(port=port, replica_port=replica_port)
    path = write_config(workdir, "haproxy.cfg", config)
    return Launch([find_binary("haproxy", _INSTALL), "-db", "-f", str(path)], config)


PEER = Peer("haproxy", "HAProxy", version, prepare, "#1f77b4")
