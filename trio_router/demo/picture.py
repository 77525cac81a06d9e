"""Draws the moving picture: colours from the prompt, the prompt itself, the replica's name, the segment's number."""

from __future__ import annotations

import colorsys
import math
import textwrap
from hashlib import sha256
from typing import TYPE_CHECKING

from trio_router.demo.segment import DemoDependencyError

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise DemoDependencyError("Pillow") from error

if TYPE_CHECKING:
    from trio_router.demo.segment import SegmentRequest

Colour = tuple[int, int, int]

# The backdrop is computed this small and scaled up: a smooth gradient for 144 pixels' worth of work.
_GRID_WIDTH, _GRID_HEIGHT = 16, 9
_ORBS = 5


def prompt_hue(prompt: str) -> float:
    """A hue in [0, 1) that is the same wherever the same prompt is drawn."""
    return sha256(prompt.encode()).digest()[0] / 256


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


class Painter:
    """Paints the frames of one segment. Text is drawn once; only the backdrop and its orbs move."""

    def __init__(self, request: SegmentRequest) -> None:
        self._request = request
        self._size = (request.video.width, request.video.height)
        self._hue = prompt_hue(request.prompt)
        self._caption = _caption(request, self._size)

    def paint(self, index: int) -> Image.Image:
        """Frame `index` of the segment, as an RGB image."""
        seconds = (self._request.first_frame + index) / self._request.video.fps
        image = self._backdrop(seconds)
        draw = ImageDraw.Draw(image)
        self._draw_orbs(draw, seconds)
        self._draw_progress(draw, (index + 1) / self._request.video.num_frames)
        image.paste(self._caption, (0, 0), self._caption)
        return image

    def _backdrop(self, seconds: float) -> Image.Image:
        grid = Image.new("RGB", (_GRID_WIDTH, _GRID_HEIGHT))
        grid.putdata([self._shade(i % _GRID_WIDTH, i // _GRID_WIDTH, seconds) for i in range(144)])
        return grid.resize(self._size, Image.Resampling.BILINEAR)

    def _shade(self, x: int, y: int, seconds: float) -> Colour:
        wave = math.sin(x / 3 + seconds) + math.sin(y / 2 - seconds * 0.7)
        return _colour(self._hue + wave * 0.04, 0.65, 0.42 + wave * 0.11)

    def _draw_orbs(self, draw: ImageDraw.ImageDraw, seconds: float) -> None:
        width, height = self._size
        for orb in range(_ORBS):
            radius = height * (0.05 + 0.025 * orb)
            x = width * (0.5 + 0.42 * math.sin(seconds * (0.5 + orb * 0.13) + orb * 1.3))
            y = height * (0.45 + 0.3 * math.cos(seconds * (0.7 - orb * 0.07) + orb * 2.1))
            tint = _colour(self._hue + 0.08 * (orb - 2), 0.45, 0.95)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tint)

    def _draw_progress(self, draw: ImageDraw.ImageDraw, done: float) -> None:
        width, height = self._size
        draw.rectangle((0, height - 5, int(width * done), height), fill=(255, 255, 255))


def _caption(request: SegmentRequest, size: tuple[int, int]) -> Image.Image:
    width, height = size
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    _draw_badge(draw, request, height)
    lines = textwrap.wrap(request.prompt, width=30, max_lines=3, placeholder=" …") or ["(no prompt)"]
    draw.multiline_text(
        (width * 0.05, height * 0.9), "\n".join(lines), anchor="ld", font=_font(height / 11), fill="white",
        stroke_width=max(1, height // 120), stroke_fill=(0, 0, 0, 170),
    )  # fmt: skip
    return layer


def _draw_badge(draw: ImageDraw.ImageDraw, request: SegmentRequest, height: int) -> None:
    text, font, margin = (f"{request.replica}  ·  segment {request.segment_idx + 1}", _font(height / 18), height / 20)
    left, top, right, bottom = draw.textbbox((margin * 1.6, margin * 1.4), text, font=font)
    pad = height / 45
    draw.rounded_rectangle((left - pad * 1.6, top - pad, right + pad * 1.6, bottom + pad), pad * 2, fill=(0, 0, 0, 150))
    draw.text((margin * 1.6, margin * 1.4), text, font=font, fill="white")


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(8, int(size)))
