"""HAProxy, one thread. After the upgrade it copies bytes (a tunnel) and knows nothing of frames.

Its buffers are 64 KiB instead of 16: that takes a third off the cost of a pushed GiB and costs an idle
session nothing, because it gives buffers back. `haproxy_16k` is the same with the default (only when asked
for). `option splice-auto` was tried and changes nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.peers.base import Launch, Peer, find_binary, first_line, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate

# maxconn: two sockets a session within the 20,000 open files that the 8,000 sessions are planned for.
_CONFIG = """\
global
    nbthread 1
    tune.bufsize {bufsize}
    maxconn 9500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    backlog 4096
frontend door
    bind 127.0.0.1:{port}{tls}
    default_backend replicas
backend replicas
    server replica 127.0.0.1:{replica_port}
"""
_INSTALL = "apt-get install haproxy"


def version() -> str:
    return first_line([find_binary("haproxy", _INSTALL), "-v"])


def prepare(
    workdir: Path, port: int, replica_port: int, certificate: Certificate | None, bufsize: int = 65536
) -> Launch:
    tls = f" ssl crt {certificate.both} ssl-min-ver TLSv1.3" if certificate else ""
    config = _CONFIG.format(port=port, replica_port=replica_port, bufsize=bufsize, tls=tls)
    path = write_config(workdir, "haproxy.cfg", config)
    return Launch([find_binary("haproxy", _INSTALL), "-db", "-f", str(path)], config)


PEER = Peer("haproxy", "HAProxy", version, prepare, "#1f77b4")
PEER_16K = Peer("haproxy_16k", "HAProxy, default buffers", version, partial(prepare, bufsize=16384), "#aec7e8")
