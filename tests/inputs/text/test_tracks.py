"""Tracks of a text against the known states of the text world, a literal reading, and texts by people."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchlurk.inputs.demo.documents import write
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.text.tokenizing import Words
from torchlurk.inputs.text.tracks import MADE, told_by_text
from torchlurk.inputs.text.vocabulary import vocabulary_of
from torchlurk.records import Preprocessing


def labels(text: str, name: str) -> list[int]:
    """A track of every character."""
    found = told_by_text(text, np.arange(len(text)), list(text))[name]
    return [int(one) for one in found]


def marked(text: str, name: str) -> str:
    """The characters that a two-valued track marks; a line for the others."""
    return "".join(sign if label else "_" for sign, label in zip(text, labels(text, name), strict=True))


def ids_of(tokens: list[str], vocabulary: list[str]) -> DatasetSource:
    ids = [torch.tensor([vocabulary.index(one) for one in tokens])]
    return DatasetSource(ids, Preprocessing(), kind="text", vocabulary=vocabulary_of(vocabulary))


def test_a_data_set_of_words_has_the_tracks_that_its_words_tell_as_the_text_has_them() -> None:
    text = 'He said "no (not [ 3 ] yet)" to http://a.b then "Go"'
    words = Words(vocabulary_of(["<unk>"]), lowercase=False)
    tokens = words.tokens(text)
    source = ids_of(tokens, ["<unk>", *dict.fromkeys(tokens)])
    assert list(source.tracks) == ["quotes", "brackets", "address", "capital", "digit", "depth"]
    found, known = source.labels(0), told_by_text(text, words.encode(text).starts, tokens)
    for name in ("quotes", "brackets", "capital", "digit", "depth"):
        assert np.array_equal(found[name], known[name]), name


def test_what_tokenizers_write_for_a_space_is_no_capital() -> None:
    pieces = ["ĠThe", "Ġcat", "s", "▁Sat", "Ġ"]
    assert ids_of(pieces, pieces).labels(0)["capital"].tolist() == [1, 0, 0, 1, 0]


def test_letters_beside_some_tokens_in_brackets_are_a_vocabulary_of_characters() -> None:
    letters = ["<pad>", "<unk>", "</s>", *"abcdefghij"]
    source = ids_of([*"abba", "</s>"], letters)
    assert set(source.tracks) == set(MADE)
    assert source.labels(0)["word"].tolist() == [1, 2, 3, 4, 0]


def test_a_token_in_brackets_counts_as_one_character_of_none_of_the_kinds() -> None:
    letters = ["<s>", "[UNK]", "</s>", *"abcdefghij("]
    found = ids_of(["<s>", "a", "(", "[UNK]", "b", "</s>"], letters).labels(0)
    assert found["column"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found["word"].tolist() == [0, 1, 0, 0, 1, 0]
    assert found["depth"].tolist() == [0, 0, 1, 1, 1, 1]
    words = ids_of(["[CLS]", "see", "[UNK]", "[1]", "</S>"], ["[CLS]", "see", "[UNK]", "[1]", "</S>"]).labels(0)
    assert words["capital"].tolist() == words["brackets"].tolist() == [0] * 5


def test_a_token_that_a_tokenizer_has_added_is_none_of_the_text() -> None:
    text, tokens = 'a "b" </s>"c', ["<s>", "a", '"', "b", '"', "</s>", "</s>", '"', "c"]
    starts = np.array([0, 0, 2, 3, 4, 4, 6, 10, 11])
    assert told_by_text(text, starts, tokens)["quotes"].tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 1]
    assert told_by_text("ab\ncd", np.array([0, 1, 2]), ["a", "b", "[SEP]"])["column"].tolist() == [1, 2, 0]


def test_ids_without_a_vocabulary_tell_nothing() -> None:
    source = DatasetSource([torch.tensor([1, 2])], Preprocessing(), kind="text")
    assert not source.tracks
    assert not source.labels(0)


@pytest.mark.parametrize("index", range(10))
def test_they_are_the_states_that_the_text_world_was_written_with(index: int) -> None:
    document = write(3, index)
    found = told_by_text(document.text, np.arange(len(document.text)), list(document.text))
    known = {
        "quotes": document.quote,
        "brackets": document.depth > 0,
        "depth": document.depth,
        "address": document.address,
        "column": document.column,
        "indentation": document.indentation,
        "word": document.word,
        "capital": np.array([one.isupper() for one in document.text]),
        "digit": np.array([one.isdigit() for one in document.text]),
    }
    assert set(found) == set(known)
    for name, values in known.items():
        assert np.array_equal(found[name], values.astype(np.float32)), name


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("quotes", 'a "b c" d', '__"b c___'),
        ("quotes", "x “y «z» w” v", "__“y «z» w___"),
        ("brackets", "a) (b [c] d)) e", "___(b [c] d____"),
        ("address", "see http://a.b/c, (https://d.e).", "____http://a.b/c___https://d.e__"),
        ("capital", "Ab CD e", "A__CD__"),
        ("digit", "a1 23", "_1_23"),
    ],
)
def test_what_is_inside_is_marked(name: str, text: str, told: str) -> None:
    assert marked(text, name) == told


def test_an_empty_line_closes_what_is_open() -> None:
    text = 'a "b (c\n \nd" (e) f'
    assert labels(text, "quotes") == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert labels(text, "depth") == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]


def test_columns_indentation_and_words_are_counted() -> None:
    text = "ab\n  c de\n\n f"
    assert labels(text, "column") == [1, 2, 0, 1, 2, 3, 4, 5, 6, 0, 0, 1, 2]
    assert labels(text, "indentation") == [0, 0, 0, 1, 2, 2, 2, 2, 2, 0, 0, 1, 1]
    assert labels(text, "word") == [1, 2, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0, 1]


def test_a_window_has_the_labels_that_it_has_in_the_whole_document() -> None:
    text = "".join(write(5, index).text + "\n" * (index % 3) for index in range(12))
    whole = told_by_text(text, np.arange(len(text)), list(text))
    for start, stop in ((0, 50), (700, 950), (2000, 2100), (len(text) - 10, len(text))):
        found = told_by_text(text, np.arange(start, stop), list(text[start:stop]))
        for name, values in found.items():
            assert np.array_equal(values, whole[name][start:stop]), (name, start)


def test_a_token_of_several_characters_has_the_state_after_its_last_and_the_capital_of_its_first() -> None:
    text, tokens = 'He said "Yes (no)"', ["He", "said", '"Yes', "(", "no", ")", '"']
    starts = np.array([0, 3, 8, 13, 14, 16, 17])
    found = told_by_text(text, starts, tokens)
    assert found["quotes"].tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert found["brackets"].tolist() == [0, 0, 0, 1, 1, 0, 0]
    assert found["capital"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert found["column"].tolist() == [2, 7, 12, 14, 16, 17, 18]


def test_a_byte_that_is_shown_by_its_number_has_the_state_of_its_own_character() -> None:
    starts = np.array([0, 0, 1, 2, 3, 6])
    found = told_by_text('😀 "abc"', starts, ["<0xF0>", "<0x9F>", " ", '"', "abc", '"'])
    assert found["quotes"].tolist() == [0, 0, 0, 1, 1, 0]
