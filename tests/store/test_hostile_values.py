"""Values that a study can hold and nobody expects: `check` has a line for each, every document is refused in one, and a study
beside it is served all the same.
"""

import io
import json

import pytest
from PIL import Image

from torchlurk.allowance import allowing, spend
from torchlurk.errors import OptionError, StudyError
from torchlurk.options import AttributeOptions
from torchlurk.rendering.encoding import decode
from torchlurk.resources.tree import Forest
from torchlurk.store import columns
from torchlurk.store.checking import check
from torchlurk.store.columns import DamageError
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer

LONG = "replace(hex(zeroblob(1000000)), '0', 'x')"

HOSTILE = [
    ("UPDATE exemplar SET x0 = 9223372036854775807 WHERE x0 >= 0", "lies outside"),
    ("UPDATE exemplar SET y1 = -9223372036854775808 WHERE y1 >= 0", "lies outside"),
    ("UPDATE run SET options = '{\"a\": NaN}'", "run.options is not JSON"),
    ("UPDATE run SET options = '{\"a\": 1e999}'", "run.options is not JSON"),
    ('UPDATE run SET options = \'{"a": "\\ud800"}\'', "run.options has half a character"),
    (f"UPDATE layer SET name = id || {LONG}", "layer.name is longer than 16,384 characters in 3 rows"),
    (f"UPDATE class SET label = {LONG}", "class.label is longer than 16,384 characters in 3 rows"),
    (
        "UPDATE meta SET value = json_set(value, '$.mean[0]', json('1' || replace(hex(zeroblob(200)), '0', '0')))"
        " WHERE key = 'preprocessing'",
        "meta.preprocessing is beyond all numbers",
    ),
    ("INSERT INTO effective_field VALUES (0, 9e999, 1)", "effective_field.height is not a finite number"),
    (
        "INSERT INTO synthesis SELECT 0, 0, 'a/b', sha256, 1, 1, 1, 1, NULL, 0, 1 FROM picture LIMIT 1",
        "synthesis.preset is not 1 to 64 letters, digits and _:.-",
    ),
    ("INSERT INTO method_check VALUES (0, 'ü', 1, 0)", "method_check.method is not 1 to 64 letters"),
]


@pytest.mark.parametrize(("sql", "problem"), HOSTILE)
def test_each_has_its_line_and_another_study_is_served(tampered, tmp_path, make, sql, problem):
    hostile, whole = tampered(sql), tmp_path / "whole.lurk"
    with Writer(whole) as writer:
        make.all(writer)
    assert any(problem in line for line in check(hostile).problems), check(hostile).problems
    with Reader(hostile) as one, Reader(whole) as other:
        forest = Forest([one, other])
        cards = json.loads(forest.find("studies.json").body)["studies"]
        assert cards[1]["units"] == 10
        assert len(cards[0].get("trouble", "")) < 300
        assert json.loads(forest.find("whole/study.json").body)
        assert not any(refusal(forest, f"whole/{path}") for path in PATHS)
        refused = [said for path in PATHS if (said := refusal(forest, f"small/{path}"))]
        assert refused
        assert not any("\n" in one for one in refused)


def refusal(forest, path):
    try:
        forest.find(path)
    except StudyError as error:
        return str(error)


PATHS = ["study.json", *(f"layers/{n}.json" for n in range(3)), "layers/0/units/0.json", "sheets/0-box-0.jpg", "classes/0.json"]


def test_an_input_of_absurd_size_costs_nothing(tampered):
    study = tampered("UPDATE meta SET value = '[3,5000,5000]' WHERE key = 'input_shape'")
    with Reader(study) as reader:
        (tree,) = Forest([reader]).trees.values()
        assert tree.find("sheets/0-box-0.jpg") is None
        assert not any(path.startswith("sheets/") for path in tree.paths())


def test_what_is_unpacked_for_one_answer_is_bounded():
    Image.new("L", (1000, 1000)).save(png := io.BytesIO(), "PNG")
    with allowing(pixels=2_500_000, bytes=5):
        decode(png.getvalue())
        decode(png.getvalue())
        with pytest.raises(StudyError, match="unpacks to more pixels"):
            decode(png.getvalue())
        spend(5, "bytes")
        with pytest.raises(StudyError, match="unpacks to more bytes"):
            spend(1, "bytes")
    spend(10**12, "bytes")


def test_many_large_pictures_on_one_sheet_are_found(tmp_path, make, monkeypatch):
    monkeypatch.setattr("torchlurk.store.picture_checking.PIXELS", 3 * make.side**2)
    path = tmp_path / "a.lurk"
    with Writer(path) as writer:
        make.all(writer)
    assert any("layer 'conv.0': sheet 0 of its strongest examples takes" in line for line in check(path).problems)


def test_names_that_addresses_cannot_have_are_refused():
    with pytest.raises(OptionError, match="--methods is 'a/b'"):
        AttributeOptions(methods=("a/b",))


@pytest.mark.parametrize("value", ["", "a b", "x" * 65, 3])
def test_a_word_is_a_part_of_an_address(value):
    with pytest.raises(DamageError):
        columns.word(value, "method")
