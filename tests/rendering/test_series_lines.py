"""Series are drawn channel below channel in ranges that compare, with the reach shaded and a band of values."""

from __future__ import annotations

import numpy as np
import pytest

from torchlurk.input_records import SeriesExample
from torchlurk.rendering.colour import DARK, LIGHT, Theme
from torchlurk.rendering.marks import Marks
from torchlurk.rendering.series_lines import BAND, BAND_GAP, MOST_CHANNELS, draw_series, names_width, ranges_of

ACROSS, HEIGHT = 120, 30


def series(values: np.ndarray, names: tuple[str, ...] | None = None) -> SeriesExample:
    values = np.asarray(values, np.float32)
    return SeriesExample(values, names or ("",) * values.shape[1], (0, len(values)))


def known(values: list[float], **marks: object) -> Marks:
    return Marks(np.array(values, np.float32), **({"counted": (0, len(values))} | marks))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_reach_is_shaded_burn_in_darker_and_the_band_has_the_values(theme: Theme) -> None:
    one = series(np.zeros((6, 1)))
    marks = known([1, 1, -1, 1, 1, 1], counted=(1, 6), reach=(0, 4), strongest=(3, 4))
    pixels = np.asarray(draw_series(one, marks, ((0.0, 1.0),), 1.0, ACROSS, HEIGHT, theme=theme))
    assert pixels.shape == (HEIGHT + BAND_GAP + BAND, ACROSS, 3)
    top = [tuple(pixels[1, step * 20 + 2]) for step in range(6)]
    assert top == [theme.line, theme.panel, theme.panel, theme.panel, theme.ground, theme.ground]
    band = [tuple(pixels[HEIGHT + BAND_GAP + BAND // 2, step * 20 + 10]) for step in range(6)]
    assert band == [theme.panel, theme.accent, theme.opposite, theme.accent, theme.ground, theme.ground]
    assert tuple(pixels[-2, 4 * 20 + 10]) == theme.accent, "what was not seen is a line"
    bar = tuple(pixels[1, 3 * 20 + 10])
    assert bar not in (theme.panel, theme.ground)


def test_a_line_rises_where_its_values_do() -> None:
    pixels = np.asarray(draw_series(series(np.arange(6)[:, None]), known([0] * 6), ((0.0, 5.0),), 1.0, ACROSS, HEIGHT))
    dark = pixels[:HEIGHT].sum(axis=2)
    rows = [int(dark[:, step * 20 + 10].argmin()) for step in range(6)]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] - rows[-1] > HEIGHT // 2


def test_ranges_are_those_of_all_the_series_together() -> None:
    found = ranges_of([series([[0, 5], [2, np.nan]]), series([[-1, np.inf]]), series(np.full((2, 2), np.nan))])
    assert found == ((-1.0, 2.0), (5.0, 5.0))
    assert ranges_of([series(np.full((2, 1), np.nan))]) == ((0.0, 0.0),)
    assert ranges_of([]) == ()


def test_names_have_room_where_there_are_some() -> None:
    assert names_width([series(np.zeros((2, 2)))], 400) == 0
    assert (
        20
        < names_width([series(np.zeros((2, 2)), ("speed", ""))], 400)
        < names_width([series(np.zeros((2, 2)), ("a very long name of a channel" * 9, ""))], 400)
        < 120
    )


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (1, 1), (1, 40), (5000, 2), (3, MOST_CHANNELS + 9)])
def test_any_number_of_steps_and_channels_is_drawn(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[::7] = np.nan
    one = series(values)
    marks = known(np.linspace(-1, 1, shape[0]).tolist(), strongest=(0, 1) if shape[0] else None)
    ranges = ranges_of([one])
    assert len(ranges) == min(shape[1], MOST_CHANNELS)
    picture = draw_series(one, marks, ranges, 1.0, ACROSS, 9)
    assert picture.height == max(1, 9 * len(ranges)) + (BAND_GAP + BAND) * bool(shape[0])


def test_a_peak_of_a_single_step_among_very_many_is_seen() -> None:
    values, trace = np.zeros((50_000, 1)), np.zeros(50_000, np.float32)
    values[25_000], trace[30_000] = 1, -1
    pixels = np.asarray(draw_series(series(values), Marks(trace, (0, 50_000)), ((0.0, 1.0),), 1.0, ACROSS, HEIGHT))
    column = int(pixels[: HEIGHT // 2].sum(axis=(0, 2)).argmin())
    assert abs(column - ACROSS // 2) <= 1
    assert (pixels[HEIGHT + BAND_GAP + 2] == LIGHT.opposite).all(axis=1).any()
