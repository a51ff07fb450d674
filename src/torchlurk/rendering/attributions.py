"""Attributions drawn: signed, by magnitude, or over the image; beside the image and its box, with the evidence for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from torchlurk.option_values import as_declared
from torchlurk.records import Attribution, Exemplar, MethodCheck
from torchlurk.rendering import boxes, labels
from torchlurk.rendering.colour import LIGHT, NEUTRAL, ROBUST_PERCENTILE, Theme, signed
from torchlurk.rendering.contact_sheet import (
    CAPTION,
    CAPTION_LINE,
    COLUMNS,
    GAP,
    LOWEST_TILE,
    TILE,
    in_columns,
    stacked,
    tile,
    titled,
)
from torchlurk.rendering.encoding import png, to_image
from torchlurk.rendering.levels import numbers, roundings
from torchlurk.rendering.typography import fitted, write

Rendering = Literal["signed", "magnitude", "overlay"]
"""Around neutral grey; grey where it is nothing to white where it is large; the image, as far as the magnitude goes."""

FAINT = 0.2
"""So much of the image stays in an overlay where the attribution is nothing."""
SPREAD = 0.02
"""Over so much of the longer side magnitudes are blurred in an overlay: single pixels cannot be seen."""
SIDE = 300
"""Pixels a side of a single picture in a notebook."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """What in one exemplar excited a unit, by a method, with the evidence that there is.

    `stored` is the stored picture over the box and `levelled` whether its numbers are as `rendering.levels` writes them,
    without loss; in studies of before they are even steps, cut off at the scale, and above 24 pixels a side from a JPEG.
    `whole` is what the network saw of the example, None where that is not kept; boxes are in pixels of `input_size`
    (height, width). `check` is of the layer and method.
    """

    record: Attribution
    exemplar: Exemplar
    stored: Image.Image
    whole: Image.Image | None
    input_size: tuple[int, int]
    check: MethodCheck | None = None
    levelled: bool = True

    @property
    def method(self) -> str:
        """The method's name."""
        return self.record.method

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1, half-open, in pixels of the network's input."""
        return self.record.box

    @property
    def values(self) -> Float32[np.ndarray, "height width channel"]:
        """The attribution as numbers, each to half a level of the stored picture (docs/decisions/numbers-in-pictures.md)."""
        pixels = self._pixels()
        if self.levelled:
            return numbers(pixels, self.record.scale)
        steps = pixels.astype(np.float32) - NEUTRAL
        return steps / np.where(steps < 0, NEUTRAL, 255 - NEUTRAL).astype(np.float32) * self.record.scale

    @property
    def roundings(self) -> Float32[np.ndarray, "height width channel"]:
        """How far each of `values` may lie from what was computed: half a level; NaN in older studies, which tell none."""
        pixels = self._pixels()
        return roundings(pixels, self.record.scale) if self.levelled else np.full(pixels.shape, np.nan, np.float32)

    def _pixels(self) -> UInt8[np.ndarray, "height width channel"]:
        pixels = np.asarray(self.stored)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    @as_declared
    def image(self, rendering: Rendering = "signed") -> Image.Image:
        """Over the box. An overlay is a magnitude where the study does not hold the example."""
        if rendering == "signed":
            return to_image(signed(self.values, scale=self.record.scale)) if self.levelled else self.stored
        size = np.abs(self.values).max(axis=2)
        crop = self._crop()
        if rendering == "magnitude" or crop is None:
            return Image.fromarray(np.round(255 * _shares(size)).astype(np.uint8))
        return _overlaid(crop, size)

    @as_declared
    def picture(self, rendering: Rendering = "signed", *, theme: Theme = LIGHT) -> Image.Image:
        """Image with box, box, and attribution side by side, with a line of evidence below."""
        size = (self.input_size[1], self.input_size[0])
        whole = None if self.whole is None else _of_size(self.whole, size)
        framed = None
        if whole is not None:
            shown = boxes.fit(size, (SIDE, SIDE))
            framed = boxes.resized(whole, shown)
            if not boxes.is_whole(self.box, size):
                framed = boxes.outline(framed, boxes.scaled(self.box, (shown[0] / size[0], shown[1] / size[1])))
        parts = [framed, *(_large(one) for one in (self._crop(), self.image(rendering)))]
        sheet = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE + CAPTION_LINE + GAP), theme.ground)
        for column, part in enumerate(parts):
            sheet.paste(tile(part, (SIDE, SIDE), theme), (column * (SIDE + GAP), 0))
        line = fitted("  ·  ".join([self.method, *self.evidence()]), CAPTION, sheet.width)
        write(ImageDraw.Draw(sheet), (0, SIDE + CAPTION_LINE), line, CAPTION, theme.ink)
        return sheet

    def evidence(self) -> list[str]:
        """In words: how strong the exemplar is, what the box and the largest attributions alone excite, and the check."""
        said = [f"activation {labels.number(self.exemplar.score)}"]
        if self.exemplar.recall is not None:
            said.append(f"recall {labels.percent(self.exemplar.recall)}")
        if not math.isnan(self.record.kept):
            said.append(_kept(self))
        return said + ([labels.checked(self.check, "image")] if self.check is not None else [])

    def _crop(self) -> Image.Image | None:
        if self.whole is None:
            return None
        return boxes.crop(_of_size(self.whole, (self.input_size[1], self.input_size[0])), self.box)

    def _repr_png_(self) -> bytes:
        return png(self.picture())


def attribution_rows(
    found: Sequence[Attributed], *, rendering: Rendering = "signed", theme: Theme = LIGHT
) -> dict[str, list[Image.Image]]:
    """For each ranking the rows to put under its exemplars in a contact sheet: a method a row, an exemplar a column.

    All of a ranking are enlarged alike, as their boxes are.
    """
    rows: dict[str, list[Image.Image]] = {}
    shown = [one for one in found if one.record.rank < COLUMNS]
    for ranking in dict.fromkeys(one.record.ranking for one in shown):
        own = [one for one in shown if one.record.ranking == ranking]
        scale = TILE / max(max(one.stored.size) for one in own)
        for method in dict.fromkeys(one.method for one in own):
            by_rank = {one.record.rank: one for one in own if one.method == method}
            rows.setdefault(ranking, []).append(_row(method, by_rank, scale, rendering, theme))
    return rows


def _row(method: str, by_rank: Mapping[int, Attributed], scale: float, rendering: Rendering, theme: Theme) -> Image.Image:
    pictures = {rank: one.image(rendering).convert("RGB") for rank, one in by_rank.items()}
    drawn = {rank: boxes.resized(one, boxes.times(one.size, scale)) for rank, one in pictures.items()}
    height = max(LOWEST_TILE, *(one.height for one in drawn.values()))
    nothing = Image.new("RGB", (TILE, height), theme.ground)
    tiles = [tile(drawn[rank], (TILE, height), theme) if rank in drawn else nothing for rank in range(max(drawn) + 1)]
    parts = [in_columns(tiles, theme)]
    if any(not math.isnan(one.record.kept) for one in by_rank.values()):
        captions = [_caption(by_rank.get(rank), theme) for rank in range(max(drawn) + 1)]
        parts.append(in_columns(captions, theme))
    check = next((one.check for one in by_rank.values() if one.check is not None), None)
    note = labels.checked(check, "image") if check is not None else ""
    return titled(f"What excited it, by {method}", note, stacked(parts, GAP // 2, theme), theme)


def _caption(one: Attributed | None, theme: Theme) -> Image.Image:
    image = Image.new("RGB", (TILE, CAPTION_LINE), theme.ground)
    if one is not None and not math.isnan(one.record.kept):
        write(ImageDraw.Draw(image), (0, CAPTION_LINE - 6), fitted(_kept(one), CAPTION, TILE), CAPTION, theme.muted)
    return image


def _kept(one: Attributed) -> str:
    return labels.FAINT if one.exemplar.faint else f"top tenth keeps {labels.percent(one.record.kept)}"


def _shares(size: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Magnitudes from 0 to 1, 1 being a high percentile."""
    reach = float(np.percentile(size, ROBUST_PERCENTILE)) or float(size.max()) or 1.0
    return np.clip(size / reach, 0.0, 1.0)


def _overlaid(crop: Image.Image, size: Float[np.ndarray, "height width"]) -> Image.Image:
    """The image on white, as far as the blurred magnitude goes."""
    mask = Image.fromarray(np.round(255 * _shares(size)).astype(np.uint8))
    blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(SPREAD * max(crop.size))), np.float64)
    opacity = FAINT + (1 - FAINT) * _shares(blurred)[:, :, None]
    pixels = np.asarray(crop.convert("RGB"), np.float64)
    return Image.fromarray(np.round(opacity * pixels + (1 - opacity) * 255).astype(np.uint8))


def _of_size(image: Image.Image, size: boxes.Size) -> Image.Image:
    image = image.convert("RGB")
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _large(image: Image.Image | None) -> Image.Image | None:
    return None if image is None else boxes.resized(image.convert("RGB"), boxes.fit(image.size, (SIDE, SIDE)))
