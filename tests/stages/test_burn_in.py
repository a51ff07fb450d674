"""Windows over a running text: burn-in on the sides on which the layers look."""

# Tolerances: 1e-5 in float32, for batches of another size; traces are stored in 255 steps of a unit's range.

from __future__ import annotations

import string

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl

WINDOW, BURN_IN = 12, 3
LETTERS = {letter: index for index, letter in enumerate(string.ascii_lowercase + " ")}
TEXT = "the quick brown fox jumps over the lazy dog while two others watch it from afar"


class Recurrent(nn.Module):
    def __init__(self, *, bidirectional: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), 4)
        self.rnn = nn.GRU(4, 3, batch_first=True, bidirectional=bidirectional)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.rnn(self.embedding(tokens))[0]
        return found


class Convolved(nn.Module):
    """A convolution that sees `before` steps before its own and `after` after it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), 4)
        self.pad = nn.ConstantPad1d((before, after), 0.0)
        self.conv = nn.Conv1d(4, 3, before + 1 + after)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.conv(self.pad(self.embedding(tokens).transpose(1, 2)))
        return found


class Chomped(Convolved):
    """A causal convolution as temporal convolutional networks have it: padded on both sides, then cut."""

    def __init__(self) -> None:
        super().__init__(2, 0)
        self.pad, self.conv = nn.Identity(), nn.Conv1d(4, 3, 3, padding=2)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens)[..., :-2]


def windows(left: int, right: int) -> list[tuple[int, int, int, int]]:
    """(start, stop, first counted, end of counted) by a loop of its own."""
    found, counted = [], 0
    while counted < len(TEXT):
        start = max(0, counted - left)
        stop = min(start + WINDOW, len(TEXT))
        end = stop if stop == len(TEXT) else stop - right
        found.append((start, stop, counted, end))
        counted = end
    return found


def seed(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for one in net.parameters():
        nn.init.normal_(one)
    return net.eval()


def analyzed(net: nn.Module, folder, **options):
    file = folder / "text.txt"
    file.write_text(TEXT)
    return tl.analyze(net, str(file), folder / "s.lurk", vocabulary=LETTERS, window=WINDOW, burn_in=BURN_IN, **options)


CASES = [
    ("forward", lambda: Recurrent(bidirectional=False), (), (BURN_IN, 0)),
    ("both directions", lambda: Recurrent(bidirectional=True), (), (BURN_IN, BURN_IN)),
    ("reverse alone", lambda: Recurrent(bidirectional=True), ("rnn.l0_reverse",), (0, BURN_IN)),
    ("two-sided", lambda: Convolved(1, 1), (), (BURN_IN, BURN_IN)),
    ("causal", lambda: Convolved(2, 0), (), (BURN_IN, 0)),
    ("causal, cut", Chomped, (), (BURN_IN, 0)),
    ("anticausal", lambda: Convolved(0, 2), (), (0, BURN_IN)),
    ("each token by itself", lambda: Convolved(0, 0), (), (BURN_IN, 0)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "layers", "sides"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_windows_have_burn_in_where_the_layers_look(make, layers, sides, tmp_path):
    expected = windows(*sides)
    with analyzed(seed(make()), tmp_path, layers=layers, input_axes="bt") as study:
        paths = [one.path for one in study.reader.examples(range(len(expected)))]
        assert study.reader.example_count() == len(expected)
    assert paths == [f"text.txt@{first}" for _, _, first, _ in expected]


@pytest.mark.slow
def test_a_two_sided_network_is_scanned_as_a_literal_loop_over_windows_tells(tmp_path):
    net = seed(Recurrent(bidirectional=True))
    ids = torch.tensor([LETTERS[one] for one in TEXT])
    values = []
    with torch.no_grad():
        for start, stop, first, end in windows(BURN_IN, BURN_IN):
            found = net(ids[None, start:stop])[0, first - start : end - start]
            values.append((first, end, first - start, found))
    with analyzed(net, tmp_path, top=2) as study:
        for name, channels in (("rnn.l0", slice(0, 3)), ("rnn.l0_reverse", slice(3, 6))):
            for unit in range(3):
                view = study.unit(f"{name}:{unit}")
                best = [(float(one[:, channels][:, unit].max()), -place) for place, (*_, one) in enumerate(values)]
                for exemplar, (score, place) in zip(view.exemplars("max"), sorted(best, reverse=True), strict=False):
                    first, end, burned, found = values[-place]
                    assert exemplar.example == -place
                    assert exemplar.score == pytest.approx(score, abs=1e-5)
                    assert exemplar.position == (burned + int(found[:, channels][:, unit].argmax()),)
                every = torch.cat([one[:, channels][:, unit] for *_, one in values])
                assert len(every) == len(TEXT)
                assert view.statistics["max"] == pytest.approx(float(every.max()), abs=1e-5)
                assert view.statistics["mean"] == pytest.approx(float(np.mean(every.numpy(), dtype=np.float64)), abs=1e-5)


@pytest.mark.slow
def test_a_study_with_burn_in_on_both_sides_is_continued(tmp_path):
    net = seed(Convolved(1, 1))
    analyzed(net, tmp_path).close()
    before = (tmp_path / "s.lurk").read_bytes()
    analyzed(net, tmp_path).close()
    assert (tmp_path / "s.lurk").read_bytes() == before
