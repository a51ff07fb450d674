"""Sheets of units and layers on texts and series hold what the study does, at one scale, for any record."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Class, Exemplar, Layer, Ranking, StepAttribution, UnitRecord
from torchlurk.rendering import sequences
from torchlurk.rendering.colour import DARK, LIGHT, Theme
from torchlurk.rendering.contact_sheet import CONTENT, MARGIN
from torchlurk.rendering.known_tracks import known_lines
from torchlurk.rendering.labels import without_repeats
from torchlurk.rendering.sequences import (
    SERIES,
    TEXTS,
    Rows,
    sequence_example,
    sequence_layer_sheet,
    sequence_sheet,
)
from torchlurk.rendering.text import Steps
from torchlurk.track_records import Known, Track

LAYER = Layer("rnn.l0", "LSTM", "sequence", 8, (30,), -1, module="rnn", stream="l0")
VALUES = {"mean": 0.1, "std": 1.0, "max": 1.0, "min": -1.0, "fraction_active": 0.3, "selectivity": 0.7}
ROWS = {"text": TEXTS, "series": SERIES}


def content(kind: str, steps: int, seed: int = 0) -> TextExample | SeriesExample:
    rng = np.random.default_rng(seed)
    if kind == "text":
        return TextExample(tuple(rng.choice(list("abc \n"), steps)), tuple(range(steps)), (min(2, steps), steps))
    values = rng.normal(size=(steps, 3)).astype(np.float32)
    return SeriesExample(values, ("heart rate", "", "speed"), (min(2, steps), steps))


def unit(kind: str, k: int = 9, steps: int = 30) -> tuple[UnitRecord, Steps]:
    rng = np.random.default_rng(k)
    placed = tuple(Exemplar(i, i, f"{i}.x", f"class {i}", 1.0 - i, (min(i, steps - 1),), reach=(0, i + 1)) for i in range(k))
    plain = tuple(Exemplar(i, i, f"{i}.x", None, 1.0 - i) for i in range(k))
    classes = {by: rng.normal(size=4).astype(np.float32) for by in ("max", "mean")}
    sample = rng.normal(size=60).astype(np.float32)
    record = UnitRecord(LAYER, 3, VALUES, {"max": placed, "mean": plain, "quantile": plain}, classes, sample)
    traces = {i: rng.uniform(-1, 1, steps).astype(np.float32) for i in range(k)}
    return record, Steps({i: content(kind, steps, i) for i in range(k)}, traces)


KNOWN = (Known(Track("quotes", "auc", False, 90), 0.9, 0.6), Known(Track("column", "r", True, 90), -0.75, 0.25))


def test_what_a_unit_knows_is_on_its_sheet_in_the_words_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("torchlurk.rendering.known_list.write", lambda draw, place, words, *style: written.append(words))
    record, steps = unit("text")
    plain = sequence_sheet(record, CLASSES, steps, TEXTS)
    assert not written
    known = sequence_sheet(replace(record, knows=KNOWN), CLASSES, steps, TEXTS)
    assert written == [line.removeprefix("  ") for line in known_lines(KNOWN)[1:]]
    assert known.height > plain.height


def test_which_way_round_a_unit_tells_a_track_is_told_with_or_without_words_for_it() -> None:
    tracks = (
        Track("quotes", "auc", True, 9),
        Track("column", "r", True, 9),
        Track("noun", "auc", True, 9),
        Track("level", "r", True, 9),
    )
    known = [Known(track, 0.1 if track.measure == "auc" else -0.9, 0.5) for track in tracks]
    ends = {line.split()[0]: line.split(")", 1)[1].strip() for line in known_lines(known)[1:-1]}
    assert ends == {
        "quotes*": "lower: inside quotation marks",
        "column*": "falls with: characters since the line began",
        "noun*": "lower where it holds",
        "level*": "falls with it",
    }


def test_what_is_measured_of_the_first_exemplar_is_told_as_the_first_s(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    drawn = sequences.titled
    monkeypatch.setattr(sequences, "titled", lambda title, note, *rest: notes.append(note) or drawn(title, note, *rest))
    record, steps = unit("series", 3)
    first, *others = record.exemplars["max"]
    measured = {"max": (replace(first, last_steps=((1, 0.25),)), *others)}
    made = [StepAttribution("max", rank, "lrp", np.ones((30, 3), np.float32), math.nan if rank else 0.5) for rank in range(3)]
    sequence_sheet(replace(record, exemplars=measured), CLASSES, replace(steps, attributions=made), SERIES)
    assert notes[0].endswith("of the first: the nearest steps alone keep 25 % (1)")
    assert notes[1] == "of the first: top tenth keeps 50 %"


CLASSES = [Class(i, f"n{i}", f"class {i}") for i in range(4)]


@pytest.fixture(params=["text", "series"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rows(kind: str) -> Rows:
    return ROWS[kind]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_same_unit_gives_the_same_bytes(kind: str, rows: Rows, theme: Theme) -> None:
    first, again = (sequence_sheet(unit(kind)[0], CLASSES, unit(kind)[1], rows, theme=theme) for _ in range(2))
    assert first.width == CONTENT + 2 * MARGIN
    assert first.tobytes() == again.tobytes()
    assert first.getpixel((0, 0)) == theme.ground


@pytest.mark.slow
def test_all_of_a_sheet_has_one_scale(kind: str, rows: Rows) -> None:
    record, steps = unit(kind, 2)
    bright, faint = steps.traces[0] * 0 + 1, steps.traces[1] * 0 + 0.5
    both = np.asarray(sequence_sheet(record, [], Steps(steps.examples, {0: bright, 1: faint}), rows))
    alone = np.asarray(sequence_sheet(record, [], Steps(steps.examples, {1: faint}), rows))
    half = np.array([128, 175, 220])
    assert (np.abs(both.astype(int) - half).sum(axis=2) < 4).sum() > 100
    assert (both == LIGHT.accent).all(axis=2).sum() > 100
    assert (np.abs(alone.astype(int) - half).sum(axis=2) < 4).sum() < 100, "alone it is the strongest"


@pytest.mark.parametrize(("k", "steps"), [(0, 5), (1, 1), (3, 0), (2, 400), (20, 12)])
def test_any_number_of_exemplars_and_steps_fits(kind: str, rows: Rows, k: int, steps: int) -> None:
    sheet = sequence_sheet(*unit(kind, k, max(steps, 1))[:1], CLASSES, unit(kind, k, steps)[1], rows)
    assert sheet.width == CONTENT + 2 * MARGIN


def test_what_is_not_there_is_left_out(kind: str, rows: Rows) -> None:
    record, steps = unit(kind)
    full = sequence_sheet(record, CLASSES, steps, rows)
    bare = replace(record, classes={}, sample=np.zeros(0, np.float32))
    assert sequence_sheet(bare, [], Steps({}, {}), rows).height < full.height
    untraced = sequence_sheet(record, CLASSES, Steps(steps.examples, {}), rows)
    assert untraced.height < full.height, "no legend, and no bands"
    mixed = {**steps.traces, 0: np.full(30, np.nan, np.float32), 1: np.full(30, np.inf, np.float32)}
    sequence_sheet(record, CLASSES, Steps({one: steps.examples[one] for one in range(4)}, mixed), rows)


def test_hostile_places_do_no_harm(kind: str, rows: Rows) -> None:
    record, steps = unit(kind, 4)
    places = [((29,), (-9, 99)), ((99,), (50, 40)), ((0,), (99, 99)), ((), None)]
    wrong = tuple(
        replace(one, position=position, reach=reach)
        for one, (position, reach) in zip(record.exemplars["max"], places, strict=True)
    )
    sequence_sheet(replace(record, exemplars={"max": wrong}), CLASSES, steps, rows)


@pytest.mark.parametrize("units", [0, 1, 7, 130])
def test_a_layer_of_any_width_is_drawn_the_same_each_time(kind: str, rows: Rows, units: int) -> None:
    layer = replace(LAYER, channels=units)
    examples = np.arange(units, dtype=np.int64)[:, None] % 5
    places = np.tile(np.array([0, 0, 4, 1], np.int32), (units, 1, 1))
    best = Ranking(np.ones((units, 1), np.float32), examples, np.full((units, 1), 3, np.int32), places)
    steps = {one: Steps({one % 5: content(kind, 30)}, {one % 5: np.ones(30, np.float32)}) for one in range(units)}
    first, again = (sequence_layer_sheet(layer, best, steps, rows, dead=[0, 5]) for _ in range(2))
    assert first.width == CONTENT + 2 * MARGIN
    assert first.tobytes() == again.tobytes()


def test_a_dead_unit_and_one_without_example_have_no_text(rows: Rows, kind: str) -> None:
    best = Ranking(np.array([[1.0], [math.nan]], np.float32), np.array([[0], [-1]]), np.zeros((2, 1), np.int32), None)
    steps = {0: Steps({0: content(kind, 30)}, {0: np.ones(30, np.float32)})}

    def coloured(**given: Any) -> int:
        sheet = np.asarray(sequence_layer_sheet(replace(LAYER, channels=2), best, steps, rows, **given))
        return int((sheet[150:] == LIGHT.accent).all(axis=2).sum())

    assert coloured(dead=[0]) == 0
    assert coloured() > 100


def test_channels_that_are_not_drawn_are_counted() -> None:
    record, _ = unit("series", 1)
    wide = SeriesExample(np.zeros((4, 64), np.float32), ("",) * 64, (0, 4))
    narrow = SeriesExample(np.zeros((4, 16), np.float32), ("",) * 16, (0, 4))
    sheets = [sequence_sheet(record, [], Steps({0: one}, {}), SERIES) for one in (wide, narrow)]
    assert sheets[0].size == sheets[1].size
    assert sheets[0].tobytes() != sheets[1].tobytes(), "the note says that there are more"


@pytest.mark.parametrize("steps", [0, 1, 30, 20_000])
def test_an_example_alone_is_drawn(kind: str, steps: int) -> None:
    picture = sequence_example(content(kind, steps))
    assert max(picture.size) < 2000


def test_a_unit_with_one_value_per_example_is_not_shown_twice(kind: str, rows: Rows) -> None:
    record, steps = unit(kind, 2)
    vector = replace(record, layer=replace(LAYER, layout="vector", shape=()))
    alone = replace(record, exemplars={**record.exemplars, "mean": ()}, classes={"max": record.classes["max"]})
    heights = [sequence_sheet(one, CLASSES, steps, rows).height for one in (vector, alone, record)]
    assert heights[0] == heights[1] < heights[2]
    assert set(without_repeats(vector).classes) == {"max"}
    assert without_repeats(record) is record
