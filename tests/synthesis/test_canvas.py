"""Colours and frequencies of the data: their roots and samples against literal ones in float64."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from torchlurk.input_records import InputStatistics
from torchlurk.synthesis.canvas import canvas, frequencies, side_of


def measured(pictures: np.ndarray) -> InputStatistics:
    """The statistics of pictures (example, channel, height, width), as the scan defines them."""
    colours = np.moveaxis(pictures, 1, 0).reshape(pictures.shape[1], -1)
    spectrum = np.abs(np.fft.rfft2(pictures, norm="ortho")).mean(0)
    return InputStatistics(len(pictures), colours.mean(1), np.cov(colours, bias=True).reshape((len(colours),) * 2), spectrum)


def pictures(channels: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    mixed = np.einsum("cd,ndhw->nchw", rng.normal(size=(channels, channels)), rng.normal(size=(6, channels, height, width)))
    return 0.5 + 0.05 * mixed.cumsum(axis=3)


def test_without_statistics_three_channels_have_the_known_colours_of_imagenet() -> None:
    made = canvas(3, 8, 6)
    # tensorflow/lucid: color_correlation_svd_sqrt over its longest column.
    known = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    longest = max(math.sqrt(sum(known[row, column] ** 2 for row in range(3))) for column in range(3))
    np.testing.assert_allclose(made.correlation.numpy(), known / longest, rtol=1e-6)
    assert made.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert (made.channels, made.height, made.width, str(made.device)) == (3, 8, 6, "cpu")


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_without_statistics_other_channels_are_independent_and_grey(channels) -> None:
    made = canvas(channels, 8, 6)
    assert torch.equal(made.correlation, torch.eye(channels))
    assert made.mean.tolist() == [0.5] * channels


def test_without_statistics_magnitudes_fall_as_one_over_the_frequency() -> None:
    made = canvas(3, 5, 8)
    for row in range(5):
        for column in range(5):
            vertical = (row if row <= 2 else row - 5) / 5
            expected = 1 / max(math.sqrt(vertical**2 + (column / 8) ** 2), 1 / 8)
            assert made.spectrum[row, column].item() == pytest.approx(expected, rel=1e-6)


def test_frequencies_are_in_cycles_per_pixel() -> None:
    down, across = np.meshgrid(np.fft.fftfreq(7), np.fft.rfftfreq(10), indexing="ij")
    np.testing.assert_allclose(frequencies(7, 10).numpy(), np.sqrt(down**2 + across**2), rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colours_have_the_covariance_of_the_data_up_to_a_factor(channels) -> None:
    statistics = measured(pictures(channels, 8, 8))
    correlation = canvas(channels, 8, 8, statistics).correlation.double().numpy()
    found = correlation @ correlation.T
    factor = np.trace(statistics.covariance) / np.trace(found)
    np.testing.assert_allclose(found * factor, statistics.covariance, rtol=1e-5, atol=1e-6 * np.trace(statistics.covariance))
    lengths = np.sqrt((correlation**2).sum(0))
    assert lengths.max() == pytest.approx(1, rel=1e-6)
    assert list(lengths) == sorted(lengths, reverse=True)
    across = correlation.T @ correlation
    np.testing.assert_allclose(across - np.diag(np.diag(across)), 0, atol=1e-6)
    for column in correlation.T:
        assert column[np.abs(column).argmax()] > 0


def test_the_mean_colour_is_the_data_s() -> None:
    statistics = measured(pictures(3, 8, 8))
    np.testing.assert_allclose(canvas(3, 8, 8, statistics).mean.numpy(), statistics.mean, rtol=1e-6)


def test_of_grey_pictures_in_three_channels_there_is_one_colour() -> None:
    grey = np.repeat(pictures(1, 8, 8), 3, axis=1)
    correlation = canvas(3, 8, 8, measured(grey)).correlation
    np.testing.assert_allclose(correlation[:, 0].numpy(), [1 / math.sqrt(3)] * 3, rtol=1e-6)
    assert not correlation[:, 1:].any()


def test_data_of_one_colour_alone_leave_the_colours_free() -> None:
    constant = np.full((2, 3, 8, 8), 0.25)
    made = canvas(3, 8, 8, measured(constant))
    assert torch.equal(made.correlation, torch.eye(3))
    assert bool(made.spectrum.isfinite().all())


def test_statistics_of_other_channels_or_of_no_example_do_not_count() -> None:
    other = measured(pictures(1, 8, 8))
    assert torch.equal(canvas(3, 8, 8, other).correlation, canvas(3, 8, 8).correlation)
    none = InputStatistics(0, np.zeros(3), np.zeros((3, 3)), np.zeros((3, 8, 5)))
    assert torch.equal(canvas(3, 8, 8, none).spectrum, canvas(3, 8, 8).spectrum)


def expected_spectrum(statistics: InputStatistics) -> np.ndarray:
    """Each channel over its own root mean square, averaged; the constant part taken from its neighbour."""
    found = np.zeros(statistics.spectrum.shape[1:])
    for channel in statistics.spectrum:
        shape = channel.copy()
        shape[0, 0] = shape[0, 1]
        found += shape / math.sqrt(float((shape**2).mean())) / len(statistics.spectrum)
    return found


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12), (6, 16), (7, 9)])
def test_a_spectrum_of_the_same_size_is_the_data_s(height, width) -> None:
    statistics = measured(pictures(3, height, width))
    found = canvas(3, height, width, statistics).spectrum
    np.testing.assert_allclose(found.numpy(), expected_spectrum(statistics), rtol=2e-5)


def test_a_spectrum_of_twice_the_size_has_the_same_magnitude_at_the_same_cycles_per_pixel() -> None:
    statistics = measured(pictures(3, 8, 12))
    small, large = expected_spectrum(statistics), canvas(3, 16, 24, statistics).spectrum.numpy()
    for row in range(-4, 4):
        for column in range(7):
            assert large[2 * row, 2 * column] == pytest.approx(small[row, column], rel=1e-4)
    between = math.sqrt(small[1, 2] * small[1, 3])
    assert large[2, 5] == pytest.approx(between, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "expected"), [((224, 224, 96), (96, 96)), ((200, 300, 100), (100, 150)), ((5, 3, 2), (3, 2))]
)
def test_a_size_keeps_its_proportion(given, expected) -> None:
    assert side_of(*given) == expected
