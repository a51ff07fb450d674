"""A study of text keeps all tokens of its data, each once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.inputs.text.source import open_text
from torchlurk.options import InputOptions
from torchlurk.store.checking import check
from torchlurk.store.kept_tokens import load_tokens, store_tokens
from torchlurk.store.schema import upgrade

LETTERS = "abcdefgh \n"
OPTIONS = {"vocabulary": list(LETTERS), "window": 12, "burn_in": 3, "batch_size": 4, "layers": ("rnn*",)}


class Reading(nn.Module):
    """A recurrent network over tokens."""

    def __init__(self, tokens: int = len(LETTERS), *, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn = nn.Embedding(tokens, 2), nn.RNN(2, 2, batch_first=True, bidirectional=both)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.embedding(x))[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two texts, longer than a window and shorter, and one of 120 tokens."""
    path = tmp_path_factory.mktemp("texts")
    drawn = np.random.default_rng(0)
    for name, length in (("a.txt", 120), ("b.txt", 5), ("c.txt", 61)):
        (path / name).write_text("".join(drawn.choice(list(LETTERS), length).tolist()))
    return path


def rows(path: Path) -> list[tuple[int, int, int, bytes]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT example, repeated, width, ids FROM example_tokens ORDER BY example").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("limit", [None, 6])
@pytest.mark.parametrize("both", [False, True])
def test_every_example_has_its_tokens_and_none_is_stored_twice(folder, tmp_path, both, limit):
    given = OPTIONS | ({"limit": limit} if limit else {})
    with tl.analyze(Reading(both=both).eval(), str(folder), tmp_path / "s.lurk", **given) as study:
        source = open_text(folder, InputOptions(window=12, burn_in=3, limit=limit), list(LETTERS))
        source = source.burning(left=True, right=True) if both else source
        assert len(source.examples) == study.reader.example_count()
        for one in source.examples:
            assert study.reader.tokens(one.index).tolist() == source.read(one.index).values.tolist()
        assert study.reader.tokens(99) is None
    stored = sum(len(ids) for *_, ids in rows(tmp_path / "s.lurk"))
    assert {width for _, _, width, _ in rows(tmp_path / "s.lurk")} == {1}
    assert stored < 186 if limit else stored == 186
    assert check(tmp_path / "s.lurk").problems == ()


@pytest.mark.slow
def test_parts_and_a_scan_that_was_interrupted_have_the_tokens_of_the_whole(folder, tmp_path, interrupted, monkeypatch):
    monkeypatch.setattr("torchlurk.stages.scan.SHARD_EXAMPLES", 4)
    tl.analyze(Reading().eval(), str(folder), tmp_path / "whole.lurk", **OPTIONS).close()
    for number in (1, 2):
        tl.analyze(Reading().eval(), str(folder), tmp_path / f"{number}.lurk", part=f"{number}/2", **OPTIONS).close()
        assert check(tmp_path / f"{number}.lurk").problems == ()
    tl.merge([tmp_path / "2.lurk", tmp_path / "1.lurk"], out=tmp_path / "merged.lurk").close()
    for method in ("write_sample", "write_passes", "finish"):
        with interrupted(method, 0):
            tl.analyze(Reading().eval(), str(folder), tmp_path / f"{method}.lurk", **OPTIONS)
        tl.analyze(Reading().eval(), str(folder), tmp_path / f"{method}.lurk", **OPTIONS).close()
        assert rows(tmp_path / f"{method}.lurk") == rows(tmp_path / "whole.lurk")
    assert rows(tmp_path / "merged.lurk") == rows(tmp_path / "whole.lurk") != []


def test_tokens_of_a_data_set_are_kept_too_but_for_examples_that_cannot_be_read(tmp_path):
    class Texts:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Tensor:
            if index == 2:
                raise ValueError("torn")
            return torch.arange(3 + index) * 75

    with tl.analyze(Reading(500).eval(), Texts(), tmp_path / "s.lurk", kind="text", layers=("rnn*",), batch_size=1) as study:
        found = [study.reader.tokens(index) for index in range(4)]
    assert [one if one is None else one.tolist() for one in found] == [
        [0, 75, 150],
        [0, 75, 150, 225],
        None,
        [*range(0, 376, 75)],
    ]
    assert [width for _, _, width, _ in rows(tmp_path / "s.lurk")] == [1, 1, 2]
    assert check(tmp_path / "s.lurk").problems == ()


@pytest.mark.parametrize(("largest", "width"), [(255, 1), (256, 2), (65536, 4), (2**33, 8)])
def test_ids_take_the_fewest_bytes_that_hold_them(largest, width):
    db = sqlite3.connect(":memory:")
    upgrade(db, 0)
    store_tokens(db, [(0, 0, np.array([1, largest])), (1, 1, np.array([largest, 7])), (2, 0, np.array([], np.int64))])
    assert [load_tokens(db, example).tolist() for example in range(3)] == [[1, largest], [largest, 7], []]
    assert [found for (found,) in db.execute("SELECT width FROM example_tokens")] == [width, 1, 1]
