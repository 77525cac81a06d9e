"""Records a session as its viewer saw it: feed messages and times, then ask for the summary. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trio_router.demo.messages import Message

# finished: every prompt was answered and the viewer closed. stream_complete: the replica sent that message before.
Ending = Literal["finished", "stream_complete", "error", "closed", "unreachable"]


@dataclass(frozen=True, kw_only=True)
class SegmentSummary:
    """One segment that arrived whole. Times are seconds since the viewer asked for it."""

    segment_idx: int
    prompt: str
    steps: int
    chunks: int
    bytes: int
    first_media_seconds: float
    complete_seconds: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One session as its viewer saw it.

    `gaps` are the seconds without media between two segments. `frames` counts what is in `out_path`;
    `expected_frames` is what the replica promised for the segments that arrived. `close_code` is None when
    there was no connection; 1006 means that TCP ended without a close frame.
    """

    segments: tuple[SegmentSummary, ...]
    frames: int
    expected_frames: int
    bytes: int
    first_media_seconds: float | None
    gaps: tuple[float, ...]
    replica: str | None
    ended: Ending
    error: str | None
    close_code: int | None
    close_reason: str | None
    out_path: Path | None


@dataclass
class _OpenSegment:
    asked_at: float
    prompt: str
    steps: int = 0
    media: BytesIO = field(default_factory=BytesIO)
    chunks: int = 0
    first_media_at: float | None = None
    last_media_at: float = 0.0

    def step(self) -> None:
        """A step of it is done."""
        self.steps += 1

    def feed(self, data: bytes, now: float) -> bool:
        """A piece of its media; returns whether it is the first."""
        first = self.first_media_at is None
        if first:
            self.first_media_at = now
        self.media.write(data)
        self.chunks += 1
        return first


class Recorder:
    """Collects one session. `media` holds the bytes of each whole segment, in order."""

    def __init__(self, prompts: Sequence[str], now: float) -> None:
        self._prompts = prompts
        self._started_at = now
        self._open: _OpenSegment | None = None
        self._first_media_at: float | None = None
        self._previous_media_at: float | None = None
        self._num_frames = 0
        self._segments: list[SegmentSummary] = []
        self._gaps: list[float] = []
        self._replica: str | None = None
        self.media: list[BytesIO] = []
        self.ended: Ending = "closed"
        self.error: str | None = None
        self.close: tuple[int | None, str | None] = (None, None)

    def ask(self, now: float) -> str | None:
        """The next prompt, now asked for; None when all have been answered."""
        if len(self._segments) == len(self._prompts):
            return None
        prompt = self._prompts[len(self._segments)]
        self._open = _OpenSegment(now, prompt)
        return prompt

    def feed(self, message: Message, now: float) -> None:
        """Record a control message. Unknown types are ignored."""
        match message:
            case {"type": "gpu_assigned"}:
                self._replica = message.get("replica")
            case {"type": "ltx2_stream_start", "num_frames": int(frames)}:
                self._num_frames = frames
            case {"type": "step_complete"} if self._open:
                self._open.step()
            case {"type": "ltx2_segment_complete"}:
                self._finish_segment(now)
            case {"type": "ltx2_stream_complete"}:
                self.ended = "stream_complete"
            case {"type": "error"}:
                self.ended, self.error = "error", f"{message.get('code')}: {message.get('message')}"

    def feed_media(self, data: bytes, now: float) -> None:
        """Record a binary frame. One outside of a segment is an error of the server."""
        segment = self._open
        if segment is None:
            self.ended, self.error = "error", "media that belongs to no segment"
            return
        if segment.feed(data, now):
            self._note_first_media(now)
        self._previous_media_at = now

    def _note_first_media(self, now: float) -> None:
        if self._previous_media_at is None:
            self._first_media_at = now
        else:
            self._gaps.append(now - self._previous_media_at)

    def _finish_segment(self, now: float) -> None:
        segment, self._open = self._open, None
        if segment is None or segment.first_media_at is None:
            self.ended, self.error = "error", "a segment is complete without any media"
            return
        self._segments.append(
            SegmentSummary(
                segment_idx=len(self._segments),
                prompt=segment.prompt,
                steps=segment.steps,
                chunks=segment.chunks,
                bytes=segment.media.tell(),
                first_media_seconds=segment.first_media_at - segment.asked_at,
                complete_seconds=now - segment.asked_at,
            )
        )
        segment.media.seek(0)
        self.media.append(segment.media)

    def summary(self, *, frames: int, out_path: Path | None) -> Summary:
        first = self._first_media_at
        return Summary(
            segments=tuple(self._segments),
            frames=frames,
            expected_frames=self._num_frames * len(self._segments),
            bytes=sum(segment.bytes for segment in self._segments),
            first_media_seconds=None if first is None else first - self._started_at,
            gaps=tuple(self._gaps),
            replica=self._replica,
            ended=self.ended,
            error=self.error,
            close_code=self.close[0],
            close_reason=self.close[1],
            out_path=out_path,
        )
