"""Micro-benchmarks of what a frame and a placement cost: `python -m pytest bench/micro/bench_core.py`.

Kept apart from the tests (the file name is not collected by itself); pytest-benchmark prints the table. Each row is the
time of one call; frames of one call are in the name.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.scheduling.queue import SlotRequest, WaitQueue
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import BINARY, TEXT, frame
from trio_router.core.websocket.scanner import FrameScanner
from trio_router.core.websocket.scratch import Scratch

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

MIB = 1024 * 1024


def scanner(*, masked: bool = False) -> FrameScanner:
    return FrameScanner(masked=masked, hold_bytes=MIB, max_message_bytes=64 * MIB)


@pytest.mark.parametrize("size", [128, 2048, 16384])
def test_scan_a_run_of_equal_frames(benchmark: BenchmarkFixture, size: int) -> None:
    one = frame(BINARY, bytes(size))
    data = bytearray(one * (MIB // len(one)))
    benchmark.extra_info["frames"] = MIB // len(one)
    benchmark(scanner().scan, data, 0, len(data))


def test_scan_100_frames_of_different_sizes(benchmark: BenchmarkFixture) -> None:
    rng = random.Random(1)
    data = bytearray(b"".join(frame(BINARY, bytes(rng.randrange(200, 9000))) for _ in range(100)))
    benchmark(scanner().scan, data, 0, len(data))


def test_scan_one_masked_text_frame(benchmark: BenchmarkFixture) -> None:
    data = bytearray(frame(TEXT, bytes(128), mask=b"abcd"))
    benchmark(scanner(masked=True).scan, data, 0, len(data))


def test_pass_one_frame_through_a_flow(benchmark: BenchmarkFixture) -> None:
    data = frame(BINARY, bytes(128))
    scratch = Scratch()
    buffer = FrameBuffer(scanner(), scratch, masked=False)

    def go() -> memoryview:
        buffer.get_buffer()[: len(data)] = data
        buffer.feed(len(data))
        return buffer.take()

    benchmark(go)


def registry_of(replicas: int, **settings: Any) -> ReplicaRegistry:
    endpoints = tuple(
        ReplicaEndpoint(f"http://10.0.{n // 250}.{n % 250 + 1}:80", max_sessions=4) for n in range(replicas)
    )
    registry = ReplicaRegistry(RouterConfig(replicas=endpoints, **settings), rng=random.Random(1))
    for replica in registry.replicas:
        registry.probe_succeeded(replica, latency_ms=1.0, wall=0.0, now=0.0)
    return registry


@pytest.mark.parametrize("balance", ["least_sessions", "first", "round_robin", "random_two", "hash"])
def test_reserve_and_release_among_50_replicas(benchmark: BenchmarkFixture, balance: str) -> None:
    registry = registry_of(50, balance=balance)

    def go() -> None:
        slot = registry.reserve(now=1.0, key="somebody")
        assert slot is not None
        registry.release(slot, now=1.0)

    benchmark(go)


def test_settle_a_line_of_100_while_nothing_is_free(benchmark: BenchmarkFixture) -> None:
    registry = registry_of(50)
    while registry.reserve(now=1.0):
        pass
    queue = WaitQueue()
    for _ in range(100):
        queue.join(queue.new_waiter(SlotRequest(), now=1.0))
    benchmark(queue.dispatch, registry, now=1.0)
