"""Scores for tokens that say no more than how frequent tokens are, as with a wrong vocabulary, are told of."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import torchlurk as tl

LETTERS = "abcd"
TEXT = "aabacad" * 300


class Follower(nn.Module):
    """Says with certainty which letter comes `ahead` steps later, as TEXT has it; probabilities where `soft`."""

    def __init__(self, ahead: int, soft: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.ahead, self.soft = ahead, soft
        with torch.no_grad():
            self.embedding.weight[:] = torch.eye(4)

    def forward(self, tokens):
        known = torch.roll(self.embedding(tokens), -self.ahead, 1)
        return known.mul(0.96).add(0.01) if self.soft else known * 5


@pytest.mark.slow
@pytest.mark.parametrize("network", [Follower(1), Follower(1, soft=True), Follower(0), Follower(-1), Follower(3)])
def test_scores_no_better_than_frequencies_are_told(tmp_path, network):
    (tmp_path / "a.txt").write_text(TEXT)
    given = {"input_axes": "bt", "window": 100, "layers": ["embedding"]}
    with tl.analyze(network, tmp_path / "a.txt", tmp_path / "s.lurk", vocabulary=list(LETTERS), **given) as study:
        said = any("no better than the tokens' frequencies" in note for note in study.notes)
    assert said == (network.ahead == 3)


@pytest.mark.slow
def test_a_wrong_vocabulary_is_noticed_by_them(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    given = {"input_axes": "bt", "window": 100, "layers": ["embedding"]}
    with tl.analyze(Table(), tmp_path / "a.txt", tmp_path / "a.lurk", vocabulary=list(LETTERS), **given) as study:
        assert not any("frequencies" in note for note in study.notes)
    with tl.analyze(Table(), tmp_path / "a.txt", tmp_path / "b.lurk", vocabulary=list("badc"), **given) as study:
        assert "do the vocabulary, tokenizer and weights match those used in training?" in " ".join(study.notes)


class Table(nn.Module):
    """The logarithms of how often each letter follows another in TEXT."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        counts = torch.full((4, 4), 0.1)
        for one, after in pairwise(TEXT):
            counts[LETTERS.index(one), LETTERS.index(after)] += 1
        with torch.no_grad():
            self.embedding.weight[:] = (counts / counts.sum(1, keepdim=True)).log()

    def forward(self, tokens):
        return self.embedding(tokens)
