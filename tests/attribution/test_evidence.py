"""Shares that are left, shuffled weights, rank correlation and spread, against literal loops and closed forms."""

# Tolerances: 1e-10 and below in float64, in another order of operations; 1e-5 in float32. Captum's methods have constants of
# their own (steps of an integral, an epsilon), which leave 1e-3 to 0.02.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.attribution_pairs import attribute_pairs
from torchlurk.attribution import evidence
from torchlurk.inputs.demo.scenery import SCENERY
from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.inputs.feeding import feed, inputs_of
from torchlurk.models.loading.demo import demo_network
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.taps.readout import Readout
from torchlurk.scanning.dissection import dissect


def test_a_box_covers_its_pixels_and_no_other():
    boxes = torch.tensor([[1, 0, 3, 2], [0, 0, 4, 3], [2, 2, 2, 2]])
    seen = evidence.inside(boxes, 3, 4)
    for (x0, y0, x1, y1), one in zip(boxes.tolist(), seen, strict=True):
        assert one.tolist() == [[x0 <= x < x1 and y0 <= y < y1 for x in range(4)] for y in range(3)]


def test_the_largest_attributions_are_those_of_a_sorted_list():
    found = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    within = evidence.inside(torch.tensor([[0, 0, 10, 10], [2, 0, 7, 8]]), 10, 10)
    kept = evidence.largest(found, within, 0.1)
    for one, mask, inside, count in zip(found, kept, within, (10, 4), strict=True):
        places = [(y, x) for y in range(10) for x in range(10) if inside[y, x]]
        size = sorted(((float(one[:, y, x].abs().sum()), y, x) for y, x in places), reverse=True)
        assert {(y, x) for _, y, x in size[:count]} == {(y, x) for y in range(10) for x in range(10) if mask[y, x]}


def test_nothing_is_kept_where_nothing_is_attributed():
    assert not evidence.largest(torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)).any()


def test_what_is_left_of_a_linear_unit_is_its_share_of_the_sum():
    """A unit that adds up its pixels: with the filling at zero, the share is that of the seen pixels."""
    module = nn.Conv2d(1, 1, 4, bias=False)
    nn.init.ones_(module.weight)
    inputs = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    layer = survey(nn.Sequential(module), inputs).layers[0]
    readout = Readout(nn.Sequential(module), layer)
    seen = evidence.inside(torch.tensor([[0, 0, 2, 4], [0, 0, 4, 4]]), 4, 4)
    channels, positions = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    with readout.ready():
        activations = readout(inputs, channels, positions).detach()
        left = evidence.left_of_activation(readout, inputs, seen, torch.zeros(1), channels, positions, activations)
    expected = [float(inputs[0, 0, :, :2].sum() / inputs[0].sum()), 1.0]
    assert left.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_share_of_an_activation_that_is_not_positive_is_not_a_number():
    module = nn.Sequential(nn.Conv2d(1, 1, 1))
    layer = survey(module, torch.zeros(1, 1, 2, 2)).layers[0]
    readout = Readout(module, layer)
    zero = torch.zeros(1, dtype=torch.int64)
    with readout.ready():
        seen = torch.ones(1, 2, 2, dtype=torch.bool)
        left = evidence.left_of_activation(
            readout, torch.zeros(1, 1, 2, 2), seen, torch.zeros(1), zero, zero, torch.tensor([-1.0])
        )
    assert math.isnan(left.item())


def test_shuffling_keeps_the_numbers_and_leaves_the_rest_and_the_model_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    graph = survey(module, torch.zeros(1, 3, 8, 8))
    layer = graph.layer("2")
    assert evidence.weights_below(module, graph.graph, layer) == ("0.weight",)
    other = evidence.shuffled(module, ("0.weight",), torch.Generator().manual_seed(0))
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    found = other.state_dict()
    assert not torch.equal(found["0.weight"], before["0.weight"])
    assert torch.equal(found["0.weight"].flatten().sort().values, before["0.weight"].flatten().sort().values)
    assert all(torch.equal(found[name], before[name]) for name in before if name != "0.weight")


def test_below_a_recurrent_layer_are_the_layers_before_it_and_itself_one_step_earlier():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.rnn, self.head = nn.Embedding(5, 3), nn.GRU(3, 4, 2, bidirectional=True), nn.Linear(8, 2)

        def forward(self, ids):
            return self.head(self.rnn(self.table(ids))[0])

    module, ids = Reader(), torch.zeros(2, 6, dtype=torch.int64)
    found = survey(module, ids, axes=Axes.of("tb"))
    below = {
        name: evidence.weights_below(module, found.graph, found.layer(name)) for name in ("rnn.l0.z", "rnn.l1_reverse", "head")
    }
    first = [f"rnn.weight_{kind}_l0{end}" for end in ("", "_reverse") for kind in ("ih", "hh")]
    second = [one.replace("l0", "l1") for one in first]
    assert below["rnn.l0.z"] == ("table.weight", *first[:2])
    assert below["rnn.l1_reverse"] == ("table.weight", *first, *second[2:])
    assert below["head"] == ("table.weight", *(one for part in (first, second) for one in part))


def test_similarity_is_spearmans_correlation():
    generator = torch.Generator().manual_seed(2)
    left = torch.randint(-3, 4, (2, 1, 5, 5), generator=generator).double()  # with ties
    right = left + torch.randn(2, 1, 5, 5, generator=generator).double()
    for row, found in enumerate(evidence.similarity(left, right)):
        ranks = [_ranks(one[row].flatten().tolist()) for one in (left, right)]
        assert found.item() == pytest.approx(_pearson(*ranks), abs=1e-12)
    assert evidence.similarity(left, -left).tolist() == pytest.approx([-1, -1])
    assert math.isnan(evidence.similarity(torch.zeros(1, 1, 3, 3), left[:1, :, :3, :3]).item())


def _ranks(values: list[float]) -> list[float]:
    return [sum(other < one for other in values) + (sum(other == one for other in values) - 1) / 2 for one in values]


def _pearson(left: list[float], right: list[float]) -> float:
    x, y = sum(left) / len(left), sum(right) / len(right)
    products = sum((a - x) * (b - y) for a, b in zip(left, right, strict=True))
    return products / math.sqrt(sum((a - x) ** 2 for a in left) * sum((b - y) ** 2 for b in right))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 6), (7, 3)])
def test_an_even_rectangle_is_as_spread_out_as_itself(height, width):
    found = torch.zeros(1, 2, 12, 12)
    found[:, :, 2 : 2 + height, 1 : 1 + width] = 0.5
    assert evidence.spread_of(found)[0].tolist() == pytest.approx([height, width], rel=1e-6)


def test_the_share_of_what_was_chosen_that_lies_on_a_mask_is_counted():
    chosen, mask = torch.zeros(3, 2, 3, dtype=torch.bool), torch.zeros(3, 2, 3, dtype=torch.bool)
    chosen[0, 0], chosen[1, 1, 2] = True, True
    mask[:, :, 1:] = True
    found = evidence.share_on(chosen, mask)
    assert found[:2].tolist() == pytest.approx([2 / 3, 1])
    assert found[2].isnan()


@pytest.mark.slow
def test_what_attributions_mark_lies_on_the_part_that_a_unit_of_the_demo_detects():
    """Chosen by its map's overlap with masks, judged by its pictures; by chance it is the part's share of the box."""
    world, network = DemoWorld(40, 5), demo_network()
    layer = next(one for one in survey(network, torch.zeros(1, 3, 96, 96)).layers if one.name == "block3")
    table = dissect(network, [layer], world)["block3"]
    unit = next(int(one) for one in table.detectors(0.02) if table.best()[one][0] not in SCENERY)
    part = table.best()[unit][0]
    shown = [index for index in range(40) if part in world.masks(index)]
    (batch,) = feed(world, shown, len(shown), 1)
    inputs = inputs_of(batch, world.preprocessing, torch.device("cpu"), torch.float32)
    channels = torch.full((len(shown),), unit)
    readout = Readout(network, layer)
    with readout.ready():
        positions = readout.strongest(inputs, channels)
        strong = readout(inputs, channels, positions).argsort(descending=True)[:5].tolist()
    boxes = receptive_fields(network, inputs[:1], [layer])["block3"].boxes(channels[strong].numpy(), positions[strong].numpy())
    within = evidence.inside(torch.from_numpy(boxes), 96, 96)
    mask = torch.from_numpy(np.array([world.masks(shown[index])[part] for index in strong]))
    made, _ = attribute_pairs(network, layer, inputs[strong], channels[strong], positions[strong], "guided")
    marked = evidence.share_on(evidence.largest(made, within), mask)
    assert marked.nanmean() > 1.5 * evidence.share_on(within, mask).mean()
