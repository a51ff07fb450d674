"""Charts as pictures: bars and a histogram, pure functions of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64
from PIL import Image, ImageDraw

from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.labels import number, round_number
from torchlurk.rendering.typography import Style, fitted, width, write

LABEL = Style("text", 13)
TICK = Style("text", 12)

ROW = 21
BAR = 13
LABEL_SHARE = 0.42
LABEL_GAP = 10
VALUE_GAP = 6
BASELINE = 15

BINS = 40
AXIS_HEIGHT = 24
TICK_LENGTH = 4
TICKS_ABOUT = 5
MARK = 4
HEADROOM = 18


def bar_chart(bars: Sequence[tuple[str, float]], across: int, *, theme: Theme = LIGHT) -> Image.Image:
    """One row a bar: label, bar from zero in proportion to its value (to the left if negative), value at its end.

    `across` is the width in pixels; the height follows from the number of bars.
    """
    image = Image.new("RGB", (across, max(1, ROW * len(bars))), theme.ground)
    if not bars:
        return image
    draw = ImageDraw.Draw(image)
    label_width = math.ceil(min(LABEL_SHARE * across, max(width(label, LABEL) for label, _ in bars)))
    value_width = math.ceil(max(width(number(value), LABEL) for _, value in bars)) + VALUE_GAP
    start, end = label_width + LABEL_GAP, across - value_width
    zero, scale = bar_scale([value for _, value in bars], start, end)
    for row, (label, value) in enumerate(bars):
        top = row * ROW
        write(draw, (label_width, top + BASELINE), fitted(label, LABEL, label_width), LABEL, theme.ink, align="right")
        tip = round(zero + scale * value)
        left, right = sorted((round(zero), tip))
        inset = (ROW - BAR) // 2
        if right > left:
            draw.rectangle((left, top + inset, right - 1, top + inset + BAR - 1), fill=theme.accent)
        write(draw, (max(tip, round(zero)) + VALUE_GAP, top + BASELINE), number(value), LABEL, theme.muted)
    draw.line((round(zero) - 1, 0, round(zero) - 1, image.height - 1), fill=theme.line)
    return image


def bar_scale(values: Sequence[float], start: int, end: int) -> tuple[float, float]:
    """Where zero lies between the pixels `start` and `end`, and how many pixels one unit of the values is."""
    low, high = min(0.0, *values), max(0.0, *values)
    scale = (end - start) / (high - low) if high > low else 0.0
    return start - low * scale, scale


def histogram(
    values: Float32[np.ndarray, " example"],
    size: tuple[int, int],
    *,
    marks: Sequence[float] = (),
    theme: Theme = LIGHT,
) -> Image.Image:
    """How often values occur, in `BINS` equal bins from the smallest (or zero) to the largest; `marks` point at values.

    Values that are exactly zero are not drawn when others are there: for most units they would flatten the rest.
    What is not finite is left out.
    """
    image = Image.new("RGB", size, theme.ground)
    draw = ImageDraw.Draw(image)
    counts, edges = bins(values)
    floor = size[1] - AXIS_HEIGHT
    across = size[0] - 1
    start, end = float(edges[0]), float(edges[-1])

    def x_of(value: float) -> int:
        return round((value - start) / (end - start) * across)

    highest = int(counts.max(initial=0))
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        height = math.ceil(count / highest * (floor - HEADROOM)) if count else 0
        if height:
            draw.rectangle((x_of(left), floor - height, x_of(right) - 2, floor - 1), fill=theme.accent)
    draw.line((0, floor, across, floor), fill=theme.muted)
    for tick in ticks(start, end):
        x = x_of(tick)
        draw.line((x, floor, x, floor + TICK_LENGTH), fill=theme.muted)
        half = width(round_number(tick), TICK) / 2
        centre = min(max(x, half), size[0] - half)
        write(draw, (centre, size[1] - 4), round_number(tick), TICK, theme.muted, align="centre")
    for mark in marks:
        if start <= mark <= end:
            x = min(max(x_of(mark), MARK), across - MARK)
            draw.polygon([(x - MARK, 2), (x + MARK, 2), (x, 2 + 2 * MARK)], fill=theme.ink)
    return image


def bins(values: Float32[np.ndarray, " example"]) -> tuple[Int64[np.ndarray, " bin"], Float64[np.ndarray, " edge"]]:
    """How many values fall in each bin, and the bins' edges; zeros are left out where anything else is there."""
    finite = values[np.isfinite(values)]
    others = finite[finite != 0]
    drawn = others if others.size else finite
    low, high = min(0.0, float(drawn.min(initial=0.0))), max(0.0, float(drawn.max(initial=0.0)))
    if high <= low:
        high = low + 1.0
    counts, edges = np.histogram(drawn.astype(np.float64), bins=BINS, range=(low, high))
    return counts.astype(np.int64), edges


def ticks(low: float, high: float) -> list[float]:
    """Round values from `low` to `high`, about `TICKS_ABOUT` of them, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / TICKS_ABOUT
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]
