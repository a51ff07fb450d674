"""What makes a painted picture more like a photograph: light from one side, its tint, and the roughness of what it falls on."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Bool, Float32

from torchlurk.inputs.demo.canvas import Pixels
from torchlurk.inputs.demo.rng import Dice

SLANT = 0.22
"""By how much the light may rise or fall from the middle to the border."""
TINT = 0.07
"""By how much a colour may be brighter or darker than painted."""
ROUGH, SMOOTH = 0.06, 0.03
"""Standard deviation of the roughness of scenery and plain surfaces, and of parts, as a share of the brightness."""
GRAIN = 0.25
"""Standard deviation of the noise from pixel to pixel, as a share of that of the roughness."""
PERIOD = 512
"""Pixels after which the roughness repeats."""


def lit_from_a_side(image: Pixels, bare: Bool[np.ndarray, "height width"], dice: Dice) -> Pixels:
    """The picture in another light; `bare` is where no part of a thing is."""
    height, width, _ = image.shape
    turn, slant = dice.between(0, 2 * np.pi), dice.between(0, 2 * SLANT)
    across, down = (np.linspace(-slant / 2, slant / 2, side, dtype=np.float32) for side in (width, height))
    x, y = dice.whole(0, PERIOD - width), dice.whole(0, PERIOD - height)
    light = np.where(bare, np.float32(ROUGH), np.float32(SMOOTH)) * _roughness()[y : y + height, x : x + width]
    light += across * np.float32(np.cos(turn)) + (1 + down * np.float32(np.sin(turn)))[:, None]
    tint = np.array([dice.between(1 - TINT, 1 + TINT) for _ in range(3)], np.float32)
    shown: Pixels = image * (light[:, :, None] * tint)
    return shown


@cache
def _roughness() -> Float32[np.ndarray, "height width"]:
    """Noise whose amplitude falls with the frequency, as in photographs, and some that does not; of mean 0."""
    noise = np.random.Generator(np.random.PCG64(0)).standard_normal((2, PERIOD, PERIOD))
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD))
    frequency[0, 0] = np.inf
    rough = np.fft.irfft2(np.fft.rfft2(noise[0]) / frequency, (PERIOD, PERIOD))
    scaled: Float32[np.ndarray, "height width"] = (rough / rough.std() + GRAIN * noise[1]).astype(np.float32)
    return scaled
