"""The video is what it says it is: frames, codec, fragments. Without its packages there is a clear line."""

from __future__ import annotations

import importlib
import sys
from io import BytesIO
from typing import TYPE_CHECKING

import av
import pytest

from trio_router.demo.picture import prompt_hue
from trio_router.demo.segment import DemoDependencyError, SegmentRequest, VideoFormat, opaque_segment
from trio_router.demo.video import codec_string, count_frames, join_segments, video_segment

if TYPE_CHECKING:
    from pathlib import Path

SMALL = VideoFormat(width=160, height=90, num_frames=30)


def make(prompt: str = "a fox", index: int = 0, video: VideoFormat = SMALL) -> list[bytes]:
    request = SegmentRequest(prompt=prompt, segment_idx=index, replica="blue", video=video)
    return list(video_segment(request).pieces)


def boxes(data: bytes) -> list[str]:
    """The names of the top-level MP4 boxes."""
    names, start = [], 0
    while start < len(data):
        names.append(data[start + 4 : start + 8].decode())
        start += int.from_bytes(data[start : start + 4])
    return names


def test_first_piece_is_the_init_and_the_others_are_whole_fragments() -> None:
    pieces = [piece for piece in make() if piece]
    assert boxes(pieces[0]) == ["ftyp", "moov"]
    assert [boxes(piece) for piece in pieces[1:]] == [["moof", "mdat"]] * 3  # 12 + 12 + 6 frames


def test_media_comes_before_the_last_frame_is_made() -> None:
    pieces = make()
    first_media = next(index for index, piece in enumerate(pieces[1:], 1) if piece)
    assert first_media < len(pieces) / 2


@pytest.mark.parametrize("num_frames", [1, 12, 13, 30])
def test_every_frame_can_be_decoded(tmp_path: Path, num_frames: int) -> None:
    video = VideoFormat(width=160, height=90, num_frames=num_frames)
    path = tmp_path / "segment.mp4"
    path.write_bytes(b"".join(make(video=video)))
    assert count_frames(path) == num_frames


def test_codec_string_is_the_decoders() -> None:
    segment = video_segment(SegmentRequest(prompt="a fox", segment_idx=0, replica="blue", video=SMALL))
    data = b"".join(segment.pieces)
    with av.open(BytesIO(data)) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert extradata is not None
    assert segment.mime == f'video/mp4; codecs="avc1.{extradata[1:4].hex()}"'


def test_codec_string_of_something_else() -> None:
    with pytest.raises(ValueError, match="avcC"):
        codec_string(b"\x00\x00\x00\x08ftyp")


def test_joined_segments_are_one_video(tmp_path: Path) -> None:
    segments = [BytesIO(b"".join(make(prompt, index))) for index, prompt in enumerate(["a", "b", "c"])]
    path = tmp_path / "all.mp4"
    assert join_segments(segments, path) == 90
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 24 for index in range(90)], abs=1e-3)


def test_picture_moves_and_differs_by_prompt() -> None:
    assert prompt_hue("a fox") == prompt_hue("a fox") != prompt_hue("a bear")
    with av.open(BytesIO(b"".join(make())), "r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert (frames[0] != frames[-1]).any()


def test_a_cancelled_segment_leaves_no_encoder_behind() -> None:
    pieces = video_segment(SegmentRequest(prompt="a fox", segment_idx=0, replica="blue", video=SMALL)).pieces
    next(pieces)
    pieces.close()
    assert list(pieces) == []


@pytest.mark.parametrize("bad", [{"width": 161}, {"height": 8}, {"fps": 0}, {"num_frames": 0}])
def test_impossible_format(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        VideoFormat(**bad)


def test_opaque_segment_has_the_size_that_was_asked_for() -> None:
    request = SegmentRequest(prompt="p", segment_idx=2, replica="blue")
    pieces = list(opaque_segment(request, chunks=3, chunk_bytes=10).pieces)
    assert [len(piece) for piece in pieces[1:]] == [10, 10, 10]


@pytest.mark.parametrize(("missing", "module"), [("av", "video"), ("PIL", "picture"), ("rich", "once")])
def test_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, missing: str, module: str) -> None:
    name = f"trio_router.demo.{module}"
    for loaded in [key for key in sys.modules if key.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(DemoDependencyError) as raised:
        importlib.import_module(name)
    assert "pip install 'trio-router[demo]'" in str(raised.value)
    assert "\n" not in str(raised.value)
