"""The demo network: small, never unpickled, and right about pictures that it has not seen."""

from __future__ import annotations

from importlib.resources import files
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from torchlurk.inputs.demo.things import NAMES
from torchlurk.inputs.demo.world import PREPROCESSING as DRAWN
from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.inputs.feeding import feed, inputs_of
from torchlurk.models.loading.demo import CLASSES, PREPROCESSING, SIDE, WEIGHTS, DemoNetwork, demo_network
from torchlurk.models.loading.load import load
from torchlurk.models.survey.layers import survey

FRESH = 1000
"""A seed that no training used."""


def share_right(images: int) -> float:
    """The share of so many fresh pictures whose class the shipped network names."""
    world, network, right = DemoWorld(images, FRESH), demo_network(), 0
    with torch.inference_mode():
        for batch in feed(world, range(images), 50, workers=1):
            inputs = inputs_of(batch, world.preprocessing, torch.device("cpu"), torch.float32)
            right += int((network(inputs).argmax(1) == torch.from_numpy(batch.classes)).sum())
    return right / images


def test_it_knows_fresh_pictures() -> None:
    assert share_right(60) >= 0.95


@pytest.mark.slow
def test_it_knows_at_least_95_percent_of_600_fresh_pictures() -> None:
    assert share_right(600) >= 0.95


def test_an_untrained_one_does_not() -> None:
    torch.manual_seed(0)
    pictures = torch.stack([normalized(index) for index in range(40)])
    with torch.inference_mode():
        found = DemoNetwork().eval()(pictures).argmax(1)
    assert (found == torch.arange(40) % CLASSES).float().mean() < 0.5


def normalized(index: int) -> Tensor:
    item = DemoWorld(index + 1, FRESH).read(index)
    return (torch.from_numpy(item.values).permute(2, 0, 1) / 255 - 0.5) / 0.25


def test_it_is_small_and_comes_as_safetensors() -> None:
    path = files("torchlurk.models.loading") / WEIGHTS
    assert len(path.read_bytes()) <= 2 * 2**20
    with safe_open(str(path), "pt") as stored:
        assert set(stored.keys()) == set(DemoNetwork().state_dict())
    assert sum(value.numel() for value in demo_network().parameters()) < 450_000


def test_it_is_ready_to_use() -> None:
    network = demo_network()
    assert not any(module.training for module in network.modules())
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert network(torch.zeros(2, 3, SIDE, SIDE)).shape == (2, len(NAMES))


def test_it_expects_what_the_drawn_world_gives() -> None:
    assert PREPROCESSING == DRAWN
    assert len(NAMES) == CLASSES
    assert DemoWorld().preprocessing == PREPROCESSING


def test_it_is_the_model_called_demo() -> None:
    loaded, network = load("demo").module, demo_network()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_its_graph_has_short_cuts() -> None:
    graph = survey(demo_network(), torch.zeros(1, 3, SIDE, SIDE)).graph
    joins = [node.id for node in graph.nodes if node.name == "add"]
    assert len(joins) == 4
    for join in joins:
        assert sum(target == join for _, target in graph.edges) == 2


def test_its_maps_get_smaller_and_its_units_more() -> None:
    layers = [layer for layer in survey(demo_network(), torch.zeros(1, 3, SIDE, SIDE)).layers if layer.type == "Residual"]
    assert [layer.shape for layer in layers] == [(24, 24), (12, 12), (12, 12), (12, 12)]
    assert all(left.channels <= right.channels for left, right in pairwise(layers))
