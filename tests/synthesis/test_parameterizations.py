"""What parameters show: each parameterization once more in NumPy's float64, and back from pictures to parameters."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from torchlurk.input_records import InputStatistics
from torchlurk.synthesis.canvas import Canvas, canvas
from torchlurk.synthesis.parameterizations import Change, Fourier, Phase, Pixels, correlated, decorrelated


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + one) for one in range(count)]


def coloured(plain: np.ndarray, on: Canvas) -> np.ndarray:
    """Pixel by pixel: correlation @ colour."""
    matrix = on.correlation.double().numpy()
    found = np.zeros_like(plain)
    for row in range(plain.shape[1]):
        for column in range(plain.shape[2]):
            found[:, row, column] = matrix @ plain[:, row, column]
    return found


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def scale(height: int, width: int, decay: float) -> np.ndarray:
    found = np.zeros((height, width // 2 + 1))
    for row in range(height):
        for column in range(width // 2 + 1):
            vertical = (row if row < (height + 1) // 2 else row - height) / height
            frequency = math.sqrt(vertical**2 + (column / width) ** 2)
            found[row, column] = 1 / max(frequency, 1 / max(height, width)) ** decay
    return found


@pytest.fixture(params=[(3, 8, 6), (1, 7, 9), (4, 6, 8)], ids=str)
def on(request) -> Canvas:
    return canvas(*request.param)


@pytest.mark.parametrize("decay", [1.0, 1.5])
def test_fourier_is_the_inverse_transform_of_falling_frequencies_through_colours_and_a_sigmoid(on, decay) -> None:
    way = Fourier(decay=decay)
    x = way.start(on, generators(2)) * 30
    assert x.shape == (2, on.channels, on.height, on.width // 2 + 1, 2)
    found = way.pictures(x, on).numpy()
    for one in range(2):
        given = x[one].double().numpy()
        spectrum = (given[..., 0] + 1j * given[..., 1]) * scale(on.height, on.width, decay)
        plain = np.fft.irfft2(spectrum, s=(on.height, on.width), norm="ortho") / 4
        np.testing.assert_allclose(found[one], sigmoid(coloured(plain, on)), atol=1e-5)


def test_phase_has_the_data_s_magnitudes_and_is_standardized_twice(on) -> None:
    way = Phase()
    x = way.start(on, generators(2)) * 3 + 1
    assert x.shape == (2, on.channels, on.height, on.width // 2 + 1)
    found = way.pictures(x, on).numpy()
    magnitude = on.spectrum.double().numpy()
    for one in range(2):
        phases = x[one].double().numpy()
        phases = (phases - phases.mean()) / (phases.std(ddof=1) + 1e-4)
        plain = np.fft.irfft2(magnitude * np.exp(1j * phases), s=(on.height, on.width), norm="ortho")
        plain = (plain - plain.mean()) / (plain.std(ddof=1) + 1e-4)
        np.testing.assert_allclose(found[one], sigmoid(coloured(plain, on)), atol=1e-5)


def test_pixels_are_grey_levels_less_the_mean_colour(on) -> None:
    way = Pixels()
    x = way.start(on, generators(2))
    mean = on.mean.double().numpy()
    found = way.pictures(x, on).numpy()
    for channel in range(on.channels):
        np.testing.assert_allclose(found[:, channel], x[:, channel].double().numpy() / 255 + mean[channel], atol=1e-6)


def test_starts_have_the_spread_they_say() -> None:
    on = canvas(3, 64, 64)
    for way, spread in ((Pixels(10.0), 10.0), (Fourier(0.01), 0.01), (Phase(1.0), 1.0), (Pixels(2.0), 2.0)):
        x = way.start(on, generators(1))
        assert x.std().item() == pytest.approx(spread, rel=0.05)
        assert abs(x.mean().item()) < 0.05 * spread


@pytest.mark.parametrize("way", [Pixels(), Fourier(), Phase()], ids=["pixels", "fourier", "phase"])
def test_a_start_is_drawn_from_the_unit_s_own_generator_alone(way) -> None:
    on = canvas(3, 8, 8)
    together = way.start(on, generators(3))
    for one in range(3):
        assert torch.equal(way.start(on, generators(1, seed=one))[0], together[one])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("way", [Pixels(), Fourier(), Fourier(decay=2.0)], ids=["pixels", "fourier", "steeper"])
def test_pictures_are_given_back_by_their_parameters(way, on) -> None:
    pictures = torch.rand(2, on.channels, on.height, on.width, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.05
    back = way.pictures(way.parameters(pictures, on), on)
    torch.testing.assert_close(back, pictures, atol=1e-4, rtol=0)


def test_black_and_white_come_back_as_nearly_as_a_sigmoid_can() -> None:
    on = canvas(3, 8, 8)
    pictures = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    back = Fourier().pictures(Fourier().parameters(pictures, on), on)
    torch.testing.assert_close(back, pictures, atol=0.0051, rtol=0)


def test_with_the_colours_of_grey_data_every_picture_is_grey() -> None:
    grey = InputStatistics(2, np.full(3, 0.4), np.full((3, 3), 0.02), np.ones((3, 8, 5)))
    on = canvas(3, 8, 8, grey)
    for way in (Fourier(), Phase()):
        found = way.pictures(way.start(on, generators(2)) * 20, on)
        assert torch.equal(found[:, 0], found[:, 1])
        assert torch.equal(found[:, 0], found[:, 2])
        assert found.std() > 0.01


def test_decorrelating_undoes_correlating(on) -> None:
    plain = torch.randn(2, on.channels, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decorrelated(correlated(plain, on), on), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.1, 1.0, 1000.0])
def test_a_change_is_never_larger_than_the_distance(strength) -> None:
    on = canvas(3, 8, 10)
    picture = torch.rand(3, 8, 10, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.25
    way = Change(picture, 0.05)
    x = way.start(on, generators(3)) * strength
    found = way.pictures(x, on).double().numpy()
    for one in range(3):
        given = x[one].double().numpy()
        spectrum = (given[..., 0] + 1j * given[..., 1]) * scale(8, 10, 1.0)
        free = coloured(np.fft.irfft2(spectrum, s=(8, 10), norm="ortho") / 4, on)
        size = math.sqrt(float((free**2).mean()))
        expected = np.clip(picture.double().numpy() + free * min(1.0, 0.05 / size), 0, 1)
        np.testing.assert_allclose(found[one], expected, atol=1e-5)
        assert math.sqrt(float(((found[one] - picture.double().numpy()) ** 2).mean())) <= 0.05 + 1e-6


def test_a_change_of_a_nearly_white_picture_stays_within_the_range() -> None:
    on = canvas(3, 8, 8)
    way = Change(torch.full((3, 8, 8), 0.99), 0.2)
    found = way.pictures(way.start(on, generators(1)) * 1000, on)
    assert 0 <= found.min() < found.max() == 1
    assert (found - 0.99).square().mean().sqrt() <= 0.2


def test_a_change_is_given_back_by_its_parameters() -> None:
    on = canvas(3, 8, 8)
    picture = torch.full((3, 8, 8), 0.5)
    way = Change(picture, 0.1)
    changed = picture + 0.05 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)
    torch.testing.assert_close(way.pictures(way.parameters(changed, on), on), changed, atol=1e-4, rtol=0)


def test_a_start_hardly_changes_the_picture() -> None:
    on = canvas(3, 16, 16)
    picture = torch.full((3, 16, 16), 0.5)
    way = Change(picture, 0.1)
    assert (way.pictures(way.start(on, generators(1)), on)[0] - picture).abs().max() < 0.1
