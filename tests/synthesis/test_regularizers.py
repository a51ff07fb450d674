"""Corrections and penalties against literal ones in NumPy's float64."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk.synthesis.canvas import canvas
from torchlurk.synthesis.regularizers import (
    Blur,
    Clip,
    Decay,
    SmallContribution,
    SmallNorm,
    Step,
    TotalVariation,
    Within,
    blurred,
)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at(x: Tensor, number: int = 0) -> Step:
    return Step(number, numbers(*x.shape, seed=1), numbers(*x.shape, seed=2), canvas(*x.shape[1:]))


def gaussian(row: np.ndarray, radius: float) -> np.ndarray:
    """One row, as SciPy's gaussian_filter1d with mode 'reflect' (d c b a | a b c d | d c b a), truncated at four deviations."""
    reach = int(4 * radius + 0.5)
    weights = [math.exp(-0.5 * (place / radius) ** 2) for place in range(-reach, reach + 1)]
    found = np.zeros_like(row)
    for index in range(len(row)):
        for place, weight in zip(range(-reach, reach + 1), weights, strict=True):
            source = index + place
            while not 0 <= source < len(row):
                source = -1 - source if source < 0 else 2 * len(row) - 1 - source
            found[index] += row[source] * weight / sum(weights)
    return found


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0])
def test_a_blur_is_a_gaussian_over_mirrored_edges(radius) -> None:
    x = numbers(2, 3, 7, 9)
    given = x.double().numpy()
    expected = np.apply_along_axis(gaussian, 3, np.apply_along_axis(gaussian, 2, given, radius), radius)
    np.testing.assert_allclose(blurred(x, radius).numpy(), expected, atol=1e-6)


def test_a_blur_is_as_scipy_gives_it() -> None:
    """scipy.ndimage.gaussian_filter of SciPy 1.17.1, with mode 'reflect'."""
    impulse, small = torch.zeros(1, 1, 1, 5), torch.tensor([[[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]]])
    impulse[..., 2] = 1
    given = [0.00026386508, 0.10645077197, 0.78657072589, 0.10645077197, 0.00026386508]
    assert blurred(impulse, 0.5).flatten().tolist() == pytest.approx(given, rel=1e-5)
    given = [5.16905528, 7.99202031, 11.20381696, 8.19650675, 12.67284733, 17.76575338]
    assert blurred(small, 1.0).flatten().tolist() == pytest.approx(given, rel=1e-6)


def test_a_blur_keeps_the_mean_colour_and_a_plain_picture() -> None:
    x = numbers(1, 3, 8, 8)
    torch.testing.assert_close(blurred(x, 1.0).mean((2, 3)), x.mean((2, 3)))
    plain = torch.full((1, 3, 5, 5), 7.0)
    torch.testing.assert_close(blurred(plain, 2.0), plain)


def test_a_blur_comes_at_every_so_manieth_step_from_the_first_on() -> None:
    x = numbers(1, 3, 8, 8)
    for number in range(9):
        found = Blur(0.5, every=4).correct(x, at(x, number))
        assert torch.equal(found, blurred(x, 0.5) if number in (0, 4, 8) else x)


def test_decay_takes_a_share() -> None:
    x = numbers(2, 3, 4, 4)
    np.testing.assert_allclose(Decay(0.3).correct(x, at(x)).numpy(), x.double().numpy() * 0.7, rtol=1e-6)


@pytest.mark.parametrize("percent", [20, 50, 90])
def test_pixels_of_small_norm_go(percent) -> None:
    x = numbers(2, 3, 5, 7)
    found = SmallNorm(percent).correct(x, at(x)).numpy()
    for one in range(2):
        norms = np.sqrt((x[one].double().numpy() ** 2).sum(0))
        kept = norms >= np.percentile(norms, percent)
        np.testing.assert_array_equal(found[one], x[one].numpy() * kept)
        assert 0 < kept.sum() < kept.size


@pytest.mark.parametrize("percent", [50, 90])
def test_pixels_that_contribute_little_go(percent) -> None:
    x = numbers(2, 3, 5, 7)
    step = at(x)
    found = SmallContribution(percent).correct(x, step).numpy()
    for one in range(2):
        contribution = np.abs((-x[one].double().numpy() * step.gradient[one].double().numpy()).sum(0))
        kept = contribution >= np.percentile(contribution, percent)
        np.testing.assert_array_equal(found[one], x[one].numpy() * kept)


def test_a_clipped_pixel_is_one_that_a_picture_can_show() -> None:
    x = numbers(2, 3, 6, 6) * 300
    found = Clip().correct(x, at(x)).double().numpy()
    mean = np.array([0.485, 0.456, 0.406])[:, None, None] * 255
    np.testing.assert_allclose(found, np.clip(x.double().numpy(), -mean, 255 - mean), atol=1e-4)
    assert (found + mean).min() == pytest.approx(0, abs=1e-4)
    assert (found + mean).max() == pytest.approx(255, abs=1e-4)


@pytest.mark.parametrize("from_start", [True, False])
@pytest.mark.parametrize("distance", [0.5, 5.0, 1000.0])
def test_within_is_the_nearest_point_of_a_ball(from_start, distance) -> None:
    x = numbers(2, 3, 4, 4) * 3
    step = at(x)
    found = Within(distance, from_start).correct(x, step).double().numpy()
    for one in range(2):
        origin = step.start[one].double().numpy() * from_start
        change = x[one].double().numpy() - origin
        length = math.sqrt(float((change**2).sum()))
        np.testing.assert_allclose(found[one], origin + change * min(1, distance / length), atol=1e-5)


def test_within_leaves_the_start_where_it_is() -> None:
    x = numbers(1, 3, 4, 4)
    step = Step(0, x, x, canvas(3, 4, 4))
    assert torch.equal(Within(0.1).correct(x.clone(), step), x)
    assert torch.equal(Within(0.1, from_start=False).correct(torch.zeros_like(x), step), torch.zeros_like(x))


def test_total_variation_is_the_mean_difference_of_neighbours_across_and_down() -> None:
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    for one in range(2):
        across, down = [], []
        for channel in x[one].double().numpy():
            for row in range(4):
                for column in range(5):
                    if column < 4:
                        across.append(abs(channel[row, column + 1] - channel[row, column]))
                    if row < 3:
                        down.append(abs(channel[row + 1, column] - channel[row, column]))
        expected = 0.3 * (sum(across) / len(across) + sum(down) / len(down))
        assert TotalVariation(0.3).cost(x)[one].item() == pytest.approx(expected, rel=1e-5)
    assert TotalVariation(1.0).cost(torch.ones(1, 3, 4, 4)).item() == 0


@pytest.mark.parametrize("one", [Decay(0.1), Blur(1.0), SmallNorm(30), SmallContribution(30), Clip(), Within(2.0)], ids=str)
def test_each_picture_of_a_batch_is_corrected_as_alone(one) -> None:
    x = numbers(4, 3, 8, 8) * 50
    step = at(x)
    together = one.correct(x.clone(), step)
    for index in range(4):
        piece = slice(index, index + 1)
        alone = Step(0, step.gradient[piece], step.start[piece], step.canvas)
        torch.testing.assert_close(one.correct(x[piece].clone(), alone), together[piece], rtol=1e-6, atol=1e-6)
