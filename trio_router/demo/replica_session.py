"""One client of the demo replica: FastVideo's protocol, from session_init_v2 to the end.

The server side of FastVideo is one loop: it receives a message, answers it, receives the next. What a client
sends during a segment waits. So does this one, down to its oddities: `ltx2_stream_complete` always says
`stop_requested`, an unknown message after the first one is an error that keeps the session, and `chunks` does
not count the init.
"""

from __future__ import annotations

import uuid
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio
from trio_websocket import ConnectionClosed

from trio_router.demo.messages import (
    SEGMENT_PROMPT,
    SESSION_INIT,
    SNAPSHOT,
    InvalidMessage,
    Message,
    continuation_state,
    error_message,
    parse_client_message,
)
from trio_router.demo.segment import SegmentRequest

if TYPE_CHECKING:
    from trio_router.demo.options import DemoReplicaOptions
    from trio_router.demo.segment import MakeSegment, Segment
    from trio_router.demo.wire import Wire

_MEDIA_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class CloseFrame:
    """How the replica closes a WebSocket when it does so properly."""

    code: int
    reason: str


class ReplicaSession:
    """Runs the protocol on an accepted WebSocket whose GPU is already counted as taken."""

    def __init__(
        self, wire: Wire, options: DemoReplicaOptions, make_segment: MakeSegment, *, gpu_id: int, ready_at: float
    ) -> None:
        self._wire = wire
        self._options = options
        self._make_segment = make_segment
        self._gpu_id = gpu_id
        self._ready_at = ready_at
        self._segments_done = 0
        self._state: Message | None = None

    async def run(self) -> CloseFrame | None:
        """Serve until the session's end. None means: drop the connection without a close frame.

        Returns only when no generation is under way any more, even if the client left long before: until then
        the GPU is busy. Raises ConnectionClosed when the client has gone.
        """
        raw = await self._wire.receive(self._options.idle_timeout_seconds)
        if raw is None:
            return None
        refused = await self._open(raw)
        return refused or await self._serve()

    async def _open(self, raw: str | bytes) -> CloseFrame | None:
        try:
            message = parse_client_message(raw)
        except InvalidMessage as error:
            return await self._refuse(f"opening frame failed validation: {error}", "invalid_init")
        if message["type"] != SESSION_INIT:
            return await self._refuse("first frame must be session_init_v2", "expected_session_init_v2")
        self._state = continuation_state(message)
        return None

    async def _refuse(self, text: str, reason: str) -> CloseFrame:
        await self._wire.send(error_message("invalid_message", text, retryable=False))
        return CloseFrame(1003, reason)

    async def _serve(self) -> CloseFrame | None:
        await self._wire.send({"type": "queue_status", "position": 0, "queue_depth": 0})
        await trio.sleep_until(self._ready_at)
        await self._wire.send(self._gpu_assigned())
        await self._wire.send(self._stream_start())
        while self._segments_done < self._options.segment_cap:
            raw = await self._wire.receive(self._options.idle_timeout_seconds)
            if raw is None:
                break
            await self._handle(raw)
        await self._wire.send({"type": "ltx2_stream_complete", "reason": "stop_requested"})
        return None

    async def _handle(self, raw: str | bytes) -> None:
        try:
            message = parse_client_message(raw)
        except InvalidMessage as error:
            await self._wire.send(error_message("invalid_message", str(error), retryable=True))
            return
        if message["type"] == SEGMENT_PROMPT:
            await self._run_segment(message)
        elif message["type"] == SNAPSHOT:
            await self._wire.send(self._snapshot())
        # The others set switches (enhancement, pause, ...) that FastVideo's segment loop stores and does not read.

    async def _run_segment(self, message: Message) -> None:
        index, steps = self._segments_done, _steps(message, self._options.total_steps)
        started = trio.current_time()
        await self._wire.send(
            {"type": "ltx2_segment_start", "segment_idx": index, "prompt": message["prompt"], "total_steps": steps}
        )
        await self._generate(index, steps)
        generation_ms = (trio.current_time() - started) * 1000
        await self._send_media(self._request(message["prompt"]))
        self._segments_done += 1
        self._advance_state(message["prompt"])
        await self._wire.send(
            {
                "type": "ltx2_segment_complete",
                "segment_idx": index,
                "generation_time_ms": generation_ms,
                "e2e_latency_ms": (trio.current_time() - started) * 1000,
            }
        )

    async def _generate(self, index: int, steps: int) -> None:
        """Occupy the GPU for the whole segment: a client that leaves does not stop it."""
        for step in range(1, steps + 1):
            await self._options.pace(self._options.step_seconds)
            with suppress(ConnectionClosed):
                await self._wire.send(
                    {
                        "type": "step_complete",
                        "segment_idx": index,
                        "step": step,
                        "total_steps": steps,
                        "stage": "denoise",
                    }
                )

    def _request(self, prompt: str) -> SegmentRequest:
        return SegmentRequest(
            prompt=prompt,
            segment_idx=self._segments_done,
            replica=self._options.name,
            first_frame=self._frames_before(),
            video=self._options.video,
        )

    async def _send_media(self, request: SegmentRequest) -> None:
        stream_id = uuid.uuid4().hex
        segment = self._make_segment(request)
        init: Message = {
            "type": "media_init",
            "segment_idx": request.segment_idx,
            "mime": segment.mime,
            "stream_id": stream_id,
            "mode": "av_fmp4",
        }
        with closing(segment.pieces):
            await self._wire.send(init)
            chunks = await self._send_pieces(segment)
        await self._wire.send(
            {
                "type": "media_segment_complete",
                "segment_idx": request.segment_idx,
                "stream_id": stream_id,
                "chunks": chunks,
                "duration_ms": request.video.duration_ms,
            }
        )

    async def _send_pieces(self, segment: Segment) -> int:
        """Send the init, then the media. Returns the number of media chunks."""
        await self._wire.send(next(segment.pieces))
        chunks = 0
        for piece in segment.pieces:
            await trio.lowlevel.checkpoint()
            for start in range(0, len(piece), _MEDIA_CHUNK_BYTES):
                await self._wire.send(piece[start : start + _MEDIA_CHUNK_BYTES])
                chunks += 1
        return chunks

    def _frames_before(self) -> int:
        payload: dict[str, Any] = self._state["payload"] if self._state else {}
        frames = payload.get("frames")
        return frames if isinstance(frames, int) and frames >= 0 else 0

    def _advance_state(self, prompt: str) -> None:
        frames = self._frames_before() + self._options.video.num_frames
        self._state = {"kind": "demo", "payload": {"frames": frames, "last_prompt": prompt}}

    def _snapshot(self) -> Message:
        if self._state is None:
            return error_message("internal_error", "no continuation state available for session", retryable=False)
        return {"type": "continuation_state_snapshot", "state": self._state}

    def _gpu_assigned(self) -> Message:
        """`replica` is our own addition: the demo page shows its name. Clients ignore unknown fields."""
        timeout = int(self._options.idle_timeout_seconds)
        return {
            "type": "gpu_assigned",
            "gpu_id": self._gpu_id,
            "session_timeout": timeout,
            "replica": self._options.name,
        }

    def _stream_start(self) -> Message:
        video = self._options.video
        return {
            "type": "ltx2_stream_start",
            "width": video.width,
            "height": video.height,
            "fps": video.fps,
            "num_frames": video.num_frames,
        }


def _steps(message: Message, default: int) -> int:
    asked = message.get("num_inference_steps")
    return asked if isinstance(asked, int) and asked > 0 else default
