"""What is marked on the steps of an example, also where a layer has fewer positions than the example has steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Exemplar
from torchlurk.rendering.colour import DARK, LIGHT, Theme, contrast, diverging
from torchlurk.rendering.marks import Marks, look, marks_of, scale_of

TEXT = TextExample(tuple("abcdef"), (), (2, 6))


def exemplar(position: int | None = None, reach: tuple[int, int] | None = None) -> Exemplar:
    return Exemplar(0, 0, "", None, 1.0, None if position is None else (position,), reach=reach)


def test_values_strongest_step_and_reach_are_those_of_the_exemplar() -> None:
    marks = marks_of(exemplar(3, (1, 4)), TEXT, np.arange(6, dtype=np.float32))
    assert marks.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert (marks.strongest, marks.centre) == ((3, 4), 3)
    assert [marks.is_strongest(step) for step in range(6)] == [step == 3 for step in range(6)]
    assert [marks.reached(step) for step in range(6)] == [1 <= step < 4 for step in range(6)]
    assert [marks.counts(step) for step in range(6)] == [step >= 2 for step in range(6)]


def test_a_layer_with_fewer_positions_has_each_value_over_several_steps() -> None:
    marks = marks_of(exemplar(1), TEXT, np.array([5, 7, 9], np.float32))
    assert marks.values.tolist() == [5, 5, 7, 7, 9, 9]
    assert marks.strongest == (2, 4)


@pytest.mark.parametrize("positions", [1, 2, 3, 4, 5, 6, 9])
def test_every_position_is_marked_where_its_own_value_stands(positions: int) -> None:
    trace = np.arange(positions, dtype=np.float32)
    for position in range(min(positions, 6)):
        marks = marks_of(exemplar(position), TEXT, trace)
        assert marks.strongest is not None
        first, last = marks.strongest
        assert 0 <= first < last <= 6
        if positions <= 6:
            assert set(marks.values[first:last].tolist()) == {position}


def test_without_a_strongest_step_the_largest_value_that_counts_is_in_the_middle() -> None:
    assert marks_of(exemplar(), TEXT, np.array([9, 8, 0, 1, 3, 2], np.float32)).centre == 4
    assert marks_of(exemplar(), TEXT, None).centre == 2
    nothing = SeriesExample(np.zeros((0, 3), np.float32), ("", "", ""), (0, 0))
    assert marks_of(exemplar(5), nothing, np.ones(6, np.float32)).centre == 0


def test_values_that_are_not_finite_are_not_known() -> None:
    trace = np.array([np.inf, -np.inf, np.nan, 1, -4, 2], np.float32)
    marks = marks_of(exemplar(), TEXT, trace)
    assert np.isnan(marks.values).tolist() == [True, True, True, False, False, False]
    assert scale_of([trace]) == 4
    assert scale_of([]) == scale_of([np.zeros(3, np.float32)]) == 1


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_step_looks_as_what_is_known_of_it(theme: Theme) -> None:
    values = np.array([1, 1, -1, np.nan, 1], np.float32)
    marks = Marks(values, (1, 5), reach=(1, 4), strongest=None)
    burned, positive, negative, unknown, unseen = (look(marks, step, 1.0, theme) for step in range(5))
    assert (burned.ground, burned.line) == (theme.panel, None)
    assert (positive.ground, negative.ground) == (theme.accent, theme.opposite)
    assert (unknown.ground, unknown.ink) == (None, theme.ink)
    assert (unseen.ground, unseen.line) == (None, theme.accent)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_step_can_be_read(theme: Theme) -> None:
    values = np.linspace(-1, 1, 201).astype(np.float32)
    for counted, reach in (((0, 201), None), ((0, 201), (0, 0)), ((0, 0), None)):
        marks = Marks(values, counted, reach)
        for step in range(201):
            shown = look(marks, step, 1.0, theme)
            assert contrast(shown.ink, shown.ground or theme.ground) >= 4.5


def test_the_colours_of_values_go_from_red_over_the_ground_to_blue() -> None:
    assert diverging(0.0, LIGHT) == diverging(math.nan, LIGHT) == LIGHT.ground
    assert diverging(1.0, LIGHT) == diverging(7.0, LIGHT) == LIGHT.accent
    assert diverging(-1.0, DARK) == diverging(-math.inf, DARK) == DARK.opposite
    lightness = [sum(diverging(share, LIGHT)) for share in np.linspace(0, 1, 20)]
    assert lightness == sorted(lightness, reverse=True)
