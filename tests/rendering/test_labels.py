"""Numbers are short and never say more or other than they are."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.records import Class, Exemplar, Layer
from torchlurk.rendering.labels import exemplar_name, layer_facts, number, percent, round_number, statistics, top_classes
from torchlurk.unit_statistics import BUILT_IN, COLUMNS, STATISTICS

CLASSES = [Class(i, f"n{i}", f"label {i}") for i in range(4)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (42.7123, "42.71"),
        (1234.56, "1,235"),
        (0.012345, "0.0123"),
        (-3.5, "−3.500"),
        (1.2e-7, "1.2e−7"),
        (3.4e12, "3.4e12"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_have_four_digits(value: float, written: str) -> None:
    assert number(value) == written


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_read_back_is_close_to_what_it_was(value: float) -> None:
    back = float(number(value).replace("−", "-").replace(",", ""))
    assert math.isclose(back, value, rel_tol=0.06, abs_tol=1e-45)


@pytest.mark.parametrize(("value", "written"), [(0.2, "0.2"), (100.0, "100"), (-2500.0, "−2,500"), (0.0, "0"), (2e-5, "2e−5")])
def test_ticks_have_no_more_digits_than_they_need(value: float, written: str) -> None:
    assert round_number(value) == written


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.123, "12.3 %"),
        (1e-6, "< 0.1 %"),
        (0.9996, "100 %"),
        (1.0004, "100 %"),
        (-1e-4, "0 %"),
        (1.37, "137 %"),
    ],
)
def test_a_share_that_is_the_whole_but_for_rounding_is_the_whole_and_a_small_one_is_not_nothing(
    share: float, written: str
) -> None:
    assert percent(share) == written


def test_classes_come_highest_first_equal_ones_by_index_and_empty_ones_not() -> None:
    values = np.array([1.0, 3.0, np.nan, 3.0], np.float32)
    assert [(one.index, value) for one, value in top_classes(values, CLASSES)] == [(1, 3.0), (3, 3.0), (0, 1.0)]
    assert len(top_classes(values, CLASSES, most=1)) == 1


def test_a_layer_is_described_by_what_it_has() -> None:
    spatial = Layer("a", "Conv2d", "spatial", 8, (13, 9), receptive_field=(7, 5), stride=(2, 2), read_after=("relu",))
    facts = ["Conv2d", "spatial", "map 13 × 9", "receptive field 7 × 5 px", "stride 2 px", "read after relu"]
    assert layer_facts(spatial) == facts
    assert layer_facts(Layer("b", "Linear", "vector", 8, ())) == ["Linear", "vector"]
    assert layer_facts(Layer("c", "Block", "tokens", 8, (197,))) == ["Block", "tokens", "197 tokens"]
    assert "stride 4 × 2 px" in layer_facts(Layer("d", "Conv2d", "spatial", 8, (1, 1), stride=(4, 2)))


@pytest.mark.parametrize(
    ("stride", "written"), [(2, ("50 values", "a value every 2 steps")), (1, ("50 steps", "stride 1 step"))]
)
def test_a_layer_of_series_is_described_in_steps_of_the_input(stride: int, written: tuple[str, str]) -> None:
    series = Layer("a", "Conv1d", "sequence", 8, (50,), receptive_field=(1, 9), stride=(1, stride))
    assert layer_facts(series) == ["Conv1d", "sequence", written[0], "receptive field 9 steps", written[1]]


def test_statistics_not_known_are_left_out() -> None:
    found = statistics({"mean": 1.0, "fraction_active": 0.25})
    assert found == [("mean", "1.000"), ("active positions", "25 %")]


def test_an_exemplar_without_class_goes_by_its_file_and_without_file_by_its_number() -> None:
    assert exemplar_name(Exemplar(0, 5, "a/b.png", "dog", 1.0)) == "dog"
    assert exemplar_name(Exemplar(0, 5, "a/b.png", None, 1.0)) == "a/b.png"
    assert exemplar_name(Exemplar(0, 5, "", None, 1.0)) == "example 5"


def test_the_app_calls_the_statistics_of_recurrent_layers_as_the_terminal_does() -> None:
    told = (Path(__file__).parents[2] / "web" / "src" / "drawing" / "numbers.ts").read_text(encoding="utf-8")
    listed = told.partition("OVER_TIME")[2].partition("};")[0]
    found = re.findall(r'(\w+): \["([^"]+)", "([^"]+)"\]', listed)
    further = [name for name in STATISTICS if name in BUILT_IN and name not in COLUMNS]
    assert found == [(name, STATISTICS[name].label, STATISTICS[name].meaning.replace(" -ln", " −ln")) for name in further]
