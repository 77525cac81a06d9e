"""Video at its own pace: the gap between frames, and what a slow reader does to the others."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench import proc, wire
from bench.client.meter import Errors, Times, Window
from bench.client.push import PushSession
from bench.client.session import Session, open_many, open_one

if TYPE_CHECKING:
    from picows import WSFrame

_STOP_TIMEOUT_S = 10.0
_SLOW_PUSH_BYTES = 64 * wire.KIB
_SLOW_SETTLE_S = 0.5


class Figures:
    """`gap` is the time from one tick's first message to the next tick's; `delay` is from replica to client.

    Both ends read the same monotonic clock, hence delay is exact.
    """

    def __init__(self) -> None:
        self.gap, self.delay, self.errors = Times(), Times(), Errors()

    def clear(self) -> None:
        self.gap.clear()
        self.delay.clear()

    def summary(self) -> dict[str, Any]:
        return {"gap_us": self.gap.summary(), "delay_us": self.delay.summary()}


class PacedSession(Session):
    """Checks that ticks come in order and chunks are whole."""

    def __init__(self, phase: float, figures: Figures) -> None:
        super().__init__({"mode": "paced", "phase": phase}, figures.errors)
        self.frames = self.bytes = 0
        self.done: dict[str, Any] | None = None
        self._figures = figures
        self._tick, self._tick_at = -1, 0.0
        chunk = wire.Pace.chunk_bytes
        self._chunk_bytes = chunk
        self._tail = wire.payload(chunk)[-64:]

    def on_data(self, frame: WSFrame) -> None:
        now = time.monotonic()
        size = frame.payload_size
        if size == self._chunk_bytes:
            data = frame.get_payload_as_memoryview()
            sent_at, tick = wire.CHUNK_STAMP.unpack_from(data)
            if data[-64:] != self._tail:
                self.errors.add("the bytes of a chunk differ from what was sent")
        else:
            text = json.loads(self._whole(frame))
            if text["type"] == "bench_done":
                self.done = text
                return
            sent_at, tick = text["sent_at"], text["tick"]
        self.frames += 1
        self.bytes += size
        self._figures.delay.record(now - sent_at)
        if tick != self._tick:
            self._on_tick(tick, now)

    def _on_tick(self, tick: int, now: float) -> None:
        if tick != self._tick + 1:
            self.errors.add(f"tick {tick} came after tick {self._tick}")
        if self._tick >= 0:
            self._figures.gap.record(now - self._tick_at)
        self._tick, self._tick_at = tick, now

    async def stop(self) -> None:
        if not self.gone.done():
            self.send_stop()
        await self.wait_gone(_STOP_TIMEOUT_S)
        done = self.done or {}
        if (done.get("frames"), done.get("bytes")) != (self.frames, self.bytes):
            self.errors.add(f"{self.frames} frames, {self.bytes} bytes received; the replica says {done}")


async def run_paced(job: wire.Job) -> dict[str, Any]:
    """All sessions at their pace, ticks spread at random (the same way each time)."""
    figures = Figures()
    sessions = await _open(job, figures)
    await asyncio.sleep(job.warmup_s)
    result = await _window(job, sessions, figures)
    await asyncio.gather(*(session.stop() for session in sessions))
    late = sum((session.done or {}).get("late", 0) for session in sessions)
    return {**result, "late_ticks": late, "errors": figures.errors}


async def run_slow(job: wire.Job) -> dict[str, Any]:
    """Paced sessions alone, then beside one that is pushed at full speed and reads nothing, and memory
    meanwhile.

    At the end the slow one reads again and must get every byte.
    """
    figures = Figures()
    sessions = await _open(job, figures)
    await asyncio.sleep(job.warmup_s)
    alone = await _window(job, sessions, figures)
    before = proc.memory_of(job.pids["router"])
    slow = await open_one(PushSession(_SLOW_PUSH_BYTES, figures.errors), job.port, buffer_bytes=256 * wire.KIB)
    slow.wire.underlying_transport.pause_reading()
    await asyncio.sleep(_SLOW_SETTLE_S)
    beside = await _window(job, sessions, figures)
    after = proc.memory_of(job.pids["router"])
    slow.wire.underlying_transport.resume_reading()
    await asyncio.gather(slow.stop(), *(session.stop() for session in sessions))
    memory = {"before": asdict(before), "after": asdict(after)}
    return {
        "alone": alone,
        "beside": beside,
        "memory": memory,
        "slow_frames": slow.frames,
        "errors": figures.errors,
    }


async def _open(job: wire.Job, figures: Figures) -> list[PacedSession]:
    phases = random.Random(job.sessions)
    sessions = [PacedSession(phases.random(), figures) for _ in range(job.sessions)]
    return await open_many(sessions, lambda s: open_one(s, job.port, buffer_bytes=160 * wire.KIB))


async def _window(job: wire.Job, sessions: list[PacedSession], figures: Figures) -> dict[str, Any]:
    def counters() -> dict[str, int]:
        return {"messages": sum(s.frames for s in sessions), "bytes": sum(s.bytes for s in sessions)}

    figures.clear()
    window = Window(job.pids, counters)
    await asyncio.sleep(job.seconds)
    return {**window.close(), **figures.summary()}
