"""What FastVideo's router is asked by its own tests, asked here: endpoints, configuration, registry, probes, `/status`."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_router import (
    ReplicaEndpoint,
    ReplicaRegistry,
    ReplicaStatus,
    RouterConfig,
    build_router_app,
    run_health_check_loop,
)

PRIMARY = ReplicaEndpoint(url="http://primary-0:8000", primary=True)
SECONDARY = ReplicaEndpoint(url="http://secondary-0:8000", primary=False)
PAIR = [ReplicaEndpoint(url="http://a", primary=True), ReplicaEndpoint(url="http://b")]


def registry() -> ReplicaRegistry:
    return ReplicaRegistry([PRIMARY, SECONDARY])


def test_an_endpoint_has_four_fields_in_that_order() -> None:
    endpoint = ReplicaEndpoint("http://a", None, False, 1.0)
    assert endpoint == ReplicaEndpoint(url="http://a")
    assert (endpoint.url, endpoint.name, endpoint.primary, endpoint.weight) == ("http://a", None, False, 1.0)


def test_a_configuration_takes_a_list_and_has_flat_fields() -> None:
    config = RouterConfig(
        host="0.0.0.0",
        port=9000,
        replicas=PAIR,
        health_check_path="/health",
        health_check_interval_seconds=5.0,
        health_check_timeout_seconds=2.0,
        failure_threshold=3,
        recovery_threshold=2,
    )
    assert config == RouterConfig(replicas=PAIR)


def test_a_registry_wants_replicas() -> None:
    with pytest.raises(ValueError, match="at least one replica"):
        ReplicaRegistry([])


def test_a_registry_takes_what_the_configuration_has() -> None:
    urls = [replica.url for replica in ReplicaRegistry(RouterConfig(replicas=PAIR).replicas).replicas]
    assert urls == ["http://a", "http://b"]


def test_nothing_is_selected_while_all_are_unknown() -> None:
    assert registry().select() is None


async def test_the_loop_changes_replicas_by_what_probes_find(mock_clock: MockClock) -> None:
    config = RouterConfig(replicas=PAIR, health_check_interval_seconds=0.01, failure_threshold=1, recovery_threshold=1)
    found = ReplicaRegistry(config.replicas)
    calls: list[str] = []

    async def probe(url: str, *, timeout: float) -> tuple[float, str | None]:
        calls.append(url)
        return (1.0, None) if "http://a" in url else (0.0, "mock failure")

    async def loop() -> None:
        await run_health_check_loop(registry=found, config=config, http_get=probe)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop)
        await wait_all_tasks_blocked()
        for _ in range(3):
            mock_clock.jump(0.02)
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    a, b = found.replicas
    assert a.health.status is ReplicaStatus.HEALTHY
    assert b.health.status is ReplicaStatus.UNHEALTHY
    assert set(calls) == {"http://a/health", "http://b/health"}


async def test_status_lists_the_replicas() -> None:
    config = RouterConfig(replicas=PAIR, health_check_interval_seconds=60)
    app = build_router_app(config, registry=ReplicaRegistry(config.replicas))
    body = await (await app.test_client().get("/status")).get_json()
    assert {row["url"] for row in body["replicas"]} == {"http://a", "http://b"}
    assert all(row["status"] == "unknown" for row in body["replicas"])
