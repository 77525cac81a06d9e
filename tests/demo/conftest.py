"""Replicas on real sockets, with generation times of milliseconds and gates instead of clocks."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from trio_router.demo.command import open_demo
from trio_router.demo.options import DemoReplicaOptions
from trio_router.demo.replica import run_demo_replica
from trio_router.demo.segment import VideoFormat, opaque_segment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from tests.demo.talk import StartReplica

QUICK = DemoReplicaOptions(
    name="blue",
    total_steps=2,
    step_seconds=0.0,
    video=VideoFormat(width=160, height=90, num_frames=12),
    make_segment=partial(opaque_segment, chunks=2, chunk_bytes=100_000),
)


@pytest.fixture
async def start_replica(nursery: trio.Nursery) -> AsyncIterator[StartReplica]:
    """Start a replica with changed options; returns its base URL. All end with the test."""

    async def start(**changes: object) -> str:
        url: str = await nursery.start(run_demo_replica, replace(QUICK, **changes))  # type: ignore[arg-type]
        return url

    yield start
    nursery.cancel_scope.cancel()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; without one the tests are skipped, except in CI, where that is a failure."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI"):
        pytest.fail("CI must have Chromium for the page's tests")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Two demo replicas behind a router; its `host:port`."""
    async with open_demo(step_seconds=0.01) as address:
        yield address
