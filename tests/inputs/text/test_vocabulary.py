"""A vocabulary is a JSON object or list, and what is wrong with one is said in a line."""

from __future__ import annotations

import pytest

from torchlurk.errors import OptionError
from torchlurk.inputs.text.vocabulary import read_vocabulary, vocabulary_of


def read(tmp_path, text):
    file = tmp_path / "vocabulary.json"
    file.write_text(text)
    return read_vocabulary(file)


def test_an_object_gives_each_token_its_index(tmp_path):
    known = read(tmp_path, '{"<unk>": 1, "a": 3, "<pad>": 2}')
    assert known.tokens == ("", "<unk>", "<pad>", "a")
    assert (known.index_of["a"], known.unknown, known.padding, len(known)) == (3, 1, 2, 4)


def test_a_list_is_in_order_of_the_indices_and_index_0_stands_in(tmp_path):
    known = read(tmp_path, '["x", "y"]')
    assert known.index_of == {"x": 0, "y": 1}
    assert (known.unknown, known.padding) == (0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b c", "is not JSON"),
        ("3", "holds an int.*a JSON object"),
        ("{}", "is empty"),
        ('{"a": 1, "b": 1}', "gives 'a' and 'b' the same index 1"),
        ('{"a": 1, "a": 2}', "lists 'a' more than once"),
        ('["a", "b", "a"]', "lists 'a' more than once"),
        ('{"a": -1}', "gives 'a' the index -1"),
        ('{"a": true}', "gives 'a' the index true"),
        ('{"a": 1.5}', "gives 'a' the index 1.5"),
        ('{"a": 99999999999}', "gives 'a' the index 99999999999"),
        ('{"letters": ["a"]}', "gives 'letters' the index"),
        ("[1, 2]", "lists 1, which is not a token"),
    ],
)
def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(OptionError, match=words) as refused:
        read(tmp_path, text)
    assert str(tmp_path / "vocabulary.json") in refused.value.message
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"--vocabulary .*nothing.json: No such file"):
        read_vocabulary(tmp_path / "nothing.json")


def test_the_vocabulary_of_a_real_network_is_read(data):
    known = read_vocabulary(data / "models" / "textgenrnn_vocab.json")
    assert len(known) == 465
    assert known.tokens[0] == ""
    assert known.tokens[464] == "<s>"
    with pytest.raises(OptionError, match=r"gives 'letters' the index"):
        read_vocabulary(data / "models" / "g2p_en_vocab.json")


def test_what_a_program_gives_is_checked_alike():
    assert vocabulary_of({"a": 0}).tokens == ("a",)
    with pytest.raises(OptionError, match=r"the vocabulary gives 'a' the index -3"):
        vocabulary_of({"a": -3})
