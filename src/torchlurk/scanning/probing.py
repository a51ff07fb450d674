"""How well units tell a track: the area under the ROC curve, or Pearson's correlation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64

from torchlurk.scanning.probed_steps import ProbedSteps

Values = Float32[np.ndarray, "row unit"]


def scores(values: Values, probed: ProbedSteps) -> list[Float32[np.ndarray, " unit"]]:
    """Of every unit against every track, in their order; NaN for a unit that was not finite at one of its steps."""
    found = []
    for track, rows, labels in zip(probed.tracks, probed.rows, probed.labels, strict=True):
        known = np.isfinite(values[rows]).all(0)
        own = np.where(known, values[rows], np.float32(0))
        told = areas(own, labels == labels.max()) if track.measure == "auc" else correlations(own, labels)
        found.append(np.where(known, told, np.nan).astype(np.float32))
    return found


def areas(values: Values, inside: Bool[np.ndarray, " row"]) -> Float64[np.ndarray, " unit"]:
    """For each unit the probability that it is higher at a step inside than at one outside, equal values counting half."""
    high, low = np.sort(values[inside], axis=0), np.sort(values[~inside], axis=0)
    found = np.empty(values.shape[1])
    for unit in range(values.shape[1]):
        below = np.searchsorted(low[:, unit], high[:, unit], "left")
        not_above = np.searchsorted(low[:, unit], high[:, unit], "right")
        found[unit] = (below + not_above).sum() / (2 * len(high) * len(low))
    return found


def correlations(values: Values, labels: Float32[np.ndarray, " row"]) -> Float64[np.ndarray, " unit"]:
    """Of each unit with the labels; 0 for a unit that is the same everywhere."""
    left = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    right = labels.astype(np.float64) - labels.mean(dtype=np.float64)
    size = np.sqrt((left**2).sum(0) * (right**2).sum())
    changes = values.max(0) > values.min(0)
    return np.where(changes, right @ left / np.where(changes, size, 1), 0.0)
