"""Signed numbers as levels of a picture, and back."""

# Tolerances are half a step of the levels in which numbers are stored.

import io

import numpy as np
import pytest
from PIL import Image

from torchlurk.rendering.encoding import decode, encode_levels
from torchlurk.rendering.levels import EVEN, MOST, levels, numbers, roundings


def heavy(shape=(60, 80, 3), seed=0):
    """Numbers of which a few are far larger than the rest, as attributions are."""
    return np.random.default_rng(seed).standard_t(2, shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_each_number_comes_back_to_half_a_level(seed):
    values = heavy(seed=seed)
    picture, scale = levels(values)
    back = numbers(picture, scale)
    wrong = np.abs(back - values)
    assert (wrong[np.abs(values) <= scale] <= 0.501 * scale / EVEN).all()
    assert (wrong[np.abs(values) > scale] <= 0.05 * np.abs(values[np.abs(values) > scale])).all()
    assert np.linalg.norm(back - values) < 0.025 * np.linalg.norm(values)


@pytest.mark.parametrize("seed", range(4))
def test_no_number_is_further_off_than_its_rounding_and_some_nearly_are(seed):
    values = heavy(seed=seed)
    picture, scale = levels(values)
    wrong, most = np.abs(numbers(picture, scale) - values), roundings(picture, scale)
    # A number next to a bound between two levels may fall to either: float32 tells no more.
    assert (wrong <= most * 1.0001 + 1e-6 * np.abs(values)).all()
    for far in (np.abs(values) <= scale, np.abs(values) > 1.1 * scale):
        assert (wrong > 0.9 * most)[far].any()


def test_no_number_is_cut_off_however_large():
    values = np.full((40, 40, 1), 1e-3, np.float32)
    values[7, 9], values[0, 0] = 5.0, -2.0
    picture, scale = levels(values)
    back = numbers(picture, scale)
    assert back[7, 9, 0] == pytest.approx(5.0, rel=0.01)
    assert back[0, 0, 0] == pytest.approx(-2.0, rel=0.05)
    assert picture.max() == 128 + MOST


def test_zero_is_exact_and_nothing_but_zeros_are_zeros():
    picture, scale = levels(np.zeros((3, 5, 3), np.float32))
    assert (picture == 128).all()
    assert scale == 1.0
    assert not numbers(picture, scale).any()


def test_numbers_of_either_sign_are_equally_far_from_grey():
    values = heavy()
    assert (levels(-values)[0].astype(int) - 128 == 128 - levels(values)[0].astype(int)).all()


def test_what_is_not_finite_counts_as_zero():
    values = heavy((9, 9, 3))
    values[0, 0], values[1, 1], values[2, 2] = np.nan, np.inf, -np.inf
    picture, scale = levels(values)
    assert np.isfinite(scale)
    assert (picture[[0, 1, 2], [0, 1, 2]] == 128).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (24, 25, 3), (200, 150, 3), (97, 12, 1)])
def test_the_file_holds_every_level(shape):
    picture = levels(heavy(shape))[0]
    media_type, data = encode_levels(picture)
    assert media_type == "image/webp"
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    assert (np.asarray(decode(data)) == picture).all()
