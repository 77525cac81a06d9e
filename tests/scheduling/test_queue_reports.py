"""What replicas say of themselves decides about slots, never about health; and what is in doubt is asked for again."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from tests.session.stage import staged
from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.errors import DialError
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Report
from trio_router.replicas.probes import probe_once

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"


@pytest.mark.parametrize("readyz", ["hangs", "drops", "is no JSON", "is 500"])
async def test_a_replica_without_readiness_is_well(nursery: trio.Nursery, readyz: str) -> None:
    """As for the seed: a good `/health` is a good probe."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            head = bytes(await stream.receive_some())
            if head.startswith(b"GET /health "):
                await stream.send_all(ANSWER % (15, b'{"sessions": 0}'))
            elif readyz == "hangs":
                await trio.sleep_forever()
            elif readyz == "is no JSON":
                await stream.send_all(ANSWER % (2, b"ok"))
            elif readyz == "is 500":
                await stream.send_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    config = RouterConfig(replicas=[ReplicaEndpoint(url)], health_check_timeout_seconds=0.2)
    registry = ReplicaRegistry(config)
    with trio.fail_after(20):
        await probe_once(registry, config)
    assert registry.replicas[0].available(trio.current_time())
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["began", "ended"])
def test_a_report_that_overlaps_with_a_session_is_asked_for_again(what: str) -> None:
    """Asked at 10, answered at 10.5: whether the busy GPU is ours or somebody else's nobody can tell."""
    registry = ReplicaRegistry([ReplicaEndpoint("http://r0", max_sessions=2)])
    (replica,) = registry.replicas

    def probe(asked_at: float, now: float, busy: int) -> None:
        report = Report(asked_at, busy, 2)
        registry.probe_succeeded(replica, latency_ms=1.0, wall=now, now=now, report=report)

    probe(0.0, 0.0, 0)
    slot = registry.reserve(now=5.0 if what == "ended" else 10.2)
    assert slot is not None
    registry.slot_connected(slot, now=5.0 if what == "ended" else 10.2)
    if what == "ended":
        registry.release(slot, now=10.2)
    probe(10.0, 10.5, 1)
    assert (replica.others, replica.wants_probe(10.6)) == (1, True)
    probe(10.75, 10.8, 0 if what == "ended" else 1)
    assert (replica.others, replica.wants_probe(10.9)) == (0, False)
    probe(20.0, 20.0, 2)
    assert (replica.others, replica.wants_probe(20.1)) == (2 - replica.held, False), "these are others, no doubt"


async def test_a_session_whose_connection_stands_is_no_others(clock: MockClock) -> None:
    async with staged([ReplicaEndpoint("http://r0")]) as stage:
        actor = stage.actors[0]
        stage.report(actor, busy=0, total=2)
        await stage.served(actor)
        await trio.sleep(1)
        stage.report(actor, busy=1, total=2)
        assert (actor.record.others, actor.record.taken) == (0, 1)
        await stage.served(actor)


async def test_an_ejection_is_told_in_the_log(clock: MockClock) -> None:
    async with staged(2, balance="first", limits={"attempts": 1}) as stage:
        stage.actors[0].refuse(*[DialError("cannot connect")] * 3)
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                await (await stage.client()).last_words()
                stage.report(stage.actors[0])
            await stage.settled()
    ejections = [line for line in lines if line["event"] == "replica is ejected"]
    assert [(line["replica"], line["seconds"]) for line in ejections] == [("r0", 30.0)]
    ended = [line for line in lines if line["event"] == "session ended"]
    assert all(line["tries"] == ["r0: cannot connect"] and "key" in line for line in ended)
