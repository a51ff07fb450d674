"""The stage `scan`: what it tells of units that nothing tells apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.store.checking import check


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


class Turned(nn.Module):
    """Two convolutions, and a function of the map between them."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), function

    def forward(self, x):
        return self.b(self.function(self.a(x).relu())).relu()


def noise(count=8, side=16):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, side, side, generator=generator) for _ in range(count)]


TURNS = {
    "flip": (lambda x: x.flip(3), (1, -1)),
    "half a turn": (lambda x: x.rot90(2, (2, 3)), (-1, -1)),
    "a quarter": (lambda x: x.rot90(1, (2, 3)), None),
    "transposed": (lambda x: x.transpose(2, 3), None),
    "rolled": (lambda x: x.roll(5, 3), (1, 1)),
    "flipped and pooled": (lambda x: nn.functional.avg_pool2d(x.flip(2), 2), (-2, 2)),
    "flipped and enlarged": (lambda x: nn.functional.interpolate(x.flip(2), size=(8, 8), mode="bilinear"), (-2, 2)),
    "all the same": (lambda x: x[..., :1].expand_as(x), None),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_study_of_maps_that_are_turned_can_be_read(name, tmp_path):
    function, stride = TURNS[name]
    study = tl.analyze(Turned(function), noise(), tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1))
    assert [(layer.name, len(layer)) for layer in study.layers] == [("a", 6), ("b", 6)]
    assert study["b"].record.stride == stride
    assert check(study.path).problems == ()


def test_a_note_names_layers_whose_boxes_hold_what_numbers_came_from(tmp_path):
    study = tl.analyze(Turned(lambda x: x / x.max().item()), noise(), tmp_path / "a.lurk", mean=(0, 0, 0), std=(1, 1, 1))
    (note,) = study.notes
    assert note.endswith("often the whole input: b")
    assert {one.box for one in study.unit("b:0").exemplars("max")} == {(0, 0, 16, 16)}
