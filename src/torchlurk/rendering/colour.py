"""Colours of the pictures: a light and a dark theme with one accent, signed numbers around neutral grey in pictures, and on
the ground of text from blue over nothing to orange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

Colour = tuple[int, int, int]

NEUTRAL = 128
ROBUST_PERCENTILE = 99.5
SOME = 16
"""One in so many numbers tells roughly how large they are."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a sheet. Text on `ground` keeps a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3).

    `accent` also stands for what is positive, `opposite` for what is negative.
    """

    ground: Colour
    panel: Colour
    line: Colour
    ink: Colour
    muted: Colour
    accent: Colour
    opposite: Colour


LIGHT = Theme(
    ground=(255, 255, 255),
    panel=(243, 244, 246),
    line=(222, 225, 230),
    ink=(24, 27, 32),
    muted=(98, 105, 117),
    accent=(0, 95, 184),
    opposite=(196, 78, 8),
)
DARK = Theme(
    ground=(18, 20, 24),
    panel=(32, 35, 41),
    line=(54, 59, 68),
    ink=(233, 236, 241),
    muted=(152, 160, 173),
    accent=(84, 150, 224),
    opposite=(224, 120, 56),
)


BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def diverging(share: float, theme: Theme) -> Colour:
    """A number from -1 to 1 as a colour: the ground for 0 and NaN, the accent for 1 and more, its opposite for -1 and less."""
    if math.isnan(share):
        return theme.ground
    far, part = (theme.accent if share > 0 else theme.opposite), min(1.0, abs(share))
    red, green, blue = (round(near + (end - near) * part) for near, end in zip(theme.ground, far, strict=True))
    return red, green, blue


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever is easier to read there: always at a contrast of more than 4.5 : 1."""
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, ground))


def contrast(one: Colour, other: Colour) -> float:
    """The ratio of two colours' luminances, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    shares = [value / 255 for value in colour]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def signed_scale(values: Float[np.ndarray, "height width channel"], percentile: float = ROBUST_PERCENTILE) -> float:
    """The magnitude that `signed` draws as white: a high percentile, so that a few extreme pixels do not leave the rest grey;
    the largest where that is zero, and 1 where all are.
    """
    magnitudes = np.abs(_finite(values)).ravel()
    if not magnitudes.size:
        return 1.0
    # As np.percentile reckons it, but among the largest alone, above what a few of the numbers say: in a fifth of the time.
    place = (magnitudes.size - 1) * percentile / 100
    some = magnitudes[::SOME]
    bound = np.partition(some, len(some) * 9 // 10)[len(some) * 9 // 10]
    largest = magnitudes[magnitudes >= bound]
    place -= magnitudes.size - len(largest)
    if place < 0:
        largest, place = magnitudes, place + magnitudes.size - len(largest)
    below, above = math.floor(place), math.ceil(place)
    largest.partition((below, above))
    low, high = float(largest[below]), float(largest[above])
    return low + (high - low) * (place - below) or float(largest.max()) or 1.0


def signed(
    values: Float[np.ndarray, "height width channel"],
    *,
    scale: float | None = None,
    percentile: float = ROBUST_PERCENTILE,
) -> UInt8[np.ndarray, "height width channel"]:
    """Signed numbers as a picture: zero is neutral grey, `scale` and beyond white, minus `scale` and below black.

    Without `scale` it is the given percentile of the magnitudes, so that a few extreme pixels do not leave the rest
    grey. All zeros give plain grey; what is not finite counts as zero.
    """
    reach = scale if scale is not None and scale > 0 else signed_scale(values, percentile)
    shares = _finite(values) / reach
    np.clip(shares, -1.0, 1.0, out=shares)
    below = np.minimum(shares, 0)
    shares *= 255 - NEUTRAL  # and below zero one more, for there is one more level there
    shares += below
    shares += NEUTRAL + 0.5  # the conversion rounds down
    levels: UInt8[np.ndarray, "height width channel"] = shares.astype(np.uint8)
    return levels


def _finite(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width channel"]:
    """The same, with zero for what is not finite."""
    return values if np.isfinite(values).all() else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
