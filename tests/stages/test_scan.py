"""The stage `scan`: what it tells of units that nothing tells apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.jobs import Silence


class Bright(torch.utils.data.Dataset[torch.Tensor]):
    """Pictures that are brighter and brighter."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1, 4, 4), 1 + index / 10)


def scanned(activation: nn.Module, path):
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), activation)
    nn.init.constant_(net[0].weight, 10.0)
    with torch.no_grad():
        net[0].weight[3] = -1.0
    return tl.analyze(net, Bright(), path / "a.lurk", mean=(0,), std=(1,), top=3)


def test_a_note_says_where_the_strongest_examples_tie_at_a_ceiling(tmp_path):
    study = scanned(nn.ReLU6(), tmp_path)
    assert [one.example for one in study.unit("0:0").exemplars("max")] == [0, 1, 2]
    (note,) = study.notes
    assert "0 (75%)" in note
    assert "--tap output" in note


def test_units_that_are_told_apart_or_never_active_need_no_note(tmp_path):
    study = scanned(nn.ReLU(), tmp_path)
    assert [one.example for one in study.unit("0:0").exemplars("max")] == [11, 10, 9]
    assert study.notes == ()


class Centred(nn.Module):
    """Takes off the running mean of the examples before, a buffer that it keeps up to date in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 1)
        self.b = nn.Conv2d(2, 2, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.seen.clone()
        self.seen.add_(x.detach().mean())
        return self.b(self.a(x) - before)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_keeps_state_is_left_as_found_and_scores_do_not_depend_on_the_batch_size(training, tmp_path):
    torch.manual_seed(0)
    net = Centred().train(training)
    found = []
    for size in (2, 12):
        random = torch.get_rng_state()
        study = tl.analyze(net, Bright(), tmp_path / f"{size}.lurk", mean=(0,), std=(1,), top=3, batch_size=size)
        assert net.seen == 0
        assert torch.equal(torch.get_rng_state(), random)
        (note,) = study.notes
        assert "state that each pass changes (seen)" in note
        found.append([(one.example, one.score) for one in study.unit("b:0").exemplars("max")])
    assert [one for one, _ in found[0]] == [one for one, _ in found[1]]
    assert [one for _, one in found[0]] == pytest.approx([one for _, one in found[1]], rel=1e-5)


def test_what_scores_depend_on_beside_the_example_is_said_at_once_and_kept(tmp_path):
    class Heard(Silence):
        def say(self, text: str) -> None:
            heard.append(text)

    heard: list[str] = []
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False), nn.Conv2d(2, 2, 1)).eval()
    (note,) = tl.analyze(net, Bright(), tmp_path / "a.lurk", mean=(0,), std=(1,), top=3, batch_size=4, progress=Heard()).notes
    assert "depend on the other examples of the batch" in note
    assert heard == [f"note: {note}"]
