"""Receiving what the replica pushes as fast as it can, as a plain client and as a browser would."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from picows import WSFrame, WSMsgType

from bench import wire
from bench.client.meter import Errors, Window
from bench.client.session import Session, open_many, open_one

_SAMPLE_EVERY = 16  # frames whose bytes are compared
_SAMPLE_BYTES = 64
_STOP_TIMEOUT_S = 20.0


class PushSession(Session):
    """Counts frames; a frame of the wrong length, a sample of wrong bytes or a wrong total is an error."""

    def __init__(self, size: int, errors: Errors) -> None:
        super().__init__({"mode": "push", "size": size}, errors)
        self.frames = 0
        self.done: dict[str, Any] | None = None
        self._size = size
        self._expected = wire.payload(size)
        self._parts: list[bytes] = []

    def on_data(self, frame: WSFrame) -> None:
        if self.inflater is None and frame.payload_size == self._size and frame.fin and not self._parts:
            self.frames += 1
            if not self.frames % _SAMPLE_EVERY:
                self._check(frame.get_payload_as_memoryview())
        else:
            self._on_odd_frame(frame)

    def _on_odd_frame(self, frame: WSFrame) -> None:
        """A compressed or fragmented message, or the replica's last word."""
        data = frame.get_payload_as_bytes()
        if self.inflater is not None and (frame.rsv1 or self._parts):
            data = self.inflater.feed(data, fin=frame.fin)
        is_text = frame.msg_type is WSMsgType.TEXT
        self._parts.append(data)
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._on_message(whole, is_text=is_text)

    def _on_message(self, data: bytes, *, is_text: bool) -> None:
        if is_text:
            self.done = json.loads(data)
        elif len(data) != self._size:
            self.errors.add(f"a message of {len(data)} bytes instead of {self._size}")
        else:
            self.frames += 1
            self._check(memoryview(data))

    def _check(self, data: memoryview) -> None:
        middle = self._size // 2
        for at in (0, middle, self._size - _SAMPLE_BYTES):
            if data[at : at + _SAMPLE_BYTES] != self._expected[at : at + _SAMPLE_BYTES]:
                self.errors.add("the bytes of a message differ from what was sent")
                return

    async def stop(self) -> None:
        """Ask the replica to stop, read to the end, and compare totals."""
        if not self.gone.done():
            self.send_stop()
        await self.wait_gone(_STOP_TIMEOUT_S)
        if self.done is None:
            self.errors.add(f"cut off after {self.frames} frames, close code {self.close_code}")
        elif self.done.get("frames") != self.frames:
            self.errors.add(f"{self.frames} frames received, {self.done.get('frames')} sent: {self.done}")


async def run_push(job: wire.Job) -> dict[str, Any]:
    """Frames of one size to all sessions; with `browser`, permessage-deflate is offered as browsers do."""
    size, browser, tls = job.options["size"], job.options.get("browser", False), job.options["tls"]
    errors = Errors()
    sessions = [PushSession(size, errors) for _ in range(job.sessions)]
    buffer_bytes = max(128 * wire.KIB, min(2 * size, 8 * wire.MIB))
    await open_many(sessions, lambda s: open_one(s, job.port, browser=browser, tls=tls, buffer_bytes=buffer_bytes))
    await asyncio.sleep(job.warmup_s)

    def counters() -> dict[str, int]:
        frames = sum(session.frames for session in sessions)
        return {"messages": frames, "bytes": frames * size}

    window = Window(job.pids, counters)
    await asyncio.sleep(job.seconds)
    result = window.close()
    await asyncio.gather(*(session.stop() for session in sessions))
    return {**result, "deflate": any(session.inflater for session in sessions), "errors": errors}
