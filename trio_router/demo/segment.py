"""What a replica makes when it is asked for one segment, and the cheapest thing that answers to it.

Imports nothing beyond the standard library, so that load tests can run hundreds of sessions without a video
codec.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

INSTALL_HINT = "pip install 'trio-router[demo]'"


class DemoDependencyError(RuntimeError):
    """A package of the demo extra is missing; the message is one line and names the command that installs it."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"the demo needs {missing}: {INSTALL_HINT}")


@dataclass(frozen=True, kw_only=True)
class VideoFormat:
    """The picture of every segment of a replica. Width and height are even, as yuv420p demands."""

    width: int = 640
    height: int = 360
    fps: int = 24
    num_frames: int = 60

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or min(self.width, self.height) < 16:
            raise ValueError(f"width and height must be even and at least 16, not {self.width}x{self.height}")
        if self.fps < 1 or self.num_frames < 1:
            raise ValueError(f"fps and num_frames must be positive, not {self.fps} and {self.num_frames}")

    @property
    def duration_ms(self) -> float:
        return self.num_frames / self.fps * 1000.0


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """One segment to make. `first_frame` counts from the start of the story, so that movement goes on over a cut."""

    prompt: str
    segment_idx: int
    replica: str
    first_frame: int = 0
    video: VideoFormat = field(default_factory=VideoFormat)


@dataclass(frozen=True)
class Segment:
    """One self-contained piece of media: the first piece that `pieces` yields is the init, the others are
    media.

    An empty piece means "some work done, nothing to send yet": the caller gets a chance to be cancelled
    there. A caller that does not exhaust `pieces` must close it.
    """

    mime: str
    pieces: Generator[bytes, None, None]


MakeSegment = Callable[[SegmentRequest], Segment]


def opaque_segment(request: SegmentRequest, *, chunks: int = 4, chunk_bytes: int = 16 * 1024) -> Segment:
    """Bytes that no player understands, made without any work: for load tests. Bind other sizes with `partial`."""
    init = f"{request.replica}/{request.segment_idx}/{request.prompt}".encode()
    return Segment("application/octet-stream", _opaque_pieces(init, chunks, bytes(chunk_bytes)))


def _opaque_pieces(init: bytes, chunks: int, chunk: bytes) -> Generator[bytes, None, None]:
    yield init
    for _ in range(chunks):
        yield chunk
