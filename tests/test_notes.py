"""`torchlurk note`, `study.note` and what tells of notes: `show`, documents, exports."""

import json
import shutil

import pytest
from click.testing import CliRunner

import torchlurk
from torchlurk.cli import torchlurk_command
from torchlurk.errors import OptionError, TorchlurkError, UnitError
from torchlurk.store.checking import check


@pytest.fixture
def study(demo, tmp_path):
    """A study to write to."""
    return shutil.copy(demo, tmp_path / "demo.lurk")


def call(*arguments):
    """What a command prints; its error is raised."""
    done = CliRunner().invoke(torchlurk_command, [*map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_unit_is_named_starred_and_noted_and_shown_so(study):
    assert call("note", study, "block1:3", "--name", "wheels", "--star") == "block1:3  ★ wheels\n"
    assert (
        call("note", study, "block1:3", "--text", "also rims\n\nand plates")
        == "block1:3  ★ wheels\n  also rims\n\n  and plates\n"
    )
    shown = call("show", study, "block1:3").splitlines()
    assert shown[0] == "block1:3   ★ wheels"
    assert "also rims" in shown
    told = json.loads(call("show", study, "block1:3", "--json"))["remark"]
    assert told.pop("written")
    assert told == {"name": "wheels", "text": "also rims\n\nand plates", "starred": True}
    assert json.loads(call("show", study, "block1:4", "--json"))["remark"] is None
    assert "1 noted units" in call("check", study)


def test_without_options_notes_are_shown(study):
    assert call("note", study) == "nothing is noted\n"
    assert call("note", study, "block1:3") == "block1:3: nothing is noted\n"
    call("note", study, "head:1", "--name", "dogs")
    call("note", study, "block1:3", "--star")
    assert call("note", study) == "block1:3  ★\nhead:1  dogs\n"
    assert call("note", study, "head:1") == "head:1  dogs\n"
    assert call("note", study, "head:1", "--name", "") == "head:1: nothing is noted\n"
    assert call("note", study, "block1:3", "--unstar") == "block1:3: nothing is noted\n"
    assert call("note", study) == "nothing is noted\n"


def test_notes_go_to_another_study_and_come_back_the_same(study, demo, tmp_path):
    call("note", study, "block1:3", "--name", "wheels", "--text", "rims")
    call("note", study, "head:1", "--star")
    file = tmp_path / "notes.json"
    assert call("note", study, "--export", file) == f"wrote {file}: 2 notes\n"
    other = shutil.copy(demo, tmp_path / "other.lurk")
    call("note", other, "block1:3", "--star")
    call("note", other, "block1:4", "--star")
    assert call("note", other, "--import", file) == f"{other}: 2 notes taken over\n"
    with torchlurk.open(study) as here, torchlurk.open(other) as there:
        assert there.remarks == here.remarks | {"block1:4": there.remarks["block1:4"]}


def test_notes_on_units_of_another_network_are_left_out_and_named(study, tmp_path):
    file = tmp_path / "notes.json"
    file.write_text(json.dumps({"remarks": [{"unit": "block1:3", "name": "wheels"}, {"unit": "gone:0", "starred": True}]}))
    assert "skipped, because the study has no such units: gone:0" in call("note", study, "--import", file)
    with torchlurk.open(study) as opened:
        assert list(opened.remarks) == ["block1:3"]


WRONG_FILES = [
    ("[", "is not JSON"),
    ("[]", "has no list of 'remarks'"),
    ('{"remarks": [3]}', "remark 0: it names no 'unit'"),
    ('{"remarks": [{"unit": "block1"}]}', "remark 0: 'block1' is not a unit"),
    ('{"remarks": [{"unit": "block1:1", "colour": 1}]}', "remark 0: 'colour' is not one of its keys"),
    ('{"remarks": [{"unit": "block1:1", "starred": 1}]}', "remark 0: 'starred' is not one of its keys, or of another type"),
    ('{"remarks": [{"unit": "block1:1", "written": "soon"}]}', "remark 0: 'written' is 'soon'"),
    ('{"remarks": [{"unit": "block1:1", "name": "%s"}]}' % ("x" * 101), "remark 0: the name has 101 characters"),
    ('{"remarks": [{"unit": "block1:1"}, {"unit": "block1:1"}]}', "remark 1: block1:1 has one already"),
    ('{"remarks": [{"unit": "gone:1", "name": "a"}]}', "is of units that .* does not have: gone:1"),
]


@pytest.mark.parametrize(("content", "said"), WRONG_FILES)
def test_a_file_that_holds_no_notes_is_refused_and_says_where(study, tmp_path, content, said):
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(OptionError, match=said):
        call("note", study, "--import", tmp_path / "notes.json")
    with torchlurk.open(study) as opened:
        assert opened.remarks == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "x"], "no UNIT was given"),
        (["block1:3", "--import", "a.json"], "--import is for all notes"),
        (["--export", "a.json", "--star"], "--export is for all notes"),
        (["--import", "a.json", "--export", "b.json"], "given together"),
        (["--import", "nowhere.json"], "cannot be read"),
        (["--export", "a.txt"], "does not end in .json"),
        (["block1"], "is not a unit"),
        (["block1:99", "--star"], "has no channel 99"),
        (["blok1:9"], "no layer 'blok1'"),
        (["block1:3", "--name", "a\x1b[0m"], "characters that cannot be shown"),
    ],
)
def test_wrong_uses_are_one_line(study, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(TorchlurkError, match=said) as told:
        call("note", study, *arguments)
    assert "\n" not in str(told.value)


def test_notes_in_python(study):
    with torchlurk.open(study) as opened:
        unit = opened.unit("block1:3")
        assert not unit.remark.starred
        written = opened.note("block1:3", name="wheels", starred=True)
        assert unit.remark == written == opened.remarks["block1:3"]
        assert (written.name, written.text, written.starred) == ("wheels", "", True)
        assert opened.note(unit, text="rims").name == "wheels"
        assert unit.to_json()["remark"]["text"] == "rims"
        with pytest.raises(UnitError, match="has no channel 99"):
            opened.note("block1:99", name="x")
        assert opened.note(unit, name="", text="", starred=False) == unit.remark
        assert opened.remarks == {}
    assert check(study).problems == ()


def test_one_unit_under_two_names_in_a_file_is_refused_and_nothing_is_taken_over(sequences, tmp_path):
    study, file = tmp_path / "text.lurk", tmp_path / "notes.json"
    shutil.copy(sequences["text"], study)
    file.write_text(json.dumps({"remarks": [{"unit": "rnn:1", "name": "one"}, {"unit": "rnn.l0:1", "name": "two"}]}))
    with pytest.raises(OptionError, match=r"mean the same unit, rnn\.l0:1"):
        call("note", study, "--import", file)
    with torchlurk.open(study) as opened:
        assert opened.remarks == {}
