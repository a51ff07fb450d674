"""Selectivity and the sample, which need no activations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from torchlurk.scanning.statistics import draw_sample
from torchlurk.unit_statistics import faint, selectivity, telling


def test_selectivity_is_the_formula_of_morcos() -> None:
    means = np.array(
        [[4.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0, 0, 0], [1.0, -1.0, -1.0], [3.0, np.nan, 1.0], [3.0, np.nan, np.nan]]
    )
    np.testing.assert_allclose(selectivity(means), [0.6, 0, 0, 1, 0.5, np.nan])


def test_an_activation_is_faint_beside_the_strongest_or_the_spread_of_a_unit_that_changes_its_sign() -> None:
    signed, rectified = {"min": -1.0, "std": 0.25}, {"min": 0.0, "std": 0.25}
    assert [faint(score, 0.3, signed) for score in (0.3, -0.3, 0.07, 0.05, -0.05, 1e-7)] == [False] * 3 + [True] * 3
    assert [faint(score, 0.05, rectified) for score in (0.05, 0.001, 0.0001, 0.0)] == [False, False, True, True]


def test_units_that_are_negative_everywhere_are_not_named_as_selective() -> None:
    means = np.array([[-1.0, -1.01, -1.02], [1.02, 1.01, 1.0]])
    found = selectivity(means)
    np.testing.assert_allclose(found, [0.6, 0.015 / 2.025])
    sample = means.repeat(4, 1).astype(np.float32)
    np.testing.assert_allclose(telling(found, sample, means.min(1) - 1, means.max(1)), [np.nan, found[1]])


@pytest.mark.parametrize("size", [1, 10, 999, 1000, 5000])
def test_a_sample_is_sorted_without_repeats_and_contains_smaller_ones(size: int) -> None:
    sample = draw_sample(1000, size, seed=7)
    assert len(sample) == min(size, 1000)
    assert (np.diff(sample) > 0).all()
    assert set(draw_sample(1000, max(size // 2, 1), seed=7)) <= set(sample)
    assert size >= 1000 or sample.tolist() != draw_sample(1000, size, seed=8).tolist()


def splitmix(state: int) -> int:
    """SplitMix64's output for a state, in plain integers."""
    word = 2**64 - 1
    mixed = (state + 0x9E3779B97F4A7C15) & word
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & word
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & word
    return mixed ^ mixed >> 31


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_sample_is_that_of_the_lowest_hashes(seed: int) -> None:
    assert splitmix(0) == 0xE220A8397B1DCDAF  # the first output published for seed 0
    hashes = [splitmix((splitmix(seed) + index) % 2**64) for index in range(500)]
    lowest = sorted(sorted(range(500), key=hashes.__getitem__)[:40])
    assert draw_sample(500, 40, seed).tolist() == lowest


def test_samples_are_spread_evenly() -> None:
    counts, _ = np.histogram(draw_sample(100_000, 10_000, seed=0), bins=10, range=(0, 100_000))
    assert np.abs(counts - 1000).max() < 4 * math.sqrt(1000 * 0.9)
