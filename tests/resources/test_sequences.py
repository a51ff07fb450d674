"""The documents of a study of texts or series: every path leads somewhere, and each says what the study does."""

# Tolerances: documents have six significant digits, steps four; pictures are JPEG, off by a few grey levels.

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

import torchlurk
from torchlurk.resources.tree import Forest
from torchlurk.store.reading import Reader
from torchlurk.units import Unit


@pytest.fixture(params=["text", "series"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def reader(sequences, kind) -> Iterator[Reader]:
    with Reader(sequences[kind]) as reader:
        yield reader


@pytest.fixture
def document(reader, kind):
    """Reads a document by its path below the study."""
    forest = Forest([reader])
    return lambda path: json.loads(forest.find(f"{kind}/{path}").body)


def test_every_path_leads_to_strict_json_and_is_there_once(reader):
    def never(name):
        raise AssertionError(name)

    forest = Forest([reader])
    paths = list(forest.paths())
    assert len(paths) == len(set(paths)) > 40
    for path in paths:
        assert path.endswith(".json")
        json.loads(forest.find(path).body, parse_constant=never)


def test_the_study_tells_its_kind_and_its_inputs(document, kind):
    study = document("study.json")
    assert study["kind"] == kind
    assert study["inputs"] == {
        "axes": {"text": "bt", "series": "btc"}[kind],
        "window": None,
        "burn_in": None,
        "channels": [] if kind == "text" else ["heart rate", "speed", ""],
        "vocabulary_size": 39 if kind == "text" else None,
        **({} if kind == "text" else {"least_for_means": 4}),
    }
    assert study["input"] == ([33] if kind == "text" else [8, 3])
    assert document_layers(study)[:6] == ["rnn.l0", "rnn.l0.c", "rnn.l0.i", "rnn.l0.f", "rnn.l0.g", "rnn.l0.o"]


def document_layers(study):
    return [layer["name"] for layer in study["layers"]]


def test_an_example_has_its_tokens_or_its_channels(document, reader, kind):
    found, content = document("examples/3.json"), reader.sequence(3)
    assert (found["example"], found["class"], found["kind"]) == (3, "odd", kind)
    assert found["counted"] == list(content.counted)
    if kind == "text":
        assert found["path"] == "3.txt"
        assert found["counted"] == [8, 32]
        assert "".join(found["tokens"]) == "rain falls on the plain in spain"
        assert found["offsets"] == list(range(32))
    else:
        assert found["channels"] == ["heart rate", "speed", ""]
        np.testing.assert_allclose(np.array(found["values"]).T, content.values, rtol=1e-5)


def test_a_unit_has_steps_reaches_and_traces(document, reader, kind):
    found, unit = document("layers/0/units/1.json"), reader.unit(Unit("rnn.l0", 1))
    traces = reader.traces(Unit("rnn.l0", 1))
    for entry, one in zip(found["exemplars"]["max"], unit.exemplars["max"], strict=True):
        assert (entry["position"], entry["reach"]) == ([one.position[0]], [0, one.position[0] + 1])
        assert "box" not in entry
        assert entry.get("token") == one.token
        assert ("context" in entry) == (kind == "text")
        trace = found["traces"][str(one.example)]
        np.testing.assert_allclose(trace, traces[one.example], rtol=1e-3)
        assert int(np.argmax(trace[slice(*reader.sequence(one.example).counted)])) + reader.sequence(one.example).counted[
            0
        ] in (
            one.position[0],
            *np.flatnonzero(np.isclose(traces[one.example], one.score, atol=np.ptp(traces[one.example]) / 200)),
        )


def test_a_layer_has_the_strongest_step_of_each_unit(document, reader, kind):
    best = document("layers/0.json")["best"]
    for channel in range(5):
        one = reader.unit(Unit("rnn.l0", channel)).exemplars["max"][0]
        assert (best["example"][channel], best["step"][channel]) == (one.example, one.position[0])
        assert best["reach"][channel] == list(one.reach)
        if kind == "text":
            before, token, after = best["texts"][channel]
            assert (before, token, after) == (one.context[0], one.token, one.context[1])
        else:
            assert best["texts"][channel] is None
    assert best["box"] is None
    assert document("layers/0.json")["sheets"] == {}


def test_what_show_prints_of_a_unit_is_in_its_page(document, sequences, kind):
    page = document("layers/0/units/2.json")
    with torchlurk.open(sequences[kind]) as study:
        printed = study.unit("rnn.l0:2").to_json()
    for shown, entry in zip(printed["exemplars"]["max"], page["exemplars"]["max"], strict=True):
        assert shown.items() <= entry.items()


def test_a_unit_that_never_varies_has_no_strongest_example_and_no_class_anywhere(sequences, kind, tmp_path):
    path = shutil.copy(sequences[kind], tmp_path / f"{kind}.lurk")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE unit SET min = 0, max = 0, fraction_active = 0 WHERE layer = 0 AND channel = 1")
        db.commit()
    with Reader(path) as reader:
        forest = Forest([reader])
        layer, unit = (json.loads(forest.find(f"{kind}/{name}.json").body) for name in ("layers/0", "layers/0/units/1"))
        pages = [json.loads(forest.find(f"{kind}/classes/{index}.json").body) for index in (0, 1)]
    best = layer["best"]
    assert (best["example"][1], best["score"][1], best["step"][1], layer["best_class"][1]) == (-1, None, -1, -1)
    assert best["example"][0] >= 0 <= layer["best_class"][0]
    assert all(not found for of in (unit["exemplars"], unit["classes"]) for found in of.values())
    assert all(one["channel"] != 1 for page in pages for one in page["layers"][0]["units"])
    with torchlurk.open(path) as study:
        shown, row = study.unit("rnn.l0:1"), list(study.units("rnn.l0"))[1]
        assert not any(shown.exemplars(by) for by in ("max", "mean", "quantile"))
        assert not shown.attributions()
        assert not shown.classes()
        assert all(row[name] is None or row[name] != row[name] for name in row if name.startswith("best_")), "null, or NaN"
