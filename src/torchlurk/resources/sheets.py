"""Sprite sheets: what all units of a layer look like, many small tiles on one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO

import numpy as np
from jaxtyping import Float32
from PIL import Image

from torchlurk.errors import StudyError
from torchlurk.options import MOST_PIXELS, MOST_TIMES_INPUT, PER_SHEET, PICTURE_AXES, is_picture
from torchlurk.records import Ranking
from torchlurk.rendering.boxes import fit, resized
from torchlurk.rendering.encoding import decode, to_image
from torchlurk.rendering.sprites import best_box, in_order_of_examples, sprite_sheet
from torchlurk.store.reading import Reader

TILE = 72
"""Pixels a side."""
COLUMNS = 16
QUALITY = 82
GREY = (128, 128, 128, 255)

Draw = Callable[[range], list[Image.Image | None]]


def sheets_of(units: int) -> int:
    """How many sheets so many units take."""
    return -(-units // PER_SHEET)


def draw_sheet(draw: Draw, number: int, units: int) -> bytes:
    """Sheet `number` of a layer, as JPEG: unit c is tile c % PER_SHEET, row by row."""
    channels = range(number * PER_SHEET, min((number + 1) * PER_SHEET, units))
    sheet = sprite_sheet([_squared(one) for one in draw(channels)], side=TILE, columns=COLUMNS)
    sheet.save(buffer := BytesIO(), "JPEG", quality=QUALITY)
    return buffer.getvalue()


def input_size(reader: Reader) -> tuple[int, int]:
    """Height and width of the network's input; raises `StudyError` where no picture has them, or one too large to be drawn."""
    shape = reader.input_shape()
    if len(shape) == PICTURE_AXES and min(shape) > 0 and not is_picture(shape):
        raise StudyError(
            f"the network's inputs have {shape[1]}×{shape[2]} pixels; pictures of more than {MOST_PIXELS:,} are not drawn",
            "analyze with --resize and --crop to see them",
        )
    if not is_picture(shape):
        raise StudyError(f"no picture has the shape {list(shape)}", "torchlurk check STUDY lists what is damaged")
    return shape[-2], shape[-1]


def exemplars(reader: Reader, best: Ranking, input_size: tuple[int, int], *, whole: bool) -> Draw:
    """Draws each unit's best exemplar: its box, or the whole of it."""

    def draw(channels: range) -> list[Image.Image | None]:
        rows = slice(channels.start, channels.stop)
        shown = Ranking(
            best.scores[rows],
            best.examples[rows],
            None,
            None if whole or best.boxes is None else best.boxes[rows],
        )
        most = MOST_TIMES_INPUT * input_size[0] * input_size[1]
        opened = lru_cache(1)(lambda example: _opened(reader.picture(example), most))
        tiles = {unit: _for_tile(best_box(shown, unit, opened, input_size)) for unit in in_order_of_examples(shown)}
        return [tiles[unit] for unit in range(len(tiles))]

    return draw


def stored(reader: Reader, pictures: Mapping[int, str]) -> Draw:
    """Draws stored pictures, by channel."""

    def draw(channels: range) -> list[Image.Image | None]:
        found = (pictures.get(channel) for channel in channels)
        return [None if name is None else _for_tile(_opened(reader.stored_picture(name))) for name in found]

    return draw


def kernels(weights: Float32[np.ndarray, "unit channel height width"]) -> Draw:
    """Draws kernels around neutral grey, each by its largest weight: what is brighter than grey excites."""

    def draw(channels: range) -> list[Image.Image | None]:
        found = np.nan_to_num(weights[channels.start : channels.stop], posinf=0.0, neginf=0.0)
        largest = np.abs(found).max(axis=(1, 2, 3), keepdims=True, initial=0.0)
        share = np.divide(found, largest, out=np.zeros_like(found), where=largest > 0)
        pixels = np.round(128 + 127 * share).astype(np.uint8).transpose(0, 2, 3, 1)
        return [to_image(one) for one in pixels]

    return draw


def missing(best: Ranking) -> list[int]:
    """Channels without a best exemplar."""
    return [int(channel) for channel in np.flatnonzero(best.examples[:, 0] < 0)]


def _squared(image: Image.Image | None) -> Image.Image | None:
    """A picture in a square of its own mean colour, which goes with light and dark."""
    if image is None or image.width == image.height:
        return image
    side = max(image.size)
    colour = tuple(int(one) for one in np.asarray(image.convert("RGB"), np.float32).mean(axis=(0, 1)))
    ground = Image.new("RGB", (side, side), colour)
    ground.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return ground


def _opened(found: tuple[str, bytes] | None, most_pixels: int = MOST_PIXELS) -> Image.Image | None:
    return None if found is None else decode(found[1], most_pixels=most_pixels, alpha=True)


def _for_tile(image: Image.Image | None) -> Image.Image | None:
    """A picture no larger than its tile, so that what waits to be drawn takes no more memory than what is drawn."""
    shown = _on_grey(image)
    if shown is None or max(shown.size) <= TILE:
        return shown
    return resized(shown, fit(shown.size, (TILE, TILE)))


def _on_grey(image: Image.Image | None) -> Image.Image | None:
    """A picture with transparency, on the grey that stands for nothing."""
    if image is None or image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, GREY), image).convert("RGB")
