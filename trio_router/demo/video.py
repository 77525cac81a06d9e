"""H.264 in fragmented MP4, made frame by frame, and put together again.

Importing this module needs PyAV and Pillow; without them it raises `DemoDependencyError`. Everything here is
synchronous: `video_segment` yields after every frame, a few milliseconds of work, so that a Trio task can
checkpoint there and be cancelled; `join_segments` and `count_frames` process a whole file and belong in a worker
thread.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trio_router.demo.picture import Painter
from trio_router.demo.segment import DemoDependencyError, Segment

try:
    import av
except ImportError as error:
    raise DemoDependencyError("PyAV") from error

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from io import BytesIO
    from pathlib import Path

    from av.video.stream import VideoStream

    from trio_router.demo.segment import SegmentRequest, VideoFormat

# A fragment starts at each key frame, twice a second: that is how soon a viewer sees the first picture.
_FRAGMENTS_PER_SECOND = 2
_MOVFLAGS = "frag_keyframe+empty_moov+default_base_moof+skip_trailer"


class _Drain:
    """The file that the muxer writes into: bytes wait here until `take` hands them on. Not seekable, as a socket."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        return data


def video_segment(request: SegmentRequest) -> Segment:
    """One playable segment: its init piece, then a fragment every half second, `num_frames` frames in all.

    The first frame is encoded before this returns, because only then the codec string is known.
    """
    pieces = _encode(request)
    init = next(pieces)
    return Segment(f'video/mp4; codecs="{codec_string(init)}"', _resume(init, pieces))


def codec_string(init: bytes) -> str:
    """The RFC 6381 name of the H.264 stream that an init piece describes, such as `avc1.42c01e`.

    Profile, constraints and level are read from the avcC box. ValueError when there is none.
    """
    start = init.find(b"avcC")
    if start < 0 or len(init) < start + 8:
        raise ValueError("no avcC box in this init segment")
    return f"avc1.{init[start + 5 : start + 8].hex()}"


def join_segments(segments: Sequence[BytesIO], out_path: Path) -> int:
    """Write self-contained segments one after another into one MP4, without decoding. Returns the number of frames."""
    frames = 0
    with av.open(str(out_path), "w", format="mp4") as target:
        stream: VideoStream | None = None
        for source in segments:
            with av.open(source, "r", format="mp4") as container:
                template = container.streams.video[0]
                stream = stream or target.add_stream_from_template(template)
                frames += _append(target, stream, container, template, first_frame=frames)
    return frames


def count_frames(path: Path) -> int:
    """Decode the whole file and count. Errors of the codec are raised as PyAV's."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _resume(init: bytes, pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    with closing(pieces):
        yield init
        yield from pieces


def _encode(request: SegmentRequest) -> Generator[bytes, None, None]:
    drain, painter = _Drain(), Painter(request)
    with av.open(drain, "w", format="mp4", options={"movflags": _MOVFLAGS}) as container:
        stream = _add_stream(container, request.video)
        container.start_encoding()
        yield drain.take()
        for index in range(request.video.num_frames):
            frame = av.VideoFrame.from_image(painter.paint(index))  # type: ignore[no-untyped-call]  # PyAV
            container.mux(stream.encode(frame))
            yield drain.take()
        container.mux(stream.encode(None))
    yield drain.take()


def _add_stream(container: av.container.OutputContainer, video: VideoFormat) -> VideoStream:
    stream = container.add_stream("libx264", rate=video.fps)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
    gop = max(1, video.fps // _FRAGMENTS_PER_SECOND)
    # One thread: the demo shares a small machine with the router that it shows.
    stream.options = {
        "preset": "ultrafast", "tune": "zerolatency", "crf": "26", "g": str(gop), "threads": "1",
    }  # fmt: skip
    return stream


def _append(
    target: av.container.OutputContainer,
    stream: VideoStream,
    source: av.container.InputContainer,
    template: VideoStream,
    *,
    first_frame: int,
) -> int:
    rate, time_base = template.average_rate, template.time_base
    if rate is None or time_base is None:
        raise ValueError("a segment without a frame rate")
    shift, frames = int(first_frame / rate / time_base), 0
    for packet in source.demux(template):
        if packet.dts is None or packet.pts is None:
            continue  # the demuxer's end marker
        packet.dts, packet.pts, packet.stream = packet.dts + shift, packet.pts + shift, stream
        target.mux(packet)
        frames += 1
    return frames
