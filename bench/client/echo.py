"""Echo round trips: at full concurrency, and at a fixed one over ever more sessions (growth, idle memory)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from picows import WSFrame, WSMsgType

from bench import proc, wire
from bench.client.meter import Errors, Times, Window
from bench.client.session import Session, end_all, open_many, open_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_IN_FLIGHT_WHEN_GROWING = 10
_END_ONE_BY_ONE_UP_TO = 600


class Rotation:
    """Keeps a fixed number of messages in flight and lets the session that is idle longest send the next
    one."""

    def __init__(self) -> None:
        self.times, self.errors = Times(), Errors()
        self.sessions: list[EchoSession] = []
        self.completed = 0
        self._idle: deque[EchoSession] = deque()
        self._in_flight = 0
        self._live = False
        self._all_back = asyncio.Event()

    def start(self, concurrency: int) -> None:
        self._live = True
        self._all_back = asyncio.Event()
        self._idle = deque(self.sessions)
        for _ in range(min(concurrency, len(self.sessions))):
            self._in_flight += 1
            self._idle.popleft().send_next()

    def on_reply(self, session: EchoSession, seconds: float) -> None:
        self.completed += 1
        self.times.record(seconds)
        if self._live:
            self._idle.append(session)
            self._idle.popleft().send_next()
        else:
            self._in_flight -= 1
            if not self._in_flight:
                self._all_back.set()

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Send no more and wait for what is on its way."""
        self._live = False
        if self._in_flight:
            try:
                await asyncio.wait_for(self._all_back.wait(), timeout_s)
            except TimeoutError:
                self.errors.add(f"{self._in_flight} echoes never came back")

    async def window(self, pids: dict[str, list[int]], concurrency: int, warmup: float, s: float) -> dict[str, Any]:
        self.start(concurrency)
        await asyncio.sleep(warmup)
        self.times.clear()
        window = Window(pids, lambda: {"messages": self.completed, "bytes": self.completed * wire.ECHO_BYTES})
        await asyncio.sleep(s)
        measured = window.close()
        measured["round_trip_us"] = self.times.summary()
        await self.stop()
        return measured


class EchoSession(Session):
    """Sends a message that no other session sends, and compares every byte of what comes back."""

    def __init__(self, number: int, rotation: Rotation) -> None:
        super().__init__({"mode": "echo"}, rotation.errors)
        self._number, self._rotation = number, rotation
        self._count = 0
        self._expected = b""
        self._sent_at = 0.0

    def send_next(self) -> None:
        self._count += 1
        self._expected = wire.echo_message(self._number, self._count)
        self._sent_at = time.perf_counter()
        self.wire.send(WSMsgType.TEXT, self._expected)

    def on_data(self, frame: WSFrame) -> None:
        now = time.perf_counter()
        if self._whole(frame) != self._expected:
            self.errors.add("an echo differs from what was sent")
        self._rotation.on_reply(self, now - self._sent_at)


async def run_echo(job: wire.Job) -> dict[str, Any]:
    """All sessions at once, each with one message in flight."""
    rotation = Rotation()
    await _grow_to(job.sessions, rotation, job)
    result = await rotation.window(job.pids, job.sessions, job.warmup_s, job.seconds)
    await end_all(rotation.sessions)
    return {**result, "errors": rotation.errors}


async def run_ladder(job: wire.Job) -> dict[str, Any]:
    """Rung by rung more open sessions: memory while they idle, then the cost of a message.

    At each rung the same ten messages are in flight and move round all sessions, so only their number
    grows. Memory is read before the traffic of the rung; it is what the router has more than at the first
    rung, per session more.
    """
    rotation = Rotation()
    rungs = [rung async for rung in _climb(job, rotation)]
    if job.sessions <= _END_ONE_BY_ONE_UP_TO:
        await end_all(rotation.sessions)
    return {"rungs": rungs, "errors": rotation.errors}


async def _climb(job: wire.Job, rotation: Rotation) -> AsyncIterator[dict[str, Any]]:
    for sessions in job.options["rungs"]:
        opening = Window(job.pids, lambda: {"opened": len(rotation.sessions)})
        await _grow_to(sessions, rotation, job)
        opened = opening.close()
        await asyncio.sleep(job.options["settle_s"])
        memory = asdict(proc.memory_of(job.pids["router"]))
        flow = await rotation.window(job.pids, _IN_FLIGHT_WHEN_GROWING, job.warmup_s, job.seconds)
        yield {"sessions": sessions, "opening": opened, "memory": memory, "flow": flow}


async def _grow_to(count: int, rotation: Rotation, job: wire.Job) -> None:
    async def open_session(session: EchoSession) -> None:
        tls = job.options["tls"]
        rotation.sessions.append(await open_one(session, job.port, tls=tls, buffer_bytes=2 * wire.KIB))

    await open_many([EchoSession(number, rotation) for number in range(len(rotation.sessions), count)], open_session)
