"""Boxes in pictures: cutting one out, outlining it, and enlarging what was cut out."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from torchlurk.records import Box
from torchlurk.rendering.colour import Colour

Size = tuple[int, int]
"""Width and height in pixels, as Pillow has them."""

PIXELS_FROM = 3.0
"""From this enlargement on, the pixels of the original are shown as squares."""
FINENESS = 4
"""How many times finer than asked for the squares are before they are averaged down, which weighs whole pixels only."""
RINGS: tuple[Colour, ...] = ((255, 255, 255), (255, 255, 255), (0, 0, 0))
"""The outline from inside to outside, one pixel each: light and dark together stand out from anything."""


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The pixels of the box, exactly."""
    return image.crop(box)


def is_whole(box: Box, size: Size) -> bool:
    """Whether the box covers all of a picture of that size."""
    return box[0] <= 0 and box[1] <= 0 and box[2] >= size[0] and box[3] >= size[1]


def is_part(box: Box | None, size: Size) -> bool:
    """Whether the box is a part of a picture of that size: neither all of it nor, of what depends on no pixel, nothing."""
    return box is not None and box[0] < box[2] and box[1] < box[3] and not is_whole(box, size)


def scaled(box: Box, scale: tuple[float, float]) -> Box:
    """The box in a picture enlarged by `scale` (horizontal, vertical); never empty."""
    x0, y0 = round(box[0] * scale[0]), round(box[1] * scale[1])
    return x0, y0, max(x0 + 1, round(box[2] * scale[0])), max(y0 + 1, round(box[3] * scale[1]))


def outline(image: Image.Image, box: Box, *, rings: tuple[Colour, ...] = RINGS) -> Image.Image:
    """A copy with rings drawn directly around the box, so that its own pixels stay visible.

    Where the box ends at the picture's border the rings move inside, over its outermost pixels.
    """
    drawn = image.copy()
    draw = ImageDraw.Draw(drawn)
    count = len(rings)
    for ring, colour in enumerate(rings):
        margin = count - 1 - ring
        left, top = max(box[0] - 1 - ring, margin), max(box[1] - 1 - ring, margin)
        right, bottom = min(box[2] + ring, image.width - 1 - margin), min(box[3] + ring, image.height - 1 - margin)
        if left <= right and top <= bottom:
            draw.rectangle((left, top, right, bottom), outline=colour)
    return drawn


def fit(size: Size, within: Size) -> Size:
    """The largest size of the same proportions inside `within`, at least one pixel each way."""
    scale = min(within[0] / size[0], within[1] / size[1])
    return times(size, scale)


def times(size: Size, scale: float) -> Size:
    """The size scaled, at least one pixel each way."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The picture at another size: smooth, or as even squares of its pixels from `PIXELS_FROM` times on.

    Squares are first repeated a whole number of times, then averaged down, so that none is wider than another.
    """
    scale = min(size[0] / image.width, size[1] / image.height)
    if scale < PIXELS_FROM:
        return image.resize(size, Image.Resampling.LANCZOS)
    repeats = FINENESS * math.ceil(scale)
    squares = image.resize((image.width * repeats, image.height * repeats), Image.Resampling.NEAREST)
    return squares.resize(size, Image.Resampling.BOX)
