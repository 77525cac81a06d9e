"""A router and demo replicas on real sockets, all in the test's own Trio, and viewers that talk to them.

Nothing here waits for time to pass: `eventually` waits for what no event tells, and every hang fails.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection  # a client's end, not the data path

from trio_router import ReplicaEndpoint, ReplicaStatus, Router, RouterConfig, open_router
from trio_router.core.session.outcome import Outcome
from trio_router.demo.client import open_session
from trio_router.demo.options import DemoReplicaOptions
from trio_router.demo.replica import run_demo_replica
from trio_router.demo.segment import opaque_segment

BOUND_SECONDS = 60.0  # far above what any of this needs
Message = dict[str, Any]
LAST_WORDS = ("ltx2_segment_complete", "error")


@dataclass
class Gate:
    """Holds every GPU at its next step, while it is shut."""

    opened: trio.Event = field(default_factory=trio.Event)

    async def pace(self, seconds: float) -> None:
        await self.opened.wait()


async def start_replica(nursery: trio.Nursery, name: str, **changes: Any) -> tuple[str, trio.CancelScope]:
    """Its base URL, and what ends it at once."""
    small = partial(opaque_segment, chunks=1, chunk_bytes=1000)
    quick: dict[str, Any] = {"total_steps": 2, "step_seconds": 0.0, "make_segment": small}
    options = DemoReplicaOptions(name=name, **(quick | changes))
    scope = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[str]) -> None:
        with scope:
            await run_demo_replica(options, task_status=task_status)

    url: str = await nursery.start(run)
    return url, scope


@contextlib.asynccontextmanager
async def routing(*urls: str, unborn: int = 0, **settings: Any) -> AsyncIterator[Router]:
    """A router in front of them; begins when all are healthy, but for the last ``unborn`` ones."""
    endpoints = tuple(ReplicaEndpoint(url) for url in urls)
    defaults = {"host": "127.0.0.1", "port": 0, "health_check_interval_seconds": 0.5}
    with trio.fail_after(BOUND_SECONDS):
        async with open_router(RouterConfig(replicas=endpoints, **(defaults | settings))) as router:
            born = router.registry.replicas[: len(urls) - unborn]
            await eventually(lambda: all(replica.health.status is ReplicaStatus.HEALTHY for replica in born))
            yield router


async def eventually(check: Callable[[], bool]) -> None:
    """Until it is so; nothing depends on how often it is asked."""
    with trio.fail_after(BOUND_SECONDS):
        while not check():  # noqa: ASYNC110  # no event tells it
            await trio.sleep(0.002)


class Refused(Exception):
    """The client was told an error, and closed."""

    def __init__(self, message: Message, code: int) -> None:
        super().__init__(message, code)
        self.message, self.code = message, code


class Viewer:
    """A client. ``places`` are those that it was told, ``replica`` is who served it."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self.places: list[int] = []
        self.replica: str | None = None

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send_message(json.dumps({"type": kind, **fields}))

    async def hear(self) -> Message:
        """The next message; media is left out. Raises `Refused` for an error."""
        while isinstance(raw := await self.socket.get_message(), bytes):
            pass
        message: Message = json.loads(raw)
        if message["type"] == "error":
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.get_message()
            raise Refused(message, self.socket.closed.code if self.socket.closed else 0)
        if message["type"] == "queue_status" and message["position"]:
            self.places.append(message["position"])
        return message

    async def hear_of(self, *kinds: str) -> Message:
        while (message := await self.hear())["type"] not in kinds:
            pass
        return message

    async def join(self, **fields: Any) -> bool:
        """Say the first words. Returns whether it was served at once; it waits if not."""
        await self.say("session_init_v2", **fields)
        message = await self.hear()
        if message["type"] == "queue_status" and message["position"]:
            return False
        await self.served()
        return True

    async def served(self) -> None:
        """Until its turn has come."""
        self.replica = (await self.hear_of("gpu_assigned"))["replica"]
        await self.hear_of("ltx2_stream_start")

    async def segment(self) -> None:
        await self.say("segment_prompt_source", prompt="a fox")
        await self.hear_of("ltx2_segment_complete")


@contextlib.asynccontextmanager
async def viewing(router: Router, query: str = "") -> AsyncIterator[Viewer]:
    async with open_session(f"ws://127.0.0.1:{router.port}/v1/stream{query}") as socket:
        yield Viewer(socket)


async def sessions_on(url: str) -> int:
    """What the replica itself says."""
    async with httpx.AsyncClient(trust_env=False) as http:
        sessions: int = (await http.get(f"{url}/health")).json()["sessions"]
        return sessions


def outcomes(router: Router) -> list[Outcome]:
    """The latest sessions that ended."""
    return [outcome for _, outcome in router.services.session_table.recent]
