"""Cancels a session at its n-th step, and looks whether anything is left of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.relay.far import FarEnd
from tests.relay.router import UPGRADE, Replicas, config_for, healthy, open_files, read_head
from trio_router.core.config import RouterConfig
from trio_router.core.http.head import parse_head
from trio_router.http.handshake import HeadStream
from trio_router.session.context import Services, make_services
from trio_router.session.session import Arrival, Session

#: Below every deadline that a session has, so that one that is waited for is seen.
PROMPT_SECONDS = 4.0


class Steps(trio.abc.Instrument):
    """Cancels ``scope`` at the ``nth`` moment: the beginning or the end of a step of a task that is watched.

    At the end of a step all tasks wait, and the cancellation is delivered where they wait; at the beginning of one the
    task has been given what it waited for already, and the cancellation is delivered at its next checkpoint.
    """

    def __init__(self, scope: trio.CancelScope, nth: int) -> None:
        self.scope = scope
        self.left = nth
        self._watched: set[trio.lowlevel.Task] = set()

    def watch(self, task: trio.lowlevel.Task) -> None:
        """Watch this task, and its children to come."""
        self._watched.add(task)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.parent_nursery is not None and task.parent_nursery.parent_task in self._watched:
            self._watched.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._count(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._count(task)

    def _count(self, task: trio.lowlevel.Task) -> None:
        if task in self._watched:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


Script = Callable[["Trial", FarEnd], Awaitable[None]]


class Trial:
    """One session in a router of its own; ``script`` plays its client and its replicas."""

    def __init__(self, replicas: Replicas, config: RouterConfig, *, memory: bool) -> None:
        self.replicas = replicas
        self.services: Services = make_services(config, healthy(config))
        self._memory = memory

    async def run(self, script: Script, nth: int) -> bool:
        """Cancel the session at its n-th moment. False: it ended by itself before."""
        services = self.services
        with services.poller, trio.fail_after(PROMPT_SECONDS):
            async with trio.open_nursery() as background:
                steps = Steps(trio.CancelScope(), nth)
                background.start_soon(services.timers.run)
                background.start_soon(services.admission.run)
                background.start_soon(self._poll, steps)
                await wait_all_tasks_blocked()
                tasks = trio.lowlevel.current_statistics().tasks_living
                await self._one_session(script, steps)
                await wait_all_tasks_blocked()
                assert trio.lowlevel.current_statistics().tasks_living == tasks
                self.check()
                background.cancel_scope.cancel()
        return steps.left <= 0

    async def _poll(self, steps: Steps) -> None:
        steps.watch(trio.lowlevel.current_task())
        await self.services.poller.run()

    async def _one_session(self, script: Script, steps: Steps) -> None:
        near, far = memory_stream_pair() if self._memory else await loopback()
        client = FarEnd(far, masks=True)
        async with trio.open_nursery() as players:
            players.start_soon(self._play, script, client, steps)
            head = HeadStream(near, limit=65536)
            request = parse_head(await head.read_head())
            assert request is not None
            session = Session(
                self.services, Arrival(near, head, request, "127.0.0.1", "http"), self.services.config.streams[0]
            )
            trio.lowlevel.add_instrument(steps)
            with steps.scope:
                steps.watch(trio.lowlevel.current_task())
                await session.run()
            trio.lowlevel.remove_instrument(steps)
            players.cancel_scope.cancel()
        await trio.aclose_forcefully(far)
        await self.replicas.forget()

    async def _play(self, script: Script, client: FarEnd, steps: Steps) -> None:
        try:
            await client.stream.send_all(UPGRADE)
            if (await read_head(client.stream)).startswith(b"HTTP/1.1 101 "):
                await script(self, client)
        except (AssertionError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
            if steps.left > 0:  # nothing was cancelled that could have cut the talk off
                raise

    def check(self) -> None:
        """Nothing is left."""
        services = self.services
        assert not services.session_table.open
        assert services.session_table.opened_total == sum(services.session_table.outcomes.values()) == 1
        assert [replica.held for replica in services.registry.replicas] == [0] * len(services.registry.replicas)
        assert services.poller.waiting == 0
        assert services.relay_parts.unplaced.held == 0
        assert not services.admission.queue.waiters


async def loopback() -> tuple[trio.SocketStream, trio.SocketStream]:
    """A connected pair of TCP sockets: only between such a session takes the socket out of Trio's stream."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        far = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), far


async def everywhere(replicas: Replicas, script: Script, *, memory: bool, **settings: object) -> int:
    """Cancel at every moment, one trial for each. Returns how many there were."""
    config = config_for(replicas, **settings)
    files = open_files()
    nth = 1
    while await Trial(replicas, config, memory=memory).run(script, nth):
        left = open_files()
        assert left <= files, f"{left - files} sockets are left after {nth} steps"
        files = left  # fewer: what a test before this one had left to its threads is closed now
        nth += 1
    assert open_files() <= files
    return nth
