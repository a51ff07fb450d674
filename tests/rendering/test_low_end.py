"""Where a unit is lowest in its exemplars, for units that are about as far below zero as above."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from torchlurk.input_records import TextExample
from torchlurk.records import Exemplar, Layer, UnitRecord
from torchlurk.rendering import low_end
from torchlurk.rendering.low_end import LOWEST, PLACES, lowest_places
from torchlurk.rendering.sequences import TEXTS, sequence_sheet
from torchlurk.rendering.text import Steps, describe

STATISTICS = {"mean": 0.0, "std": 0.5, "min": -0.9, "max": 1.0, "fraction_active": 0.5, "selectivity": float("nan")}
TRACES = {
    0: np.array([-1.0, 0.1, -0.25, 0.9], np.float32),
    1: np.array([0.0, -0.5, 0.2, -0.5], np.float32),
    2: np.array([0.3, 0.2, np.nan, 0.1], np.float32),
    3: np.array([0.0, -0.5, 0.0, 0.0], np.float32),
    9: np.array([0.0, -0.9, 0.0, 0.0], np.float32),
}
TEXT = TextExample(tuple("abcd"), (7, 8, 9, 10), (1, 4))
EXAMPLES = dict.fromkeys(TRACES, TEXT)
RECORD = UnitRecord(
    Layer("rnn", "RNN", "sequence", 2, (4,)),
    0,
    STATISTICS,
    {
        "max": (Exemplar(0, 0, "t@8", None, 0.9, (3,)), Exemplar(1, 1, "t@8", None, 0.2, (2,))),
        "mean": (Exemplar(0, 2, "t@8", None, 0.2),),
        "quantile": (Exemplar(0, 3, "t@8", None, 0.0), Exemplar(1, 4, "t@8", None, 0.0)),
    },
    {},
)


def test_the_lowest_places_are_those_of_a_literal_loop_without_burn_in() -> None:
    found = [(one.example, one.score, one.position) for one in lowest_places(RECORD, EXAMPLES, TRACES)]
    assert found == [(1, -0.5, (1,)), (3, -0.5, (1,)), (0, -0.25, (2,))], "in example 2 it is nowhere below zero"
    many = {example: TRACES[3] - example for example in range(20)}
    far = STATISTICS | {"min": -30.0}
    shown = replace(RECORD, statistics=far, exemplars={"max": tuple(Exemplar(one, one, "", None, 0.0) for one in range(20))})
    lowest = lowest_places(shown, dict.fromkeys(many, TEXT), many)
    assert [one.example for one in lowest] == [19, 18, 17, 16, 15, 14][:PLACES]
    assert [one.rank for one in lowest] == list(range(PLACES))


def test_no_place_is_lower_than_the_minimum_on_the_data_though_values_at_steps_are_rounded() -> None:
    record = replace(RECORD, statistics=STATISTICS | {"min": -0.498, "max": 0.9})
    assert [one.score for one in lowest_places(record, EXAMPLES, TRACES)][:3] == [-0.498, -0.498, -0.25]


def test_units_that_are_hardly_negative_have_no_other_end() -> None:
    for low, high, told in ((-0.9, 1.0, True), (-0.4, 1.0, False), (0.0, 1.0, False), (-3.0, -1.0, True)):
        record = replace(RECORD, statistics=STATISTICS | {"min": low, "max": high})
        assert bool(lowest_places(record, EXAMPLES, TRACES)) == told, (low, high)
    assert lowest_places(RECORD, {}, TRACES) == lowest_places(RECORD, EXAMPLES, {}) == ()


def test_the_terminal_and_the_sheet_show_them(monkeypatch) -> None:
    steps = Steps(EXAMPLES, {example: trace for example, trace in TRACES.items() if example != 2})
    lines = describe(RECORD, [], steps).splitlines()
    start = lines.index(LOWEST)
    assert lines[start + 1 : start + 4] == [
        "  among all exemplars of the unit; its minimum on the data is −0.9000",
        " 1  −0.5000  step 1  t@8",
        "    a⟦b⟧cd",
    ]
    with_them = sequence_sheet(RECORD, [], steps, TEXTS)
    monkeypatch.setattr(low_end, "AS_FAR", 2.0)
    assert sequence_sheet(RECORD, [], steps, TEXTS).height < with_them.height
