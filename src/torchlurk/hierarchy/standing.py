"""How unusual a unit's activation in an image is, among those of a study's examples."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor


@runtime_checkable
class Samples(Protocol):
    """A study, as far as it says how strong units usually are."""

    def samples(self, layer: str) -> Float32[np.ndarray, "unit example"]:
        """For each unit of a layer its per-example max on a sample of examples; raises `StudyError` for one not scanned."""


def standing_of(
    samples: Samples | None, layer: str, tops: Float[Tensor, " unit"]
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """By how many standard deviations of the sample each unit's highest activation is above its mean there, and its percentile.

    NaN where there is no sample.
    """
    unknown = np.full(len(tops), math.nan)
    if samples is None:
        return unknown, unknown
    sample = samples.samples(layer).astype(np.float64)
    if sample.shape[0] != len(tops) or not sample.shape[1]:
        return unknown, unknown
    values = tops.cpu().double().numpy()
    known = ~np.isnan(sample)
    count = np.where(known.any(1), known.sum(1), math.nan)
    mean = sample.sum(1, where=known) / count
    spread = np.sqrt(((sample - mean[:, None]) ** 2).sum(1, where=known) / count)
    standing = (values - mean) / np.where(spread > 0, spread, math.nan)
    return standing, 100 * (sample < values[:, None]).mean(1)
