"""A demo replica that can be killed and revived while the demo runs, as a process would be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from trio_router.demo.connections import OpenConnections
from trio_router.demo.replica import run_demo_replica

if TYPE_CHECKING:
    from trio_router.demo.options import DemoReplicaOptions


class KillableReplica:
    """One demo replica. `run` must be running while `revive` is called."""

    def __init__(self, options: DemoReplicaOptions) -> None:
        self.name = options.name
        self._options = options
        self._connections = OpenConnections()
        self._alive = False
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._reviving = trio.Lock()

    @property
    def alive(self) -> bool:
        """Whether it listens."""
        return self._alive

    @property
    def port(self) -> int:
        """The port that it listens on, or did before it was killed; the one of `options` before `run`."""
        return self._options.port

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. `started()` gives the base URL, which stays the same after a revival.

        Raises DemoDependencyError, or OSError when the port is taken, before that.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            url = await self._start(nursery)
            self._options = replace(self._options, port=int(url.rpartition(":")[2]))
            task_status.started(url)
            await trio.sleep_forever()

    def kill(self) -> None:
        """Stop listening and reset every connection, without a close frame. Nothing happens to a dead replica."""
        if self._alive:
            self._alive = False
            self._connections.reset_on_close()
            self._scope.cancel()

    async def revive(self) -> None:
        """Listen on the same port again, with no session. Nothing happens to a replica that is alive.

        Raises OSError when something else has taken the port.
        """
        async with self._reviving:
            if self.alive or self._nursery is None:
                return
            await self._ended.wait()
            await self._start(self._nursery)

    async def _start(self, nursery: trio.Nursery) -> str:
        url: str = await nursery.start(self._live)
        self._alive = True
        return url

    async def _live(self, task_status: trio.TaskStatus[str]) -> None:
        """One life, from a revival to a kill."""
        self._ended, self._scope = trio.Event(), trio.CancelScope()
        try:
            with self._scope:
                await run_demo_replica(self._options, connections=self._connections, task_status=task_status)
        finally:
            self._alive = False
            self._ended.set()
