"""Attributions on texts and series in words, in a terminal's colours, and on a contact sheet."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Exemplar, Layer, StepAttribution, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.marks import Marks, marks_of
from torchlurk.rendering.sequences import SERIES, sequence_sheet
from torchlurk.rendering.series_lines import draw_series, ranges_of
from torchlurk.rendering.step_attributions import AttributedSteps, attributed_marks
from torchlurk.rendering.step_words import (
    AGAINST,
    FOR,
    PLAIN,
    STRONG,
    Painted,
    evidence_of,
    in_terminal,
    last_steps_words,
    steps_words,
)
from torchlurk.rendering.text import Steps

TEXT = TextExample(tuple("ab\x1b[31mc\nd"), (), (2, 9))
EXEMPLAR = Exemplar(0, 3, "a.txt", None, 0.5, (6,), reach=(0, 7), last_steps=((1, 0.25), (4, 1.1)))

STATISTICS = {"fraction_active": 0.5, "max": 0.5, "min": 0.0}


def attribution(numbers: list[float], **given) -> StepAttribution:
    return StepAttribution("max", 0, "lrp", np.array(numbers, np.float32)[:, None], **given)


def test_the_largest_steps_are_told_with_the_evidence_for_them():
    found = attribution([0, 0.2, 0, 0, 0, 0, -0.4, 0.1, 0, 0], kept=0.5, conserved=-0.25)
    assert in_terminal(found, TEXT, 6, 60, coloured=False) == [
        "lrp: −0.4000 'm'  +0.2000 'b'  +0.1000 'c'",
        "top tenth keeps 50 %, −25 % at the input, 125 % elsewhere",
    ]
    assert in_terminal(found, TEXT, 6, 40, coloured=False)[0] == "lrp: −0.4000 'm'  +0.2000 'b'"
    for almost in (0.99999, 1.00001):
        assert evidence_of(attribution([0], conserved=almost)) == ["100 % at the input, 0 % elsewhere"]
    assert last_steps_words(EXEMPLAR) == "the nearest steps alone keep 25 % (1), 110 % (4)"


def test_shares_of_an_activation_next_to_nothing_are_not_told():
    found, exemplar = (
        attribution([0, 0.2, 0, 0, 0, 0, -0.4, 0.1, 0, 0], kept=46.13, conserved=-9.0),
        replace(EXEMPLAR, faint=True),
    )
    assert in_terminal(found, TEXT, 6, 60, coloured=False, exemplar=exemplar)[1:] == [labels.FAINT]
    assert evidence_of(attribution([0]), exemplar) == [], "nothing was measured"
    assert last_steps_words(exemplar) == labels.FAINT
    assert not last_steps_words(replace(exemplar, last_steps=()))
    assert AttributedSteps(found, exemplar, TEXT).evidence() == ["activation 0.5000", labels.FAINT], "once"


def test_colours_tell_the_sign_and_nothing_of_the_text_gets_to_the_terminal_as_a_code():
    found = attribution([0, 0.2, 0, 0, 0, 0, -0.4, 0.01, 0, 0])
    line = in_terminal(found, TEXT, 6, 60, coloured=True)[1]
    assert isinstance(line, Painted)
    assert f"{STRONG}{FOR}b{PLAIN}" in line
    assert f"{STRONG}{AGAINST}m{PLAIN}" in line
    codes = (STRONG, FOR, AGAINST, PLAIN)
    bare = line
    for code in codes:
        bare = bare.replace(code, "")
    assert "\x1b" not in bare
    assert "[31mc" in bare  # as they stand in the text, without what would make them a code


def test_a_series_is_told_by_the_sum_over_its_channels():
    series = SeriesExample(np.zeros((3, 2), np.float32), ("", ""), (0, 3))
    found = StepAttribution("max", 0, "gradient", np.array([[1, -1], [2, 1], [0, -1.5]], np.float32))
    words, blocks = in_terminal(found, series, 0, 60, coloured=True)
    assert words == "gradient, summed over channels: +3.000 step 1  −1.500 step 2"
    assert blocks.endswith(f"▁{STRONG}{FOR}█{PLAIN}{STRONG}{AGAINST}▅{PLAIN}")


def test_burn_in_is_coloured_by_what_excited_the_unit():
    marks = attributed_marks(marks_of(EXEMPLAR, TEXT, None), TEXT, attribution([1] * 10))
    assert marks.counts(0)
    assert marks.values.tolist() == [1] * 10


@pytest.mark.parametrize("content", [TEXT, SeriesExample(np.zeros((10, 1), np.float32), ("",), (0, 10))])
def test_what_excited_a_layer_with_fewer_positions_is_marked_at_the_step_that_its_position_stands_for(content, monkeypatch):
    drawn = []
    for drawing in ("draw_series", "draw_lines"):
        monkeypatch.setattr(
            f"torchlurk.rendering.step_attributions.{drawing}", lambda *given, **_: drawn.append(given) or blank
        )
    blank, trace = Image.new("RGB", (9, 9)), np.arange(5, dtype=np.float32)
    exemplar, found = replace(EXEMPLAR, position=(3,)), attribution([1] * 10)
    AttributedSteps(found, exemplar, content, trace=trace).picture()
    (given,) = drawn
    assert next(one.strongest for one in given if isinstance(one, Marks)) == (6, 8)

    record = UnitRecord(Layer("a", "Conv1d", "sequence", 1, (5,)), 0, STATISTICS, {"max": (exemplar,)}, {}, trace)
    steps, rows = Steps({3: content}, {3: trace}, attributions=[found]), []
    sequence_sheet(record, [], steps, replace(SERIES, exemplars=lambda shown, *_: rows.append(shown[0].step) or blank))
    assert rows == ["step 6", "step 6"]


def test_a_series_lies_on_the_colours_of_its_numbers_and_its_lines_are_whole_where_these_are_small():
    series = SeriesExample(np.array([[0, 0], [1, 1], [0, 0]], np.float32), ("", ""), (0, 3))
    bare = marks_of(Exemplar(0, 0, "", None, 1.0), series, None)
    marks = attributed_marks(bare, series, StepAttribution("max", 0, "lrp", np.zeros((3, 2), np.float32)))
    tints = np.array([[1, -1]] * 3, np.float32)
    image = np.asarray(draw_series(series, marks, ranges_of([series]), 1.0, 60, 30, tints=tints), int)
    distance = [
        np.abs(image[rows] - colour).sum(-1).min()
        for rows, colour in ((slice(30), LIGHT.accent), (slice(30, 60), LIGHT.opposite))
    ]
    assert max(distance) < 40
    faint = np.asarray(draw_series(series, marks, ranges_of([series]), 1.0, 60, 30, tints=tints / 9), int)
    line = np.abs(faint[:30] - LIGHT.ink).sum(-1).min(axis=0)
    assert line[12:48].max() < 200, "between the first and the last step each column has the line's ink"


@pytest.mark.parametrize("kind", ["text", "series"])
def test_a_notebook_draws_one_with_its_evidence(kind):
    content = TEXT if kind == "text" else SeriesExample(np.zeros((10, 1), np.float32), ("",), (0, 10))
    one = AttributedSteps(attribution([0, 1, 0, 0, 0, 0, -1, 0, 0, 0], kept=0.4), EXEMPLAR, content)
    assert one._repr_png_().startswith(b"\x89PNG")
    assert one.evidence() == ["activation 0.5000", "top tenth keeps 40 %", "the nearest steps alone keep 25 % (1), 110 % (4)"]
    assert math.isnan(one.record.conserved)


def test_a_reach_is_told_with_its_last_step_as_in_the_app() -> None:
    assert [steps_words(one) for one in ((0, 69), (5, 6), (0, 0))] == ["steps 0–68", "step 5", "no step"]
