"""The demo's network for text: small, never unpickled, and better than chance on documents that it has not seen."""

from __future__ import annotations

import math
from importlib.resources import files

import torch
import torch.nn.functional as F
from safetensors import safe_open

from torchlurk.inputs.demo.text_world import text_world
from torchlurk.inputs.opening import open_source
from torchlurk.models.loading.demo_text import TOKENS, WEIGHTS, DemoTextNetwork, demo_text_network
from torchlurk.models.loading.load import load
from torchlurk.options import InputOptions

FRESH = 1000
"""A seed that no training used."""


def bits(network: DemoTextNetwork, documents: int = 10) -> float:
    """The mean surprise at the next character of fresh documents."""
    world = text_world(InputOptions(limit=documents), FRESH)
    losses = []
    with torch.inference_mode():
        for index in range(documents):
            ids = torch.as_tensor(world.read(index).values)
            losses.append(F.cross_entropy(network(ids[None, :-1])[0], ids[1:], reduction="none"))
    return float(torch.cat(losses).mean()) / math.log(2)


def test_it_predicts_fresh_documents() -> None:
    assert bits(demo_text_network()) < 2.5


def test_an_untrained_one_does_not() -> None:
    torch.manual_seed(0)
    assert bits(DemoTextNetwork().eval()) > 5


def test_it_is_small_and_comes_as_safetensors() -> None:
    path = files("torchlurk.models.loading") / WEIGHTS
    assert len(path.read_bytes()) <= 500_000
    with safe_open(str(path), "pt") as stored:
        assert set(stored.keys()) == set(DemoTextNetwork().state_dict())


def test_it_is_the_model_called_demo_text_and_brings_its_vocabulary(tmp_path) -> None:
    loaded = load("demo-text")
    assert all(torch.equal(value, demo_text_network().state_dict()[name]) for name, value in loaded.module.state_dict().items())
    (tmp_path / "mine.txt").write_text("A bad, bad day?")
    source = open_source(str(tmp_path / "mine.txt"), InputOptions(), reads_text=loaded.text)
    assert source.read(0).values.tolist() == [TOKENS.index(one) for one in "A bad, bad day?"]
    other = open_source(str(tmp_path / "mine.txt"), InputOptions(), vocabulary=["?", "b", "a"], reads_text=loaded.text)
    assert int(other.read(0).values.max()) == 2
