"""A text of which the vocabulary lacks many tokens is told of, with their share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import torchlurk as tl
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.text.source import open_text
from torchlurk.inputs.text.unknown import unknown_tokens
from torchlurk.inputs.text.vocabulary import vocabulary_of
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing


@pytest.mark.parametrize(
    ("vocabulary", "lowercase", "said"),
    [
        (["<unk>", *"abc "], False, "34 % of the tokens are not in the vocabulary, and are replaced by '<unk>'"),
        ([*"abc ", "[UNK]"], False, "34 % of the tokens are not in the vocabulary, and are replaced by '[UNK]'"),
        ([*"\nabc "], False, r"34 % of the tokens are not in the vocabulary, and are replaced by '\n':"),
        ([*" abc"], False, "34 % of the tokens are not in the vocabulary, and are replaced by ' '"),
        (
            {"a": 1, "b": 2, "c": 3, " ": 4},
            False,
            "34 % of the tokens are not in the vocabulary, and are replaced by index 0",
        ),
        (["<unk>", *"abc "], True, ""),
        ([*"abcABC "], False, ""),
    ],
)
def test_the_share_of_tokens_that_are_not_in_the_vocabulary_is_told(tmp_path: Path, vocabulary, lowercase, said) -> None:
    (tmp_path / "a.txt").write_text("ab AB c a A bc ca bb")  # 3 capitals of 20 characters
    (tmp_path / "b.txt").write_text("AB C CA A CC")  # 8 of 12
    source = open_text(tmp_path, InputOptions(lowercase=lowercase), vocabulary)
    assert unknown_tokens(source).startswith(said)
    assert bool(said) == bool(unknown_tokens(source))


def test_a_data_set_tells_by_its_unknown_token_and_not_by_its_padding() -> None:
    ids = [torch.tensor([0, 0, 1, 2])]
    sources = [
        DatasetSource(ids, Preprocessing(), kind="text", vocabulary=vocabulary_of([first, "a", "b"]))
        for first in ("<unk>", "<pad>")
    ]
    assert [unknown_tokens(one)[:4] for one in sources] == ["50 %", ""]


@pytest.mark.slow
def test_the_note_is_in_the_study(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab zz")
    net = torch.nn.Sequential(torch.nn.Embedding(3, 2), torch.nn.Linear(2, 2))
    options = {"kind": "text", "vocabulary": ["<unk>", "a", "b"], "input_axes": "bt"}
    with tl.analyze(net, tmp_path / "a.txt", tmp_path / "s.lurk", **options) as study:
        assert any(note.startswith("60 % of the tokens are not in the vocabulary") for note in study.notes)
        assert not any("rows" in note for note in study.notes)


def test_a_vocabulary_of_another_size_than_the_embedding_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abab")
    net = torch.nn.Sequential(torch.nn.Embedding(5, 2), torch.nn.Linear(2, 2))
    with tl.analyze(net, tmp_path / "a.txt", tmp_path / "s.lurk", vocabulary=["a", "b"], input_axes="bt") as study:
        assert "the vocabulary has 2 tokens, and 0 (Embedding) has rows for 5: is it the one" in " ".join(study.notes)
