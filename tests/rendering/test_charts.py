"""Bars are as long as their values say, and histograms count every value once."""

# Tolerances are of whole pixels.

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.rendering.charts import ROW, bar_chart, bar_scale, bins, histogram, ticks
from torchlurk.rendering.colour import DARK, LIGHT


def drawn_spans(image: np.ndarray, row: int, accent: tuple[int, int, int] = LIGHT.accent) -> tuple[int, int]:
    """First and one past the last column of the accent colour in the middle of a bar's row."""
    columns = np.flatnonzero((image[row * ROW + ROW // 2] == accent).all(axis=1))
    return (int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 0)


def test_bars_are_proportional_to_their_values() -> None:
    values = [80.0, 40.0, 20.0, 10.0]
    image = np.asarray(bar_chart([(f"c{i}", value) for i, value in enumerate(values)], 420))
    spans = [drawn_spans(image, row) for row in range(4)]
    assert {start for start, _ in spans} == {spans[0][0]}, "all begin at zero"
    lengths = np.array([end - start for start, end in spans])
    np.testing.assert_allclose(lengths / lengths[0], np.array(values) / 80, atol=1.0 / lengths[0])


def test_negative_bars_end_where_positive_ones_begin() -> None:
    image = np.asarray(bar_chart([("up", 3.0), ("down", -1.5)], 400))
    up, down = drawn_spans(image, 0), drawn_spans(image, 1)
    assert abs(down[1] - up[0]) <= 1
    assert abs((up[1] - up[0]) - 2 * (down[1] - down[0])) <= 2


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0], [-1.0], [1e-30, 1e30], [5.0] * 20])
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_any_values_give_a_chart_of_the_asked_width(values: list[float], theme: object) -> None:
    image = bar_chart([("ü" * 80, value) for value in values], 300, theme=theme)  # type: ignore[arg-type]
    assert image.width == 300
    assert image.height == max(1, ROW * len(values))


def test_the_scale_of_bars_is_its_formula() -> None:
    zero, scale = bar_scale([2.0, -2.0], 100, 300)
    assert (zero, scale) == (200.0, 50.0)
    assert bar_scale([0.0], 100, 300) == (100.0, 0.0)


def test_bins_count_every_value_but_zeros_among_others() -> None:
    values = np.array([0, 0, 0, 1, 2, 3, np.nan, np.inf, -1], np.float32)
    counts, edges = bins(values)
    assert counts.sum() == 4
    assert (edges[0], edges[-1]) == (-1.0, 3.0)
    only_zeros, _ = bins(np.zeros(5, np.float32))
    assert only_zeros.sum() == 5


def test_the_tallest_bin_of_a_histogram_is_twice_one_of_half_its_count() -> None:
    values = np.array([1.0] * 40 + [5.0] * 20, np.float32)
    image = np.asarray(histogram(values, (400, 200)))
    heights = (image == LIGHT.accent).all(axis=2).sum(axis=0)
    levels = sorted({int(height) for height in heights if height})
    assert len(levels) == 2
    assert abs(levels[1] - 2 * levels[0]) <= 2


@pytest.mark.parametrize("values", [[], [0.0], [np.nan], [-3.0, -3.0], [1e-20, 2e-20], [1e20]])
def test_any_responses_give_a_histogram(values: list[float]) -> None:
    image = histogram(np.array(values, np.float32), (300, 120), marks=[0.0, 1e9])
    assert image.size == (300, 120)


@given(low=st.floats(-1e6, 1e6), reach=st.floats(1e-6, 1e6))
def test_ticks_are_few_inside_and_evenly_spaced(low: float, reach: float) -> None:
    found = ticks(low, low + reach)
    assert 1 <= len(found) <= 7
    slack = 1e-6 * (abs(low) + reach)
    assert all(low - slack <= tick <= low + reach + slack for tick in found)
    if len(found) > 2:
        assert np.ptp(np.diff(found)) <= slack
