"""The whole demo in one process: replicas without GPUs, the router in front of them, and the page or a viewer."""

from __future__ import annotations

import webbrowser
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
import trio

from trio_router.demo.killable import KillableReplica
from trio_router.demo.options import DemoReplicaOptions
from trio_router.demo.replica import STREAM_PATH
from trio_router.demo.segment import DemoDependencyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEFAULT_OUT = Path("trio-router-demo.mp4")
NAMES = ("blue", "coral", "amber", "jade", "violet", "slate")
HOST = "127.0.0.1"
#: More often than the default of 5 s, so that a viewer sees within a few seconds what a kill and a revival do.
PROBE_SECONDS = 1.0
#: Mistakes that a user can mend, or a machine that is too slow: reported in one line.
MISHAPS = (DemoDependencyError, OSError, ValueError, trio.TooSlowError)


async def run_demo(
    *,
    port: int = 9000,
    replicas: int = 2,
    once: bool = False,
    out: Path | None = None,
    open_browser: bool = False,
    step_seconds: float = 0.15,
) -> int:
    """Run the demo on 127.0.0.1 and return the exit status.

    With `once` three segments are watched without a browser and written to `out` (default
    `trio-router-demo.mp4`), on any free port; otherwise this serves the page until it is cancelled. Raises
    DemoDependencyError when the packages of the demo extra are missing.
    """
    async with open_demo(port=0 if once else port, replicas=replicas, step_seconds=step_seconds) as address:
        if once:
            return await _watch_once(address, out or DEFAULT_OUT)
        await _serve_page(address, replicas, open_browser=open_browser)
    return 0


def demo_command(
    *, port: int = 9000, replicas: int = 2, once: bool = False, out: Path | None = None, open_browser: bool = False
) -> int:
    """`run_demo` in a Trio run of its own, for the command line; returns the exit status.

    A mistake that the user can mend (a missing package, a taken port) becomes one line on stderr and status 1.
    Ctrl-C is a normal end of the page, and status 130 with `once`. Any other exception is a defect and is raised.
    """
    demo = partial(run_demo, port=port, replicas=replicas, once=once, out=out, open_browser=open_browser)
    try:
        return trio.run(demo)
    except (KeyboardInterrupt, *MISHAPS, BaseExceptionGroup) as error:
        cause = _first_cause(error)
        if isinstance(cause, KeyboardInterrupt):
            return 130 if once else 0
        if not isinstance(cause, MISHAPS):
            raise
        click.echo(f"trio-router demo: {cause}", err=True)
        return 1


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def open_demo(*, port: int = 0, replicas: int = 2, step_seconds: float = 0.15) -> AsyncIterator[str]:
    """Demo replicas and the router in front of them; yields the router's `host:port`. Everything ends with the block."""
    from trio_router import ReplicaEndpoint, RouterConfig, open_router
    from trio_router.demo.controls import ReplicaControls
    from trio_router.demo.page import demo_page

    if replicas < 1:
        raise ValueError(f"replicas must be at least 1, not {replicas}")
    async with trio.open_nursery() as nursery:
        endpoints, killable = [], {}
        for name in (replica_name(index) for index in range(replicas)):
            replica = KillableReplica(DemoReplicaOptions(name=name, step_seconds=step_seconds))
            url: str = await nursery.start(replica.run)
            endpoints.append(ReplicaEndpoint(url, name=name))
            killable[name] = replica
        config = RouterConfig(host=HOST, port=port, replicas=endpoints, health_check_interval_seconds=PROBE_SECONDS)
        async with open_router(config, blueprints=[demo_page(ReplicaControls(killable))]) as router:
            address = f"{HOST}:{router.port}"
            await _wait_until_healthy(address, replicas)
            yield address
        nursery.cancel_scope.cancel()


async def _wait_until_healthy(address: str, replicas: int) -> None:
    """A replica gets no session before its first good probe. TooSlowError when that takes 10 seconds."""
    with trio.fail_after(10):
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                status = (await client.get(f"http://{address}/status")).json()
                healthy = [replica for replica in status["replicas"] if replica["status"] == "healthy"]
                if len(healthy) == replicas:
                    return
                await trio.sleep(0.02)


def replica_name(index: int) -> str:
    """A colour for the first six replicas, then `replica-7` and so on."""
    return NAMES[index] if index < len(NAMES) else f"replica-{index + 1}"


async def _watch_once(address: str, out: Path) -> int:
    from trio_router.demo.once import run_once  # only here: the page needs no rich

    return await run_once(f"ws://{address}{STREAM_PATH}", out)


async def _serve_page(address: str, replicas: int, *, open_browser: bool) -> None:
    click.echo(f"trio-router demo: http://{address}/  ({replicas} replicas, Ctrl-C ends it)")
    if open_browser:
        # Some desktops' launchers wait for the browser: in a thread they do not block the event loop.
        await trio.to_thread.run_sync(partial(webbrowser.open, f"http://{address}/"), abandon_on_cancel=True)
    await trio.sleep_forever()
