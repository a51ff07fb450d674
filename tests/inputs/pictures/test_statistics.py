"""Statistics of inputs: by the literal formula, by numpy, by what must hold; and merged in any way."""

# Tolerances: sums in float64, in another order (1e-9 to 1e-14); inputs are float32 (1e-5 to 1e-6).

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.inputs.pictures.statistics import InputSums
from torchlurk.records import Preprocessing

PICTURES = torch.randint(0, 256, (9, 6, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
FIELDS = ("mean", "covariance", "spectrum")


def sums(pictures: torch.Tensor, preprocessing: Preprocessing | None = None) -> InputSums:
    total = InputSums.empty()
    total.add(pictures, preprocessing)
    return total


def test_statistics_are_what_the_formulas_say_literally():
    statistics = sums(PICTURES[:2]).finish()
    pictures = (PICTURES[:2].double() / 255).tolist()
    pixels = [pixel for picture in pictures for row in picture for pixel in row]
    for one in range(3):
        mean = sum(pixel[one] for pixel in pixels) / len(pixels)
        assert statistics.mean[one] == pytest.approx(mean, rel=1e-12)
        for other in range(3):
            product = sum((pixel[one] - mean) * (pixel[other] - statistics.mean[other]) for pixel in pixels)
            assert statistics.covariance[one, other] == pytest.approx(product / len(pixels), rel=1e-9, abs=1e-15)
    for v in range(6):
        for u in range(3):
            magnitudes = []
            for picture in pictures:
                terms = (
                    picture[y][x][1] * cmath.exp(-2j * math.pi * (v * y / 6 + u * x / 5)) for y in range(6) for x in range(5)
                )
                magnitudes.append(abs(sum(terms)) / math.sqrt(30))
            assert statistics.spectrum[1, v, u] == pytest.approx(sum(magnitudes) / 2, rel=1e-9, abs=1e-12)


def test_statistics_are_those_of_numpy():
    statistics = sums(PICTURES).finish()
    values = PICTURES.numpy() / 255
    assert statistics.count == 9
    assert np.allclose(statistics.mean, values.mean((0, 1, 2)), rtol=1e-13)
    assert np.allclose(statistics.covariance, np.cov(values.reshape(-1, 3).T, bias=True), rtol=1e-11)
    spectrum = np.abs(np.fft.rfft2(values.transpose(0, 3, 1, 2), norm="ortho")).mean(0)
    assert np.allclose(statistics.spectrum, spectrum, rtol=1e-12)


def test_one_colour_has_no_covariance_and_one_frequency():
    statistics = sums(torch.full((3, 8, 8, 3), 51, dtype=torch.uint8)).finish()
    assert statistics.mean.tolist() == [0.2, 0.2, 0.2]
    assert np.abs(statistics.covariance).max() < 1e-15
    assert statistics.spectrum[:, 0, 0] == pytest.approx([0.2 * 8] * 3)
    assert np.abs(statistics.spectrum).sum() == pytest.approx(0.2 * 8 * 3)


def test_the_energy_of_the_spectrum_is_that_of_the_picture():
    """Parseval, of one picture: all frequencies but those of the first column (and the last of an even width) twice."""
    spectrum = sums(PICTURES[:1]).finish().spectrum
    energy = (spectrum**2 * np.array([1, 2, 2])).sum((1, 2))
    assert np.allclose(energy, (PICTURES[0].numpy() / 255.0).__pow__(2).sum((0, 1)), rtol=1e-12)


@pytest.mark.parametrize("cuts", [[5], [1, 2, 3], [7, 8], []])
def test_statistics_do_not_depend_on_how_the_data_is_cut(cuts):
    parts = [sums(PICTURES[a:b]) for a, b in zip([0, *cuts], [*cuts, 9], strict=True)]
    whole = sums(PICTURES).finish()
    for order in (parts, parts[::-1]):
        merged = InputSums.empty()
        for part in order:
            merged = merged.merge(InputSums.from_arrays(part.arrays())).merge(InputSums.empty())
        assert np.array_equal(merged.finish().mean, whole.mean)
        assert np.array_equal(merged.finish().covariance, whole.covariance)
        assert np.allclose(merged.finish().spectrum, whole.spectrum, rtol=1e-14)


def test_merging_changes_neither_part():
    left, right = sums(PICTURES[:4]), sums(PICTURES[4:])
    before = [{name: array.copy() for name, array in part.arrays().items()} for part in (left, right)]
    left.merge(right).add(PICTURES)
    for part, arrays in zip((left, right), before, strict=True):
        assert all(np.array_equal(part.arrays()[name], arrays[name]) for name in arrays)


def test_normalized_inputs_give_the_statistics_of_their_pictures():
    way = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    one, other = sums(PICTURES).finish(), sums(normalize(PICTURES, way), way).finish()
    for name in FIELDS:
        assert np.allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-7)


def test_no_picture_gives_empty_statistics():
    statistics = InputSums.from_arrays(InputSums.empty().arrays()).finish()
    assert statistics.count == 0
    assert [getattr(statistics, name).size for name in FIELDS] == [0, 0, 0]


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(DataError, match="inputs differ in size"):
        sums(PICTURES).add(PICTURES[:, :4])
