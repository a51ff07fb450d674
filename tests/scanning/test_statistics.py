"""Selectivity and the sample, which need no activations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from torchlurk.scanning.statistics import draw_sample, selectivity


def test_selectivity_is_the_formula_of_morcos() -> None:
    means = np.array(
        [[4.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0, 0, 0], [1.0, -1.0, -1.0], [3.0, np.nan, 1.0], [3.0, np.nan, np.nan]]
    )
    np.testing.assert_allclose(selectivity(means), [0.6, 0, 0, 1, 0.5, np.nan])


@pytest.mark.parametrize("size", [1, 10, 999, 1000, 5000])
def test_a_sample_is_sorted_without_repeats_and_contains_smaller_ones(size: int) -> None:
    sample = draw_sample(1000, size, seed=7)
    assert len(sample) == min(size, 1000)
    assert (np.diff(sample) > 0).all()
    assert set(draw_sample(1000, max(size // 2, 1), seed=7)) <= set(sample)
    assert size >= 1000 or sample.tolist() != draw_sample(1000, size, seed=8).tolist()


def test_samples_are_spread_evenly_and_the_same_for_ever() -> None:
    counts, _ = np.histogram(draw_sample(100_000, 10_000, seed=0), bins=10, range=(0, 100_000))
    assert np.abs(counts - 1000).max() < 4 * math.sqrt(1000 * 0.9)
    assert draw_sample(20, 5, seed=0).tolist() == draw_sample(20, 5, seed=0).tolist()
