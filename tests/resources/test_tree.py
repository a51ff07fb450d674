"""The tree of resources: every path leads somewhere, every document says what the study says."""

# Tolerances: documents have six significant digits, steps four; pictures are JPEG, off by a few grey levels.

import io
import json
import shutil
import sqlite3

import numpy as np
import pytest
from PIL import Image

import torchlurk
from torchlurk.errors import StudyError
from torchlurk.records import ALIKE
from torchlurk.resources.relations import layer_nodes, neighbours
from torchlurk.resources.tree import Forest
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer


@pytest.fixture(scope="module")
def forest(demo):
    with Reader(demo) as reader:
        yield Forest([reader])


@pytest.fixture(scope="module")
def everything(forest):
    """All resources by path."""
    return {path: forest.find(path) for path in forest.paths()}


@pytest.fixture(scope="module")
def document(everything):
    """Reads a document by its path below the study."""
    return lambda path: json.loads(everything[f"demo/{path}"].body)


@pytest.fixture
def copy(demo, tmp_path):
    """A study to change."""
    return shutil.copy(demo, tmp_path / "copy.lurk")


def strings(value):
    """All texts in a document."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


@pytest.mark.slow
def test_every_path_leads_somewhere_and_is_there_once(forest, everything):
    paths = list(forest.paths())
    assert len(paths) == len(set(paths)) > 300
    assert all(found is not None and found.body for found in everything.values())


def test_every_document_is_strict_json(everything):
    def never(name):
        raise AssertionError(name)

    documents = [found for path, found in everything.items() if path.endswith(".json")]
    for found in documents:
        assert found.media_type == "application/json"
        json.loads(found.body, parse_constant=never)


def test_every_picture_that_a_document_names_is_there(everything):
    named = set()
    for path, found in everything.items():
        if path.endswith(".json"):
            below = "" if path == "studies.json" else f"{path.split('/')[0]}/"
            for text in strings(json.loads(found.body)):
                if text.startswith(("pictures/", "sheets/")):
                    named.add((below or "demo/") + text)
    assert len(named) > 50
    assert named <= set(everything)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "demo",
        "demo/",
        "demo/layers/99.json",
        "demo/layers/0.json/",
        "demo/layers/0/units/16.json",
        "demo/layers/0/units/-1.json",
        "demo/layers/999999999999.json",
        "demo/classes/20.json",
        f"demo/pictures/{'0' * 64}.png",
        "demo/pictures/../../etc/passwd",
        "demo/sheets/0-box-1.jpg",
        "demo/sheets/0-nothing-0.jpg",
        "demo/sheets/0-attribution-guided-0.jpg",
        "other/study.json",
        "../demo.lurk",
        "demo/study.json\0",
        "demo/layers/٣.json",
        "demo/layers/00.json",
    ],
)
def test_nothing_is_where_nothing_is_said_to_be(forest, path):
    assert forest.find(path) is None


def test_a_picture_is_found_under_its_own_ending_only(forest, everything):
    path = next(path for path in everything if path.endswith(".png"))
    assert forest.find(path[:-3] + "jpg") is None


def test_the_list_tells_of_each_study(everything):
    (card,) = json.loads(everything["studies.json"].body)["studies"]
    assert (card["slug"], card["model"], card["examples"], card["layers"]) == ("demo", "demo", 60, 6)
    assert card["units"] == 16 + 4 * 32 + 20
    assert 1 <= len(card["cover"]) <= 6


def test_the_study_tells_of_its_layers_classes_and_stages(document):
    study = document("study.json")
    assert [layer["name"] for layer in study["layers"]][::5] == ["stem.0", "head"]
    assert [layer["id"] for layer in study["layers"]] == list(range(6))
    assert sum(one["examples"] for one in study["classes"]) == 60
    assert (study["stages"][0]["stage"], study["stages"][0]["finished"] is not None) == ("scan", True)
    assert study["stages"][0]["covers"]["layers"] == [6, 6]
    assert (study["methods"], study["presets"]) == (["gradient", "guided"], ["lucid"])


def test_a_unit_is_what_show_prints_and_more(demo, document):
    with torchlurk.open(demo) as study:
        shown = study.unit("block1:3").to_json()
    unit = document("layers/4/units/3.json")
    for key in ("layer", "channel", "layout", "shape", "statistics"):
        assert unit[key] == shown[key]
    for kind in ("max", "mean"):
        for entry, told in zip(unit["exemplars"][kind], shown["exemplars"][kind], strict=True):
            assert told.items() <= entry.items()
            assert entry["picture"].startswith("pictures/")
        assert [{"class": one["class"], "value": one["value"]} for one in unit["classes"][kind]] == shown["classes"][kind]


def test_columns_say_what_the_units_say(document):
    layer = document("layers/4.json")
    for channel in range(32):
        unit = document(f"layers/4/units/{channel}.json")
        for name, column in layer["statistics"].items():
            assert column[channel] == pytest.approx(unit["statistics"][name], rel=1e-5)
        assert layer["best"]["example"][channel] == unit["exemplars"]["max"][0]["example"]
        assert layer["best_class"][channel] == unit["classes"]["max"][0]["index"]
        assert layer["second_class"][channel] == unit["classes"]["max"][1]["index"]
        (synthesis,) = unit["images"]["syntheses"]
        assert layer["syntheses"]["lucid"]["ratio"][channel] == synthesis["ratio_to_best_exemplar"]
        assert layer["syntheses"]["lucid"]["marked"][channel] == synthesis["marked"]
    assert layer["checks"] == {"guided": {"similarity": 0.93, "marked": True, "limit": ALIKE}}


def test_similar_units_are_those_that_correlate_over_the_sample(demo, document):
    with Reader(demo) as reader:
        responses = reader.samples("block1").astype(np.float64)
    for channel in (0, 5, 31):
        told = document(f"layers/4/units/{channel}.json")["similar"]["coactivation"]
        expected = {}
        for other in range(32):
            if other != channel and responses[channel].std() > 0 and responses[other].std() > 0:
                expected[other] = np.corrcoef(responses[channel], responses[other])[0, 1]
        best = sorted(expected.items(), key=lambda one: -one[1])[: len(told)]
        assert [one["value"] for one in told] == pytest.approx([round(value, 4) for _, value in best], abs=2e-4)
        assert {one["channel"] for one in told} == {other for other, _ in best}


def test_what_feeds_a_unit_lies_in_the_layers_before(document):
    names = {layer["id"]: layer["name"] for layer in document("study.json")["layers"]}
    unit = document("layers/2/units/4.json")
    assert unit["layer"] == "block1.conv2"
    assert {one["name"] for one in unit["before"]} == {"block1.conv1"}
    assert all(names[one["layer"]] == one["name"] for one in unit["before"] + unit["after"])


def test_a_class_names_the_units_that_stand_out_for_it(demo, document):
    with Reader(demo) as reader:
        profiles = reader.class_profiles("head")[0].astype(np.float64)
    here = document("classes/3.json")
    (layer,) = (one for one in here["layers"] if one["name"] == "head")
    contrast = []
    for row in profiles:
        known = ~np.isnan(row)
        others = row[known & (np.arange(20) != 3)]
        contrast.append((row[3] - others.mean()) / row[known].std())
    order = sorted(range(20), key=lambda unit: -contrast[unit])[: len(layer["units"])]
    assert [one["channel"] for one in layer["units"]] == order
    assert [one["contrast"] for one in layer["units"]] == pytest.approx([contrast[unit] for unit in order], abs=2e-3)
    assert here["examples"][0]["picture"].startswith("pictures/")


def tile(everything, sheets, channel):
    """The tile of a channel, as the app finds it."""
    number, place = divmod(channel, sheets["per_sheet"])
    sheet = Image.open(io.BytesIO(everything[f"demo/{sheets['sheets'][number]}"].body))
    side, columns = sheets["tile"], sheets["columns"]
    x, y = place % columns * side, place // columns * side
    return np.asarray(sheet.crop((x, y, x + side, y + side)), np.float64)


@pytest.mark.parametrize("channel", [0, 17, 31])
def test_a_tile_shows_what_it_says(document, everything, channel):
    views = document("layers/4.json")["sheets"]
    assert list(views) == ["box", "whole", "attribution-gradient", "attribution-guided", "synthesis-lucid"]
    best = document(f"layers/4/units/{channel}.json")["exemplars"]["max"][0]
    picture = Image.open(io.BytesIO(everything[f"demo/{best['picture']}"].body)).convert("RGB")
    assert tile(everything, views["whole"], channel).mean() == pytest.approx(np.asarray(picture).mean(), abs=3)
    middle = tile(everything, views["box"], channel)[24:48, 24:48].mean()
    box = np.asarray(picture.crop(best["box"]), np.float64)
    inner = box[len(box) // 3 : len(box) - len(box) // 3, box.shape[1] // 3 : box.shape[1] - box.shape[1] // 3].mean()
    assert middle == pytest.approx(inner, abs=12)
    assert tile(everything, views["attribution-guided"], channel)[36, 36] == pytest.approx(40 + channel, abs=3)
    mixed = ((250 - channel) + 128) / 2
    assert tile(everything, views["synthesis-lucid"], channel)[30:42, 30:42].mean() == pytest.approx(mixed, abs=4)


def test_first_kernels_are_drawn_around_grey(demo, document, everything):
    study = document("study.json")
    assert [layer["kernels"] for layer in study["layers"]] == [True, *[False] * 5]
    views = document("layers/0.json")["sheets"]
    with Reader(demo) as reader:
        weights = reader.kernels("stem.0")
    for channel in (0, 9):
        kernel = weights[channel] / np.abs(weights[channel]).max()
        drawn = tile(everything, views["kernel"], channel)
        side, cell = kernel.shape[-1], 72 // kernel.shape[-1]
        for y in range(side):
            for x in range(side):
                middle = drawn[y * cell + cell // 2, x * cell + cell // 2].mean()
                assert middle == pytest.approx(128 + 127 * kernel[:, y, x].mean(), abs=8)


def test_two_studies_of_one_name_have_addresses_of_their_own(demo, tmp_path):
    other = tmp_path / "de mo.lurk"
    shutil.copy(demo, other)
    (tmp_path / "x").mkdir()
    shutil.copy(demo, tmp_path / "x" / "demo.lurk")
    readers = [Reader(path) for path in (demo, tmp_path / "x" / "demo.lurk", other)]
    try:
        assert list(Forest(readers).trees) == ["demo", "demo-2", "de-mo"]
    finally:
        for reader in readers:
            reader.close()


def test_what_is_written_meanwhile_is_seen(copy):
    with Reader(copy) as reader:
        forest = Forest([reader])
        before = json.loads(forest.find("copy/layers/4.json").body)
        with Writer(copy) as writer:
            writer.write_effective_field("block1", 1.25, 2.5)
        assert before["effective_field"] == [7.5, 8.0]
        assert json.loads(forest.find("copy/layers/4.json").body)["effective_field"] == [1.25, 2.5]


def spoilt(path, statements):
    with sqlite3.connect(path) as db:
        db.executescript(f"PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1; {statements}")
    db.close()


def bomb(side):
    """A small file that says it is a huge picture."""
    Image.new("L", (side, side)).save(file := io.BytesIO(), "PNG")
    return file.getvalue().hex()


HOSTILE = {
    "half a character": "UPDATE layer SET read_after = '[\"\\ud800\"]'",
    "NaN in options": "UPDATE run SET options = '{\"a\": NaN}'",
    "options without bottom": f"UPDATE run SET options = '{{\"a\": {'[' * 900}{']' * 900}}}'",
    "a billion channels": "UPDATE layer SET channels = 2147483647",
    "a huge input": "UPDATE meta SET value = '[3,100000,100000]' WHERE key = 'input_shape'",
    "an input without sides": "UPDATE meta SET value = '[3]' WHERE key = 'input_shape'",
    "classes with gaps": "UPDATE class SET id = id + 70 WHERE id > 3",
    "text for numbers": "PRAGMA writable_schema = 1; UPDATE class_profile SET max = x'00'",
    "responses cut short": "UPDATE response SET sample = x'0000'",
    "a bomb for a picture": f"UPDATE picture SET data = x'{bomb(6000)}', media_type = 'image/png'",
    "no picture at all": "UPDATE picture SET data = x'3c68746d6c3e'",
    "examples that are not there": "UPDATE exemplar SET example = 4611686018427387904",
    "boxes anywhere": "UPDATE exemplar SET x0 = -999999999, x1 = 999999999, y0 = 5, y1 = 4 WHERE x0 IS NOT NULL",
    "a graph in circles": "UPDATE edge SET target = source",
    "no graph": "DELETE FROM edge; DELETE FROM node",
    "units missing": "DELETE FROM unit WHERE channel = 3",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_study_is_answered_or_called_damaged(copy, what):
    spoilt(copy, HOSTILE[what])
    with Reader(copy) as reader:
        forest = Forest([reader])
        asked = [
            "studies.json",
            "copy/study.json",
            "copy/layers/4.json",
            "copy/layers/0/units/3.json",
            "copy/layers/4/units/3.json",
            "copy/classes/0.json",
            "copy/classes/9.json",
            *(f"copy/sheets/4-{view}-0.jpg" for view in ("box", "whole", "attribution-guided", "synthesis-lucid")),
        ]
        for path in asked:
            try:
                found = forest.find(path)
            except StudyError:  # anything else fails the test
                continue
            if found is not None and path.endswith(".json"):
                json.loads(found.body)
        assert json.loads(forest.find("studies.json").body)["studies"][0]["slug"] == "copy"


def test_streams_of_one_module_have_its_neighbours(sequences):
    with Reader(sequences["text"]) as reader:
        layers, graph = reader.layers(), reader.graph()
        nodes = layer_nodes(graph, layers)
        assert {nodes[one.name] for one in layers if one.module} == {nodes["rnn.l0"]}
        around = neighbours(graph, layers)
    assert around["rnn.l0.f"] == around["rnn.l0"]
    assert around["head"][0] == tuple(one.name for one in layers if one.module)
