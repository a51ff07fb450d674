"""Signed numbers as a picture of 256 levels from which they can be read again. See docs/decisions/numbers-in-pictures.md.

128 is zero. Up to `EVEN` levels above or below it a number is that share of the scale; beyond, each level is an eighth of
an octave more, so that the few numbers that are far larger than the rest are neither cut off nor leave the rest grey.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, UInt8

from torchlurk.rendering.colour import NEUTRAL, signed_scale

EVEN = 96
"""Even levels on each side of zero: this one is the scale."""
OCTAVE = 8
"""Levels beyond over which numbers double."""
MOST = 127

LARGEST = 2 ** ((MOST - EVEN) / OCTAVE)
"""What the last level is worth, in parts of the scale."""

_STEPS = np.arange(-NEUTRAL, MOST + 1)
_BEYOND = np.clip(np.abs(_STEPS) - EVEN, 0, MOST - EVEN)
_SHARES = np.sign(_STEPS) * np.where(_BEYOND > 0, 2 ** (_BEYOND / OCTAVE), np.abs(_STEPS) / EVEN)
"""What each level is worth, in parts of the scale."""
_HALVES = np.where(np.abs(_STEPS) < EVEN, 0.5 / EVEN, np.abs(_SHARES) * (2 ** (0.5 / OCTAVE) - 1))
"""How far from that a number of this level may lie, in parts of the scale."""


def levels(
    values: Float[np.ndarray, "height width channel"],
) -> tuple[UInt8[np.ndarray, "height width channel"], float]:
    """The levels and their scale, a high percentile of the magnitudes; what is not finite counts as zero."""
    finite = values if np.isfinite(values).all() else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    scale = max(signed_scale(finite), float(np.abs(finite).max(initial=0.0)) / LARGEST)
    steps = finite * (EVEN / scale)
    beyond = np.abs(steps) > EVEN
    further = steps[beyond]
    steps[beyond] = np.copysign(np.minimum(EVEN + OCTAVE * np.log2(np.abs(further) / EVEN), MOST), further)
    return (np.rint(steps) + NEUTRAL).astype(np.uint8), scale


def numbers(picture: UInt8[np.ndarray, "height width channel"], scale: float) -> Float32[np.ndarray, "height width channel"]:
    """What `levels` was given, but for rounding: half a level."""
    found: Float32[np.ndarray, "height width channel"] = (_SHARES * scale).astype(np.float32)[picture]
    return found


def roundings(picture: UInt8[np.ndarray, "height width channel"], scale: float) -> Float32[np.ndarray, "height width channel"]:
    """How far each of `numbers` may lie from what `levels` was given."""
    found: Float32[np.ndarray, "height width channel"] = (_HALVES * scale).astype(np.float32)[picture]
    return found
