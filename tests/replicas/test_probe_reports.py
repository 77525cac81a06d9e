"""Probes over real HTTP, and what the replicas' own reports make of their capacity."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from trio_router import ReplicaEndpoint, ReplicaRegistry, ReplicaStatus, RouterConfig
from trio_router.replicas.probes import probe_once


@asynccontextmanager
async def serving(pages: Callable[[str], tuple[int, object]]) -> AsyncIterator[str]:
    """A tiny HTTP server; ``pages`` is asked for (status, JSON) by path."""

    async def answer(stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        status, value = pages(head.split()[1].decode())
        body = json.dumps(value).encode()
        await stream.send_all(
            b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body
        )

    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), answer, 0)
            yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def probed(pages: Callable[[str], tuple[int, object]], *, times: int = 1) -> ReplicaRegistry:
    async with serving(pages) as url:
        config = RouterConfig(replicas=(ReplicaEndpoint(url),), failure_threshold=1)
        registry = ReplicaRegistry(config)
        for _ in range(times):
            await probe_once(registry, config)
        return registry


async def test_reports_of_a_replica_make_its_capacity() -> None:
    ready = {"status": "ready", "ready_gpu_workers": 4, "total_gpus": 4, "available_gpus": 1}
    registry = await probed(lambda path: (200, {"status": "ok", "sessions": 2} if path == "/health" else ready))
    replica = registry.replicas[0]
    assert replica.health.status is ReplicaStatus.HEALTHY
    assert (replica.full_capacity, replica.others) == (4, 3)
    assert replica.report is not None
    assert replica.health.last_latency_ms is not None
    assert replica.health.last_latency_ms > 0


async def test_a_replica_that_warms_up_is_healthy_and_not_available() -> None:
    warming = {"status": "warming", "ready_gpu_workers": 0, "total_gpus": 1, "available_gpus": 0}
    registry = await probed(lambda path: (200, {"sessions": 0} if path == "/health" else warming))
    replica = registry.replicas[0]
    assert replica.health.status is ReplicaStatus.HEALTHY
    assert replica.warming
    assert not replica.available(0.0)


async def test_a_replica_without_reports_is_asked_for_its_health_only() -> None:
    registry = await probed(lambda path: (200, "ok") if path == "/health" else (404, None))
    assert registry.replicas[0].health.status is ReplicaStatus.HEALTHY
    assert registry.replicas[0].report is None


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_status_of_400_and_above_is_bad(status: int) -> None:
    registry = await probed(lambda path: (status, None))
    assert registry.replicas[0].health.last_error == f"HTTP {status}"
    assert registry.replicas[0].health.status is ReplicaStatus.UNHEALTHY


@pytest.mark.parametrize("status", [200, 204, 301, 399])
async def test_a_status_below_400_is_good(status: int) -> None:
    registry = await probed(lambda path: (status, None))
    assert registry.replicas[0].health.status is ReplicaStatus.HEALTHY


async def test_nobody_listens() -> None:
    async with serving(lambda path: (200, None)) as url:
        pass
    config = RouterConfig(replicas=(ReplicaEndpoint(url),), failure_threshold=1)
    registry = ReplicaRegistry(config)
    with trio.fail_after(10):
        await probe_once(registry, config)
    assert registry.replicas[0].health.status is ReplicaStatus.UNHEALTHY
    assert registry.replicas[0].health.last_error == "ConnectError: [Errno 111] Connection refused"
