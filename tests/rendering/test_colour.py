"""Zero is neutral grey, signs go both ways alike, and text can be read on its ground."""

from __future__ import annotations

import numpy as np
import pytest

from torchlurk.rendering.colour import DARK, LIGHT, NEUTRAL, Colour, Theme, signed, signed_scale


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: Colour) -> float:
        shares = [value / 255 for value in colour]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_and_bars_stand_out_from_the_ground(theme: Theme) -> None:
    assert contrast(theme.ink, theme.ground) >= 7
    assert contrast(theme.muted, theme.ground) >= 4.5
    assert contrast(theme.accent, theme.ground) >= 4.5
    assert contrast(theme.muted, theme.panel) >= 4.5


def test_zero_is_grey_and_the_scale_is_black_and_white() -> None:
    picture = signed(np.array([[[0.0], [2.0], [-2.0], [9.0], [1.0]]]), scale=2.0)
    assert picture[0, :, 0].tolist() == [NEUTRAL, 255, 0, 255, 192]


def test_a_few_extreme_pixels_do_not_leave_the_rest_grey() -> None:
    values = np.random.default_rng(0).normal(size=(100, 100, 1))
    values[0, 0, 0] = 1e6
    assert signed(values).std() > 30


def test_nothing_is_plain_grey_and_a_single_pixel_is_still_seen() -> None:
    assert (signed(np.zeros((4, 4, 3))) == NEUTRAL).all()
    assert (signed(np.full((2, 2, 1), np.nan)) == NEUTRAL).all()
    lonely = np.zeros((100, 100, 1))
    lonely[3, 4, 0] = -1e-9
    assert signed(lonely)[3, 4, 0] == 0


@pytest.mark.parametrize("percentile", [0, 50, 99, 99.5, 100])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.002], ids=["dense", "half", "sparse"])
def test_the_scale_is_the_percentile_of_the_magnitudes(percentile, share):
    generator = np.random.default_rng(0)
    for _ in range(20):
        values = generator.standard_normal((*generator.integers(1, 60, 2), 3)).astype(np.float32)
        values[generator.random(values.shape) > share] = 0
        magnitudes = np.abs(values.astype(np.float64))
        expected = np.percentile(magnitudes, percentile) or magnitudes.max() or 1.0
        assert signed_scale(values, percentile) == pytest.approx(expected, rel=1e-12)
    assert signed_scale(np.zeros((0, 4, 3), np.float32)) == 1.0
