"""Receiving FastVideo's segments as fast as they come: JSON and media, each compared in its place."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from bench import wire
from bench.client.meter import Errors, Window
from bench.client.session import Session, open_many, open_one

if TYPE_CHECKING:
    from picows import WSFrame

_SAMPLE_BYTES = 64
_STOP_TIMEOUT_S = 20.0


class VideoSession(Session):
    """Counts messages; one that is not the next of the segment, or a wrong total, is an error."""

    def __init__(self, errors: Errors) -> None:
        super().__init__({"mode": "video", "greeting": True}, errors)
        self.frames = self.bytes = 0
        self._segment = wire.segment()
        self._started = False
        self._done: dict[str, Any] = {}

    def on_data(self, frame: WSFrame) -> None:
        data = frame.get_payload_as_memoryview()
        if not self._started:
            self._started = True
            if data != wire.START:
                self.errors.add("the stream does not begin with ltx2_stream_start")
            return
        opcode, expected = self._segment[self.frames % len(self._segment)]
        if frame.msg_type.value == opcode and len(data) == len(expected) and _ends_alike(data, expected):
            self.frames += 1
            self.bytes += len(data)
        elif b"bench_done" in (text := bytes(data[:_SAMPLE_BYTES])):
            self._done = json.loads(bytes(data))
        else:
            self.errors.add(f"message {self.frames} is not the next of the segment: {text!r}")

    async def stop(self) -> None:
        """Ask the replica to stop, read to the end, and compare totals."""
        if not self.gone.done():
            self.send_stop()
        await self.wait_gone(_STOP_TIMEOUT_S)
        if (self._done.get("frames"), self._done.get("bytes")) != (self.frames, self.bytes):
            self.errors.add(f"{self.frames} frames, {self.bytes} bytes received; the replica says {self._done}")


def _ends_alike(data: memoryview, expected: bytes) -> bool:
    """By the last bytes: the load generator is not to be the bottleneck."""
    return data[-_SAMPLE_BYTES:] == expected[-_SAMPLE_BYTES:]


async def run_video(job: wire.Job) -> dict[str, Any]:
    """All sessions saturated; messages and bytes are those of JSON and media together."""
    errors = Errors()
    sessions = [VideoSession(errors) for _ in range(job.sessions)]
    await open_many(sessions, lambda s: open_one(s, job.port, tls=job.options["tls"], buffer_bytes=128 * wire.KIB))
    await asyncio.sleep(job.warmup_s)

    def counters() -> dict[str, int]:
        return {"messages": sum(s.frames for s in sessions), "bytes": sum(s.bytes for s in sessions)}

    window = Window(job.pids, counters)
    await asyncio.sleep(job.seconds)
    result = window.close()
    await asyncio.gather(*(session.stop() for session in sessions))
    return {**result, "errors": errors}
