"""Colours of the pictures: a light and a dark theme with one accent, and signed numbers around neutral grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

Colour = tuple[int, int, int]

NEUTRAL = 128
ROBUST_PERCENTILE = 99.5


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a sheet. Text on `ground` keeps a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3)."""

    ground: Colour
    panel: Colour
    line: Colour
    ink: Colour
    muted: Colour
    accent: Colour


LIGHT = Theme(
    ground=(255, 255, 255),
    panel=(243, 244, 246),
    line=(222, 225, 230),
    ink=(24, 27, 32),
    muted=(98, 105, 117),
    accent=(0, 95, 184),
)
DARK = Theme(
    ground=(18, 20, 24),
    panel=(32, 35, 41),
    line=(54, 59, 68),
    ink=(233, 236, 241),
    muted=(152, 160, 173),
    accent=(84, 150, 224),
)


def signed_scale(values: Float[np.ndarray, "height width channel"], percentile: float = ROBUST_PERCENTILE) -> float:
    """The magnitude that `signed` draws as white: a high percentile, so that a few extreme pixels do not leave the rest grey;
    the largest where that is zero, and 1 where all are.
    """
    magnitudes = np.abs(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64))
    reach = float(np.percentile(magnitudes, percentile)) if magnitudes.size else 0.0
    return reach or float(magnitudes.max(initial=0.0)) or 1.0


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
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
    magnitudes = np.abs(finite)
    reach = scale if scale is not None else float(np.percentile(magnitudes, percentile)) if finite.size else 0.0
    if reach <= 0:  # a picture that is zero nearly everywhere still has its few pixels
        reach = float(magnitudes.max(initial=0.0)) or 1.0
    shares = np.clip(finite / reach, -1.0, 1.0)
    levels: UInt8[np.ndarray, "height width channel"] = np.round(
        NEUTRAL + np.where(shares < 0, NEUTRAL, 255 - NEUTRAL) * shares
    ).astype(np.uint8)
    return levels
