"""A series as a picture: its channels as lines below each other, and a unit's values as a coloured band beneath them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from torchlurk.input_records import SeriesExample
from torchlurk.rendering.colour import LIGHT, Colour, Theme, diverging
from torchlurk.rendering.marks import Marks, look
from torchlurk.rendering.typography import Style, fitted, width, write

MOST_CHANNELS = 16
NAME = Style("text", 11)
NAME_SHARE = 0.25
NAME_GAP = 6
BAND = 12
BAND_GAP = 3
PADDING = 0.1
"""Of a channel's height, above its largest and below its least value."""
FINENESS = 3
"""How many times finer than asked for lines are drawn before they are averaged down, which smooths them."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where on a picture of `across` pixels the steps lie: from `left` on."""

    left: int
    across: int
    steps: int

    def x(self, step: float) -> float:
        """The left edge of a step."""
        return self.left + step * (self.across - self.left) / max(1, self.steps)

    @property
    def together(self) -> int:
        """How many steps share a pixel."""
        return max(1, -(-self.steps // max(1, self.across - self.left)))


def ranges_of(series: Iterable[SeriesExample]) -> tuple[Range, ...]:
    """By channel, the least and the largest value among all the series, so that these compare; (0, 0) where none is known."""
    found: list[Range] = []
    for one in series:
        for channel, values in enumerate(one.values.T[:MOST_CHANNELS]):
            known = values[np.isfinite(values)]
            if channel == len(found):
                found.append((np.inf, -np.inf))
            if known.size:
                low, high = found[channel]
                found[channel] = min(low, float(known.min())), max(high, float(known.max()))
    return tuple((low, high) if low <= high else (0.0, 0.0) for low, high in found)


def names_width(series: Sequence[SeriesExample], across: int) -> int:
    """The room that the names of channels take to the left of pictures of that width; 0 where they have none."""
    widest = max((width(name, NAME) for one in series for name in one.channels[:MOST_CHANNELS] if name), default=0.0)
    return round(min(widest, NAME_SHARE * across)) + NAME_GAP if widest else 0


def draw_series(
    series: SeriesExample,
    marks: Marks,
    ranges: Sequence[Range],
    scale: float,
    across: int,
    height: int,
    *,
    left: int = 0,
    theme: Theme = LIGHT,
    tints: Float32[np.ndarray, "time channel"] | None = None,
) -> Image.Image:
    """The first `MOST_CHANNELS` channels, each `height` pixels high, names in the `left` pixels, and the band where values are
    known.

    What the unit can have seen is shaded, its strongest step a bar in the accent's colour, burn-in darker. With `tints` the
    ground of each channel has at each step the colour of its number there, on the same scale, and the strongest step is a line.
    """
    channels = min(series.values.shape[1], len(ranges))
    frame = Frame(left, across, len(series.values))
    banded = bool(np.isfinite(marks.values).any())
    size = (across, max(1, channels * height) + (BAND_GAP + BAND) * banded)
    fine = Image.new("RGB", (size[0] * FINENESS, size[1] * FINENESS), theme.ground)
    draw = ImageDraw.Draw(fine)
    _shade(draw, frame, marks, channels * height, theme)
    if tints is not None:
        _tint(draw, frame, marks, tints[:, :channels] / scale, height, theme)
    _bar(draw, frame, marks, channels * height, theme, tinted=tints is not None)
    for channel in range(channels):
        _line(draw, series.values[:, channel], ranges[channel], frame, channel * height, height, theme.ink)
    if banded:
        _band(draw, frame, marks, scale, channels * height + BAND_GAP, theme)
    image = fine.resize(size, Image.Resampling.BOX)
    for channel, name in enumerate(series.channels[:channels]):
        if name and left:
            shown = fitted(name, NAME, left - NAME_GAP)
            middle = channel * height + height // 2 + NAME.size // 2 - 2
            write(ImageDraw.Draw(image), (left - NAME_GAP, middle), shown, NAME, theme.muted, align="right")
    return image


def _shade(draw: ImageDraw.ImageDraw, frame: Frame, marks: Marks, height: int, theme: Theme) -> None:
    reach = marks.reach or (0, frame.steps)
    _block(draw, frame, reach, (0, height), theme.panel)
    for burned in ((0, marks.counted[0]), (marks.counted[1], frame.steps)):
        _block(draw, frame, burned, (0, height), theme.line)


def _bar(draw: ImageDraw.ImageDraw, frame: Frame, marks: Marks, height: int, theme: Theme, *, tinted: bool) -> None:
    """The strongest step in a pale accent; on a ground that has colours of its own a thin grey line."""
    if marks.strongest is None:
        return
    first, last = marks.strongest
    narrow = max(0.0, (frame.x(last) - frame.x(first)) - (LEAST_BAR if tinted else MOST_BAR)) / 2
    x0, x1 = frame.x(first) + narrow, frame.x(last) - narrow
    colour = theme.muted if tinted else diverging(1 / 3, theme)
    draw.rectangle(_fine(x0, 0, max(x1, x0 + LEAST_BAR), height), fill=colour)


LEAST_BAR, MOST_BAR = 2.0, 10.0
"""Pixels across of what marks the strongest step."""


def _block(draw: ImageDraw.ImageDraw, frame: Frame, steps: tuple[int, int], rows: tuple[int, int], colour: Colour) -> None:
    first, last = max(0, steps[0]), min(frame.steps, steps[1])
    if last > first and rows[1] > rows[0]:
        draw.rectangle(_fine(frame.x(first), rows[0], frame.x(last), rows[1]), fill=colour)


def _fine(x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
    """A half-open box as Pillow draws it on the finer picture: the last pixels included, never empty."""
    left, top, right, bottom = (round(side * FINENESS) for side in (x0, y0, x1, y1))
    return left, top, max(left, right - 1), max(top, bottom - 1)


def _line(
    draw: ImageDraw.ImageDraw,
    values: Float32[np.ndarray, " time"],
    range_: Range,
    frame: Frame,
    top: int,
    height: int,
    colour: Colour,
) -> None:
    """A line through the values of one channel, broken where they are not finite; a single value is a dash."""
    low, high = range_
    span = (high - low) or 1.0
    room = height * (1 - 2 * PADDING)
    middle = 0.0 if high > low else room / 2
    shares = (values.astype(np.float64) - low) / span
    for run in _known_runs(values):
        points = [
            ((frame.x(step + 0.5)) * FINENESS, (top + height * (1 - PADDING) - middle - share * room) * FINENESS)
            for step, share in _thinned(run, shares, frame)
        ]
        if len(points) == 1:
            (x, y), half = points[0], (frame.x(1) - frame.x(0)) / 2 * FINENESS
            points = [(x - half, y), (x + half, y)]
        draw.line(points, fill=colour, width=FINENESS + 1, joint="curve")


def _tint(draw: ImageDraw.ImageDraw, frame: Frame, marks: Marks, shares: np.ndarray, height: int, theme: Theme) -> None:
    """Each channel's ground in the colours of its numbers; of many steps to a pixel the largest magnitude counts."""
    shaded, known = replace(theme, ground=theme.panel), np.nan_to_num(shares, posinf=0.0, neginf=0.0)
    for channel, start in product(range(shares.shape[1]), range(0, len(shares), frame.together)):
        part = known[start : start + frame.together, channel]
        colour = diverging(float(part[np.abs(part).argmax()]), shaded if marks.reached(start) else theme)
        _block(draw, frame, (start, start + len(part)), (channel * height, (channel + 1) * height), colour)


def _known_runs(values: Float32[np.ndarray, " time"]) -> list[tuple[int, int]]:
    """Where values are finite, as half-open runs."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], np.isfinite(values), [False])).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _thinned(run: tuple[int, int], shares: np.ndarray, frame: Frame) -> list[tuple[int, float]]:
    """The steps of a run to draw a line through: all, or the least and the largest of each pixel's where they are more."""
    first, last = run
    together = frame.together
    if together <= 2:
        return [(step, float(shares[step])) for step in range(first, last)]
    found: list[tuple[int, float]] = []
    for start in range(first, last, together):
        part = shares[start : min(start + together, last)]
        both = sorted({start + int(part.argmin()), start + int(part.argmax())})
        found += [(step, float(shares[step])) for step in both]
    return found


def _band(draw: ImageDraw.ImageDraw, frame: Frame, marks: Marks, scale: float, top: int, theme: Theme) -> None:
    """Each step on the colour of the unit's value; what it cannot have seen as a thin line. Of many steps to a pixel the one
    with the largest magnitude counts.
    """
    together = frame.together
    magnitudes = np.nan_to_num(np.abs(marks.values), nan=-1.0)
    for start in range(0, frame.steps, together):
        stop = min(start + together, frame.steps)
        shown = look(marks, start + int(magnitudes[start:stop].argmax()), scale, theme)
        if shown.ground is not None:
            _block(draw, frame, (start, stop), (top, top + BAND), shown.ground)
        elif shown.line is not None:
            _block(draw, frame, (start, stop), (top + BAND - BAND_GAP, top + BAND), shown.line)
    if marks.strongest is not None:
        x0, y0, x1, y1 = _fine(frame.x(marks.strongest[0]), top, frame.x(marks.strongest[1]), top + BAND)
        draw.rectangle((x0, y0, max(x1, x0 + FINENESS), y1), outline=theme.ink, width=FINENESS)
