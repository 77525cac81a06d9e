"""TLS on both sides, each with certificates of trustme: towards clients, and towards https replicas."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme

from tests.server.peers import replica, viewer
from tests.server.router import all_closed, eventually, outcomes, running, session

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ``tls`` block of a router that uses both."""
    folder: Path = tmp_path_factory.mktemp("tls")
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    names = {"certificate": "cert.pem", "key": "key.pem", "replica_ca_file": "ca.pem"}
    return {key: str(folder / name) for key, name in names.items()}


@pytest.fixture
def server_side(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def client_side(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def secure(client_side: ssl.SSLContext) -> dict[str, Any]:
    return {"scheme": "wss", "ssl": client_side}


async def test_wss_on_both_sides(
    tls_files: dict[str, str], server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    large = os.urandom(3 * MIB)
    async with replica(tls=server_side) as back, running(back.url, tls=tls_files) as router:
        async with session(router, back, **secure(client_side)) as (client, server):
            assert server.ws.request is not None
            assert server.ws.request.headers["X-Forwarded-Proto"] == "https"
            await client.send("hello")
            assert await server.recv() == "hello"
            await client.send(large)
            assert await server.recv() == large
            await server.send(large)
            assert await client.recv() == large
            await client.ping(b"end to end")
            await server.ping(b"and back")
            assert await server.close(4001, "quota") == (4001, "quota")
            assert await client.ended() == (4001, "quota")
        await all_closed(router)
        assert outcomes(router) == {"replica.streaming.closed": 1}


async def test_vanished_tls_replica_is_1011(
    tls_files: dict[str, str], server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async with (
        replica(tls=server_side) as back,
        running(back.url, tls=tls_files) as router,
        session(router, back, **secure(client_side)) as (client, server),
    ):
        await server.send("hello")
        assert await client.recv() == "hello"
        server.vanish(reset=True)
        assert await client.ended() == (1011, "worker_failed")


async def test_vanished_tls_client_frees_the_replica(
    tls_files: dict[str, str], server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async with (
        replica(tls=server_side) as back,
        running(back.url, tls=tls_files) as router,
        session(router, back, **secure(client_side)) as (client, server),
    ):
        client.vanish(reset=True)
        assert await server.ended() == (1001, "client is gone")


async def test_https_status_on_the_stream_port(tls_files: dict[str, str], client_side: ssl.SSLContext) -> None:
    async with (
        replica() as back,
        running(back.url, tls=tls_files) as router,
        httpx.AsyncClient(verify=client_side, trust_env=False) as http,
    ):
        for path, status in (("/status", 200), ("/health", 200), ("/readyz", 200), ("/nothing", 404)):
            answer = await http.get(f"https://127.0.0.1:{router.port}{path}")
            assert (answer.status_code, answer.http_version) == (status, "HTTP/1.1")
            assert isinstance(answer.json(), dict)


async def test_plain_client_on_a_tls_port_is_hung_up_on(tls_files: dict[str, str]) -> None:
    async with replica() as back, running(back.url, tls=tls_files) as router:
        async with await trio.open_tcp_stream("127.0.0.1", router.port or 0) as stream:
            await stream.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                while await stream.receive_some(4096):
                    pass
            except trio.BrokenResourceError:
                pass
        assert router.status()["router"]["sessions_total"] == 0


async def test_only_http_1_1_in_alpn(tls_files: dict[str, str], client_side: ssl.SSLContext) -> None:
    client_side.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        replica() as back,
        running(back.url, tls=tls_files) as router,
        await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", router.port or 0, ssl_context=client_side, https_compatible=True
        ) as stream,
    ):
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "http/1.1"


async def test_replica_with_an_untrusted_certificate_is_never_used(server_side: ssl.SSLContext) -> None:
    other = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    other.issue_cert("127.0.0.1").configure_cert(context)
    settings: dict[str, Any] = {"failure_threshold": 1, "queue": {"outage_seconds": 0}}
    async with replica(tls=context) as back, running(back.url, healthy=False, **settings) as router:
        record = router.registry.replicas[0]
        await eventually(lambda: record.health.last_error is not None)
        assert "certificate" in (record.health.last_error or "").lower()
        async with viewer(router.port) as client:
            assert await client.ended() == (1013, "no_healthy_replica")
        assert back.waiting == 0
