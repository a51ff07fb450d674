"""Which texts are ranked by mean: not those of a few steps, whose means are extreme by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.records import Preprocessing
from torchlurk.rendering.text import describe
from torchlurk.scanning import part as parts_module
from torchlurk.scanning.steps import least_for_means
from torchlurk.store.checking import check

LETTERS = "abcdefgh"
LENGTHS = [2, 9, 12, 5, 10, 3, 11, 10, 2, 12, 9, 6, 4, 10] * 10
LEAST, TOP = 5, 3
"""Half the median of the lengths, which is 9."""
OPTIONS = {"vocabulary": list(LETTERS), "top": TOP, "batch_size": 2}


class Words(torch.utils.data.Dataset):
    """Random letters; the shortest words are of the letter with the highest state alone."""

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> Tensor:
        length = LENGTHS[index]
        drawn = np.random.default_rng(index).integers(0, len(LETTERS) - 1, length)
        return torch.from_numpy(drawn if length > 2 else np.full(length, len(LETTERS) - 1))


class Net(nn.Module):
    """States of each letter, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn, self.head = nn.Embedding(len(LETTERS), 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)
        nn.init.constant_(self.embedding.weight[-1].data, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(x))[0].mean(1))


def means(net: Net, unit: int) -> list[float]:
    """Of each word, by a literal loop."""
    with torch.no_grad():
        return [
            float(net.rnn(net.embedding(one[None]))[0][0, :, unit].mean()) for one in (Words()[i] for i in range(len(LENGTHS)))
        ]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fused", "torch"])
def test_short_texts_are_not_ranked_by_mean(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "torch":
        monkeypatch.setattr(parts_module, "fused", lambda: None)
    net = Net().eval()
    with tl.analyze(net, Words(), tmp_path / "s.lurk", layers=("rnn", "head"), **OPTIONS) as study:
        for unit in range(4):
            found = means(net, unit)
            ranked = sorted((one for one in range(len(LENGTHS)) if LENGTHS[one] >= LEAST), key=lambda one: -found[one])
            assert sorted(range(len(LENGTHS)), key=lambda one: -found[one])[:TOP] != ranked[:TOP] or unit > 0
            exemplars = study.unit(f"rnn.l0:{unit}").exemplars("mean")
            assert [one.example for one in exemplars] == ranked[:TOP]
            assert [one.score for one in exemplars] == pytest.approx([found[one] for one in ranked[:TOP]], abs=1e-5)
        view = study.unit("rnn.l0:0")
        told = describe(view.record, study.classes, view.steps())
        assert "Strongest by mean (over the steps that count, in examples with 5 or more)" in told
        outputs = study.unit("head:0")
        assert [one.example for one in outputs.exemplars("mean")] == [one.example for one in outputs.exemplars("max")]
        told = describe(outputs.record, study.classes, outputs.steps())
        assert "Strongest by maximum (one value per example: by mean they are the same)" in told
        assert "Strongest by mean" not in told
    assert check(tmp_path / "s.lurk").problems == ()


@pytest.mark.slow
def test_parts_rank_the_same_by_mean_as_one_process(tmp_path: Path) -> None:
    given = OPTIONS | {"layers": ("rnn",)}
    with tl.analyze(Net().eval(), Words(), tmp_path / "whole.lurk", **given) as whole:
        expected = [[one.example for one in whole.unit(f"rnn.l0:{unit}").exemplars("mean")] for unit in range(4)]
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(parts, 1):
        tl.analyze(Net().eval(), Words(), path, part=f"{number}/2", **given).close()
    with tl.merge(parts, out=tmp_path / "merged.lurk") as merged:
        assert [[one.example for one in merged.unit(f"rnn.l0:{unit}").exemplars("mean")] for unit in range(4)] == expected


@pytest.mark.parametrize(
    ("lengths", "top", "least"),
    [(LENGTHS, TOP, LEAST), (LENGTHS[:14], 13, 0), ([7, 7, 7], 9, 4), ([1, 1, 9], 2, 1), ([1, 8, 9], 3, 0)],
)
def test_the_rule_follows_from_the_lengths_and_leaves_enough(lengths: list[int], top: int, least: int) -> None:
    source = DatasetSource([torch.zeros(one, dtype=torch.int64) for one in lengths], Preprocessing(), kind="text")
    assert least_for_means(source, top) == least
