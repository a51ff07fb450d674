"""Pictures that were made to excite a unit, in a row, each with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from torchlurk.records import Synthesis
from torchlurk.rendering import boxes, labels
from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.contact_sheet import CAPTION, CAPTION_LINE, COLUMNS, GAP, SCORE, TILE, in_columns, tile, titled
from torchlurk.rendering.encoding import png
from torchlurk.rendering.typography import fitted, width, write

LARGE = 2 * TILE + GAP
"""A synthesis has the room of two columns of exemplars."""


@dataclass(frozen=True, slots=True, eq=False)
class Synthesized:
    """A synthesis that a study holds: its picture, with opacity where the preset gives it, and its record."""

    record: Synthesis
    image: Image.Image

    @property
    def preset(self) -> str:
        """The preset's name."""
        return self.record.preset

    def on(self, colour: tuple[int, int, int]) -> Image.Image:
        """The picture on a ground, where it is not opaque."""
        if self.image.mode != "RGBA":
            return self.image.convert("RGB")
        ground = Image.new("RGBA", self.image.size, (*colour, 255))
        return Image.alpha_composite(ground, self.image).convert("RGB")

    def _repr_png_(self) -> bytes:
        return png(self.image)


def synthesis_row(found: Sequence[Synthesized], theme: Theme = LIGHT) -> Image.Image:
    """The pictures beside each other under a title, each above its preset and its evidence."""
    columns = [_column(one, theme) for one in found[: COLUMNS // 2]]
    blank = Image.new("RGB", (1, 1), theme.ground)
    row = in_columns([half for column in columns for half in (column, blank)], theme)
    return titled("Made to excite it", "by optimization, from noise", row, theme)


def _column(one: Synthesized, theme: Theme) -> Image.Image:
    picture = one.on(theme.ground)
    shown = boxes.resized(picture, boxes.fit(picture.size, (LARGE, LARGE)))
    image = Image.new("RGB", (LARGE, shown.height + 3 * CAPTION_LINE), theme.ground)
    image.paste(tile(shown, (LARGE, shown.height), theme), (0, 0))
    draw, line = ImageDraw.Draw(image), shown.height + CAPTION_LINE
    write(draw, (0, line), one.preset, SCORE, theme.ink)
    write(draw, (width(one.preset, SCORE) + GAP, line), labels.number(one.record.activation), CAPTION, theme.ink)
    write(draw, (0, line + CAPTION_LINE), fitted(told(one.record), CAPTION, LARGE), CAPTION, theme.muted)
    return image


def told(one: Synthesis) -> str:
    """What is known of a synthesis, in a line: what speaks against it before all else."""
    if one.marked is not None:
        return one.marked
    parts = []
    if math.isfinite(one.ratio):
        parts.append(f"{labels.number(one.ratio)}× the best example")
    if math.isfinite(one.robustness):
        parts.append(f"{labels.percent(one.robustness)} when moved")
    return ", ".join(parts)
