"""Words for folders come from every form of list that people keep."""

from __future__ import annotations

import json

import pytest

from torchlurk.errors import OptionError
from torchlurk.inputs.sources.class_names import read_labels

SYNSETS = ["n01440764", "n01443537_goldfish", "other"]
WORDS = ["tench", "goldfish", "other"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"n01440764": "tench", "n01443537": "goldfish"}),
        json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}),
        json.dumps([{"synset": "n01440764", "name": "tench"}, {"synset": "n01443537", "name": "goldfish"}]),
        "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn01484850 great white shark\n",
        "n01440764\ttench\r\nn01443537\tgoldfish\r\n",
        "\ufeffn01440764 tench\n\nn01443537 goldfish\n",
    ],
)
def test_synsets_become_words_and_unknown_folders_keep_their_names(tmp_path, text):
    (tmp_path / "names").write_text(text)
    assert read_labels(tmp_path / "names", SYNSETS) == WORDS


@pytest.mark.parametrize(
    "text", [json.dumps(["cat", "big dog", "emu"]), "cat\nbig dog\nemu\n", json.dumps({"cat": 0, "big dog": 1, "emu": 2})]
)
def test_numbered_folders_are_named_by_their_number(tmp_path, text):
    (tmp_path / "names").write_text(text)
    assert read_labels(tmp_path / "names", ["0", "002", "1"]) == ["cat", "emu", "big dog"]


def test_as_many_names_as_folders_name_them_in_order(tmp_path):
    (tmp_path / "names").write_text("cat\ndog\n")
    assert read_labels(tmp_path / "names", ["a", "b"]) == ["cat", "dog"]


def test_names_in_another_order_than_the_folders_do_not_rename_them(tmp_path):
    (tmp_path / "names").write_text("dog\ncat\n")
    assert read_labels(tmp_path / "names", ["cat", "dog"]) == ["cat", "dog"]


def test_words_may_hold_commas_and_spaces(tmp_path):
    (tmp_path / "names").write_text("c1 cats, and dogs\nc2 horses\n")
    assert read_labels(tmp_path / "names", ["c1", "c2", "c3"]) == ["cats, and dogs", "horses", "c3"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"[1, 2]", b"{broken", b"\xff\xfe\x00\x80", b'[["a"], 3]', b'{"a": null}']
)
def test_what_names_no_class_is_refused(tmp_path, content):
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(OptionError, match=r"--class-names .*use JSON") as refused:
        read_labels(tmp_path / "names", ["a"])
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match="No such file"):
        read_labels(tmp_path / "nothing", ["a"])


@pytest.mark.parametrize(
    ("text", "folders", "words"),
    [
        ("cat\ndog\n", ["a", "b", "c", "d"], "lists 2 names for 4 classes, which are called a, b, c, …"),
        ("cat\ndog\n", ["0", "1", "2"], "lists 2 names, and there is a class 2"),
        ('{"x": "cat"}', ["a", "b"], "names none of the classes, which are called a, b "),
        ('{"x": "cat"}', ["0", "1"], "names none of the classes"),
    ],
)
def test_a_file_that_names_too_few_classes_is_refused(tmp_path, text, folders, words):
    (tmp_path / "names").write_text(text)
    with pytest.raises(OptionError, match=words):
        read_labels(tmp_path / "names", folders)
