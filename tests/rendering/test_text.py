"""The description for a terminal fits its columns and says what the record holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Attribution, Class, Exemplar, Layer, MethodCheck, StepAttribution, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.contact_sheet import heading, row_note
from torchlurk.rendering.share_words import SHARES, TITLE
from torchlurk.rendering.shown import shown_of
from torchlurk.rendering.text import Steps, bar, describe, display_columns, shortened
from torchlurk.unit_statistics import LIFTED

Make = Callable[..., Any]


@pytest.mark.parametrize("columns", [60, 80, 132])
@pytest.mark.parametrize("classes", [0, 3, 12, 1000])
def test_no_line_is_wider_than_the_terminal(make_record: Make, make_classes: Make, columns: int, classes: int) -> None:
    names = [replace(one, label=f"狐 {one.label} and a long description of it") for one in make_classes(classes)]
    described = describe(make_record(classes=classes), names, columns=columns)
    assert max(display_columns(line) for line in described.splitlines()) <= columns
    assert all(character.isprintable() for character in described.replace("\n", ""))


def test_it_says_address_statistics_exemplars_and_classes(make_record: Make, make_classes: Make) -> None:
    described = describe(make_record(), make_classes(12))
    assert described.startswith("features.3:7\nConv2d · spatial · map 8 × 8")
    for words in ("standard deviation", "30 %", "Strongest by maximum", "Strongest by mean", "90 %", "c/0.png", "1,2"):
        assert words in described
    assert described.count("Classes by mean of the") == 2
    assert "(10 of 12)" in described


@pytest.mark.parametrize(
    ("layout", "shape", "position", "told"),
    [("spatial", (4, 4), (1, 2), "at y,x"), ("sequence", (9,), (5,), "step"), ("tokens", (9,), (5,), "token")],
)
def test_over_the_positions_of_pictures_stands_what_they_are(make_record: Make, layout, shape, position, told) -> None:
    record = make_record()
    exemplars = {"max": tuple(replace(one, position=position) for one in record.exemplars["max"])}
    layer = replace(record.layer, layout=layout, shape=shape)
    lines = describe(replace(record, layer=layer, exemplars=exemplars), []).splitlines()
    assert f"  {told}  " in lines[lines.index("Strongest by maximum") + 1]


def test_a_text_is_shown_also_where_no_step_of_it_is_the_strongest() -> None:
    values = {"mean": 0.0, "std": 1.0, "max": 1.0, "min": 0.0, "fraction_active": 0.5, "selectivity": math.nan}
    text, trace = TextExample(tuple("some words"), (), (0, 10)), np.linspace(0, 1, 10).astype(np.float32)
    exemplars = {"max": (Exemplar(0, 4, "a", None, 1.0, (), reach=(0, 10)),), "mean": (Exemplar(0, 4, "a", None, 0.5),)}
    record = UnitRecord(Layer("fc", "Linear", "vector", 2, ()), 1, values, exemplars, {})
    lines = describe(record, [], Steps({4: text}, {})).splitlines()
    title = "Strongest by maximum (one value per example: by mean they are the same)"
    assert lines[lines.index(title) + 2].strip() == "some words"
    assert not any("Strongest by mean" in line for line in lines)
    series = describe(record, [], Steps({4: SeriesExample(trace[:, None], ("",), (0, 10))}, {4: trace}))
    assert series.count("▁▂▃▃▄▅▆▆▇█") == 1


def test_a_selectivity_above_a_negative_class_is_told_of() -> None:
    values = {"mean": 0.0, "std": 1.0, "max": -1.0, "min": -2.0, "fraction_active": 0.0, "selectivity": 0.6}
    means = np.array([-1.0, -1.01, -1.02, math.nan], np.float32)
    below = UnitRecord(Layer("rnn", "GRU", "sequence", 2, (10,)), 1, values, {}, {"max": means})
    classes = [Class(index, str(index), f"class {index}") for index in range(4)]
    assert LIFTED in " ".join(describe(below, classes).split())
    for other in (replace(below, classes={"max": -means}), replace(below, statistics={**values, "selectivity": math.nan})):
        assert LIFTED not in " ".join(describe(other, classes).split())
    assert heading(below, LIGHT).height > heading(replace(below, classes={"max": -means}), LIGHT).height


def test_ties_are_told_where_the_exemplars_are() -> None:
    values = {"mean": 0.0, "std": 1.0, "max": 1.0, "min": 0.0, "fraction_active": 0.5, "selectivity": math.nan}
    same = tuple(Exemplar(rank, rank, "a", None, 1.0) for rank in range(3))
    lower = (*same[:2], replace(same[2], score=0.5))
    record = UnitRecord(Layer("rnn", "GRU", "sequence", 2, (10,)), 1, values, {"max": same, "mean": lower}, {})
    lines = describe(record, [], Steps({}, {})).splitlines()
    assert lines[lines.index("Strongest by maximum") + 1].strip() == labels.TIED
    assert sum(labels.TIED in line for line in lines) == 1
    assert row_note(record, "max", 9) == labels.TIED
    assert labels.TIED not in row_note(record, "mean", 9)
    assert not labels.tied(same[:1]), "a single one has no equal"


def test_by_mean_a_text_is_shown_without_its_burn_in() -> None:
    values = {"mean": 0.0, "std": 1.0, "max": 1.0, "min": 0.0, "fraction_active": 0.5, "selectivity": math.nan}
    text, trace = TextExample(tuple("some words"), (), (5, 10)), np.linspace(0, 1, 10).astype(np.float32)
    record = UnitRecord(Layer("rnn", "GRU", "sequence", 2, (10,)), 1, values, {"mean": (Exemplar(0, 4, "a", None, 0.5),)}, {})
    lines = describe(record, [], Steps({4: text}, {4: trace}, least=3)).splitlines()
    start = lines.index("Strongest by mean (over the steps that count, in examples with 3 or more)")
    assert [line.strip() for line in lines[start + 2 :]] == ["words", "▅▆▆▇█"]


def test_the_place_of_a_text_is_that_of_the_step_itself() -> None:
    text = TextExample(tuple("some words"), tuple(range(96, 106)), (4, 10))
    exemplars = {"max": (Exemplar(0, 4, "a.txt@100", None, 1.0, (7,), reach=(0, 8)),)}
    values = {"mean": 0.0, "std": 1.0, "max": 1.0, "min": 0.0, "fraction_active": 0.5, "selectivity": math.nan}
    record = UnitRecord(Layer("rnn", "GRU", "sequence", 2, (10,)), 1, values, exemplars, {})
    steps = Steps({4: text}, {4: np.zeros(10, np.float32)})
    assert "step 7  saw steps 0–7  a.txt@103" in describe(record, [], steps)
    (drawn,) = shown_of(exemplars["max"], steps)
    assert drawn.place == "a.txt@103"
    (whole,) = shown_of([Exemplar(0, 4, "a.txt@100", None, 1.0)], steps)
    assert whole.place == "a.txt@100", "where no step is the strongest, the example as a whole"
    (nameless,) = shown_of([Exemplar(0, 4, "", None, 1.0)], steps)
    assert nameless.place == "example 4"
    assert "a.txt@103" in describe(record, [], steps, columns=36).replace(" ", "").splitlines()
    assert [text.place(path, 7) for path in ("a.txt", "a@b.txt@100", "a@7")] == ["a.txt", "a@b.txt@103", "a@7"]


def test_of_pictures_each_method_is_told_with_its_evidence(make_record: Make) -> None:
    made = [Attribution("max", rank, "guided", (0, 0, 1, 1), "", 1.0, kept) for rank, kept in enumerate((0.25, 0.75, math.nan))]
    made += [Attribution("max", 0, "lrp", (0, 0, 1, 1), "", 1.0)]
    said = describe(make_record(), [], attributions=made, checks=[MethodCheck("lrp", 0.125, marked=False)])
    assert "  guided: 3 exemplars · top tenth keeps 25 %–75 %\n" in said
    assert "  lrp: 1 exemplar · similarity 0.1200 with random weights below\n" in said
    assert "  top tenth keeps: " in said


def test_the_percentages_that_it_shows_are_explained_below_them(make_record: Make) -> None:
    record = make_record()
    said = describe(record, [], Steps({}, {}, {}, [StepAttribution("max", 0, "lrp", np.zeros((2, 1), np.float32), 0.5, -4.0)]))
    (block,) = (block for block in said.split("\n\n") if block.startswith(TITLE))
    assert [name for name in SHARES if f"  {name}: " in block] == ["recall", "top tenth keeps", "at the input, elsewhere"]
    assert "only the tenth of the steps with" in " ".join(block.split())
    pictures = describe(record, [], attributions=[Attribution("max", 0, "guided", (0, 0, 1, 1), "", 1.0, 0.5)])
    assert "only the tenth of the pixels with" in " ".join(pictures.split())
    bare = replace(record, exemplars={"max": tuple(replace(one, recall=None) for one in record.exemplars["max"])})
    assert TITLE not in describe(bare, [])


def test_bars_are_in_proportion() -> None:
    assert bar(1.0, 10) == "█" * 10
    assert bar(0.5, 10) == "█" * 5
    assert bar(0.0, 10) == ""
    assert bar(1 / 16, 2) == "▏"
    assert bar(7.0, 3) == "███"


def test_bars_of_negative_values_end_at_zero(make_record: Make, make_classes: Make) -> None:
    values = np.float32([3.0, 1.0, -1.0])
    record = replace(make_record(), classes={"max": values, "mean": values})
    block = describe(record, make_classes(3)).split("Classes by mean of the")[1].splitlines()[1:4]
    (zero,) = {line.index("│") for line in block}
    lengths = [(line[:zero].count("█"), line[zero:].count("█")) for line in block]
    assert abs(lengths[0][1] - 3 * lengths[1][1]) <= 2  # a bar is whole columns and an eighth
    assert abs(lengths[1][1] - lengths[2][0]) <= 1
    assert lengths[0][0] == lengths[1][0] == lengths[2][1] == 0


@given(st.text(max_size=40), st.integers(1, 30))
def test_shortened_text_never_takes_more_columns(text: str, most: int) -> None:
    assert display_columns(shortened(text, most)) <= most


def test_wide_and_combining_characters_are_counted_as_terminals_do() -> None:
    assert display_columns("キツネ") == 6
    assert display_columns("e\u0301") == 1


def test_a_dead_unit_with_nothing_else_known_is_described() -> None:
    values = {"mean": 0.0, "std": 0.0, "max": 0.0, "min": 0.0, "fraction_active": 0.0, "selectivity": math.nan}
    record = UnitRecord(Layer("fc", "Linear", "vector", 2, ()), 1, values, {"max": (Exemplar(0, 4, "", None, 0.0),)}, {})
    described = describe(record, [Class(0, "a", "a")])
    assert described.startswith("fc:1   dead")
    assert "selectivity" in described


def test_a_unit_that_is_below_zero_and_varies_is_not_dead() -> None:
    values = {"mean": -0.5, "std": 0.4, "max": -1e-3, "min": -1.0, "fraction_active": 0.0, "selectivity": math.nan}
    record = UnitRecord(
        Layer("lstm.l1", "LSTM", "sequence", 2, (4,)), 1, values, {"max": (Exemplar(0, 4, "", None, -1e-3),)}, {}
    )
    assert not record.dead
    assert "dead" not in describe(record, [])
