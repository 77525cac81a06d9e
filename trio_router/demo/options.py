"""The options of a demo replica."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from trio_router.demo.segment import MakeSegment, VideoFormat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class DemoReplicaOptions:
    """A replica with `max_sessions` GPUs, one for each session. Times are in seconds.

    `make_segment` None means real H.264 (needs PyAV and Pillow). `pace` is awaited with `step_seconds` once
    for each denoising step: tests pass a gate instead of a clock. Port 0 lets the system choose.
    """

    name: str = "replica"
    host: str = "127.0.0.1"
    port: int = 0
    max_sessions: int = 1
    segment_cap: int = 6  # FastVideo's generation_segment_cap
    idle_timeout_seconds: float = 300.0  # FastVideo's session_timeout_seconds
    total_steps: int = 8
    step_seconds: float = 0.1
    warmup_seconds: float = 0.0
    stream_mode: str = "av_fmp4"
    video: VideoFormat = field(default_factory=VideoFormat)
    make_segment: MakeSegment | None = None
    pace: Callable[[float], Awaitable[None]] = trio.sleep
    max_message_bytes: int = 16 * MIB  # uvicorn's ws_max_size
    ping_interval_seconds: float = 20.0  # uvicorn's ws_ping_interval and ws_ping_timeout
    ping_timeout_seconds: float = 20.0
    handshake_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.max_sessions < 1 or self.segment_cap < 1 or self.total_steps < 1:
            raise ValueError("max_sessions, segment_cap and total_steps must be at least 1")
        if self.step_seconds < 0 or self.warmup_seconds < 0:
            raise ValueError("step_seconds and warmup_seconds must not be negative")

    @property
    def generation_seconds(self) -> float:
        """How long one segment keeps its GPU, unless a client asks for another number of steps."""
        return self.total_steps * self.step_seconds
