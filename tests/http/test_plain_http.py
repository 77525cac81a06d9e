"""The operators' pages on the stream port and on a port of their own."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

import trio_router
from tests.server.peers import replica, viewer
from tests.server.raw import END, dialled, upgrade_request
from tests.server.router import all_closed, eventually, get, is_healthy, refusing_port, running, session

SEED_KEYS = {"url", "primary", "status", "last_ok_at", "last_latency_ms", "consecutive_failures"}
REPLICA_KEYS = SEED_KEYS | {"name", "weight", "open_sessions", "sessions_total", "failures_total", "last_error"}
ROUTER_KEYS = {"version", "uptime_seconds", "draining", "open_sessions", "sessions_total", "outcomes"}


async def test_status_of_a_healthy_replica_with_a_session() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, server):
        await client.send("hello")
        await server.send("hello")
        await client.recv()
        answer = await get(router, "/status")
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        (row,) = body["replicas"]
        assert row.keys() >= REPLICA_KEYS
        assert (row["url"], row["name"], row["weight"]) == (back.url, back.url.removeprefix("http://"), 1.0)
        assert (row["primary"], row["status"], row["consecutive_failures"]) == (False, "healthy", 0)
        assert (row["open_sessions"], row["sessions_total"], row["failures_total"]) == (1, 1, 0)
        assert row["last_error"] is None
        assert 0 < row["last_latency_ms"] < 10_000
        assert abs(row["last_ok_at"] - time.time()) < 60, "Unix seconds"
        assert body["router"].keys() >= ROUTER_KEYS
        assert body["router"]["version"] == trio_router.__version__
        assert body["router"]["open_sessions"] == 1
        assert body["router"]["outcomes"] == {}
        (found,) = body["sessions"]
        assert (found["phase"], found["client"], found["replica"]) == ("streaming", "127.0.0.1", row["name"])
        assert (found["messages_up"], found["messages_down"]) == (1, 1)
        await client.close(1000)
        await all_closed(router)
        while (body := (await get(router, "/status")).json())["router"]["open_sessions"]:
            pass  # a page that was written up to 250 ms ago
        assert body["router"]["outcomes"] == {"client.streaming.closed": 1}
        assert (body["router"]["open_sessions"], body["replicas"][0]["open_sessions"], body["sessions"]) == (0, 0, [])


async def test_status_keeps_the_order_and_the_urls_as_configured() -> None:
    with refusing_port() as dead:
        async with replica() as back, running(f"{dead}/", back.url, healthy=False, failure_threshold=1) as router:
            await eventually(lambda: is_healthy(router, 1))
            await eventually(lambda: router.status()["replicas"][0]["status"] == "unhealthy")
            one, two = (await get(router, "/status")).json()["replicas"]
            assert (one["url"], two["url"]) == (f"{dead}/", back.url)
            assert (one["last_ok_at"], one["last_latency_ms"]) == (None, None)
            assert one["consecutive_failures"] >= 1
            assert one["last_error"] == "ConnectError: [Errno 111] Connection refused"


async def test_readyz_follows_the_replicas() -> None:
    fast: dict[str, Any] = {"health_check_interval_seconds": 0.05, "failure_threshold": 1, "recovery_threshold": 1}
    up = True

    async def http_get(url: str, *, timeout: float) -> tuple[float | None, str | None]:
        return (1.0, None) if up else (None, "ordered to fail")

    async with running("http://replica.test", http_get=http_get, **fast) as router:
        assert (await get(router, "/readyz")).json() == {"status": "ready"}
        up = False
        await eventually(lambda: not router.ready()[0])
        answer = await get(router, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert (await get(router, "/health")).status_code == 200, "the router itself lives"
        up = True
        await eventually(lambda: router.ready()[0])
        assert (await get(router, "/readyz")).status_code == 200


async def test_readyz_is_503_while_draining() -> None:
    async with replica() as back, running(back.url) as router, session(router, back) as (client, _):
        router.drain()
        answer = await get(router, "/readyz")
        assert (answer.status_code, answer.json()["reason"]) == (503, "draining")
        assert (await get(router, "/status")).json()["router"]["draining"] is True
        async with dialled(router.port) as late:
            await late.send(upgrade_request())
            assert (await late.until(END)).startswith(b"HTTP/1.1 503 ")
        await client.close(1000)


async def test_health() -> None:
    async with running("http://127.0.0.1:1", healthy=False) as router:
        answer = await get(router, "/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_unknown_page_is_a_json_404(method: str) -> None:
    async with running("http://127.0.0.1:1", healthy=False) as router, dialled(router.port) as client:
        body = b"x" * 100_000
        head = f"{method} /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        await client.send(head.encode() + END + body)
        answer = await client.to_the_end()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"error":"not found"' in answer.replace(b": ", b":")


async def test_wrong_method_is_a_json_405() -> None:
    async with running("http://127.0.0.1:1", healthy=False) as router, dialled(router.port) as client:
        await client.send(b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 2" + END + b"{}")
        answer = await client.to_the_end()
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"method not allowed" in answer


async def test_stream_path_without_an_upgrade_is_a_404() -> None:
    async with running("http://127.0.0.1:1", healthy=False) as router:
        assert (await get(router, "/v1/stream")).status_code == 404


async def test_status_port() -> None:
    async with replica() as back, running(back.url, status_port=0) as router:
        assert router.status_port not in (None, router.port)
        for path in ("/status", "/health", "/readyz"):
            assert (await get(router, path, port=router.status_port)).status_code == 200
            assert (await get(router, path)).status_code == 200, "they stay on the stream port too"
        async with dialled(router.status_port) as client:
            await client.send(upgrade_request())
            assert b"101" not in (await client.until(END)).split(b"\r\n")[0]
        assert back.waiting == 0


async def test_pages_answer_during_a_thousand_bytes_of_slow_session() -> None:
    """HTTP and sessions share the port: neither waits for the other."""
    async with replica() as back, running(back.url) as router, viewer(router.port) as client:
        server = await back.accepted()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(get, router, "/status")
                await client.send("x")
                assert await server.recv() == "x"
