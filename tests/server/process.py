"""Processes that a test starts: a router, replicas, servers. All are killed when their block is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import trio
import yaml

from tests.server.peers import BOUND_SECONDS

HERE = Path(__file__).parent


class Running:
    """A process and what it has written so far, standard output and error in one, line by line."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = trio.Event()

    async def line(self, text: str, *, count: int = 1) -> str:
        """The ``count``-th line that contains ``text``, once it has come."""
        with trio.fail_after(BOUND_SECONDS):
            while True:
                found = [line for line in self.lines if text in line]
                if len(found) >= count:
                    return found[count - 1]
                assert self.process.returncode is None, f"ended without {text!r}: {self.lines}"
                await self._more.wait()

    async def event(self, name: str, *, count: int = 1) -> dict[str, Any]:
        """The ``count``-th JSON log line of that name, once it has come."""
        fields: dict[str, Any] = json.loads(await self.line(f'"event": "{name}"', count=count))
        return fields

    async def exit_status(self, *, within: float = BOUND_SECONDS) -> int:
        with trio.fail_after(within):
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def rss_mib(self) -> float:
        """Memory that it has now."""
        size: int = psutil.Process(self.process.pid).memory_info().rss
        return size / (1024 * 1024)

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    async def read(self) -> None:
        """Collect its lines until it ends: a pipe that nobody reads would stop it."""
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *whole, rest = (rest + data).split(b"\n")
            self.lines += [line.decode(errors="replace") for line in whole]
            self._tell()
        await self.process.wait()
        self._tell()

    def _tell(self) -> None:
        told, self._more = self._more, trio.Event()
        told.set()


@contextlib.asynccontextmanager
async def process(*arguments: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    """A Python process with these arguments."""
    started = await trio.lowlevel.open_process(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
    )
    running = Running(started)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.read)
            try:
                yield running
            finally:
                started.kill()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await started.wait()
            assert started.stdout is not None
            await started.stdout.aclose()


def config_file(folder: Path, *urls: str, **block: Any) -> Path:
    """A configuration for a process: opaque unless told otherwise, on a free port of the loopback, with JSON logs."""
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "dialect": "opaque", "log": {"format": "json"}}
    defaults["replicas"] = [{"url": url} for url in urls]
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump({"router": defaults | block}))
    return path


@contextlib.asynccontextmanager
async def router_process(
    folder: Path, *urls: str, healthy: bool = True, **block: Any
) -> AsyncIterator[tuple[Running, int]]:
    """``trio-router serve`` and its port; begins when all its replicas are healthy, if ``healthy``."""
    path = config_file(folder, *urls, **block)
    async with process("-m", "trio_router", "serve", "--config", str(path)) as router:
        port: int = (await router.event("router is listening"))["port"]
        if healthy:
            await router.event("replica is healthy", count=len(urls))
        yield router, port


@contextlib.asynccontextmanager
async def demo_replica(*options: str) -> AsyncIterator[tuple[Running, str]]:
    """A replica with FastVideo's protocol, quick and without a codec, and its URL."""
    arguments = ("-m", "trio_router.demo.replica", "--opaque", "--step-seconds", "0", *options)
    async with process(*arguments) as replica:
        yield replica, (await replica.line("listening on ")).removeprefix("listening on ").strip()


@contextlib.asynccontextmanager
async def script(name: str, *arguments: str) -> AsyncIterator[tuple[Running, str]]:
    """A server of this folder that says ``listening on URL``, and the URL."""
    async with process(str(HERE / name), *arguments) as server:
        yield server, (await server.line("listening on ")).removeprefix("listening on ").strip()
