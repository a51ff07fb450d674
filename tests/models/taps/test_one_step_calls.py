"""Recurrent modules that a model calls once for each step, beside cells and whole sequences with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import torchlurk as tl
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.taps.reading import maps, reading

INPUTS, UNITS = 2, 3


class Loop(nn.Module):
    """Calls a GRU or a cell once for each step, with a state that the step before has left."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn: nn.Module = nn.GRU(INPUTS, UNITS)
        self.fc = nn.Linear(UNITS, 2)
        if way == "cell":
            cell = nn.GRUCell(INPUTS, UNITS)
            cell.load_state_dict({name.removesuffix("_l0"): one for name, one in self.rnn.state_dict().items()})
            self.rnn = cell
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "whole":
            return self.fc(self.rnn(x.transpose(0, 1))[0][-1])
        state = None
        for step in x.unbind(1):
            state = self.rnn(step, state) if self.way == "cell" else self.rnn(step[None], state)[1]
        return self.fc(state.reshape(len(x), -1))


class Deep(nn.Module):
    """An encoder, and a decoder of two layers that reads what the attention chose, one step at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.letters = nn.Embedding(7, 4)
        self.encoder = nn.GRU(4, 4, batch_first=True)
        self.decoder = nn.LSTM(8, 4, num_layers=2, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        known, _ = self.encoder(self.letters(ids))
        state, given, found = None, known[:, -1:], []
        for _ in range(5):
            weights = (given @ known.transpose(1, 2)).softmax(-1)
            given, state = self.decoder(torch.cat([given, weights @ known], -1), state)
            found.append(given)
        return torch.cat(found, 1)


def series(count=6, steps=9):
    return torch.randn(count, steps, INPUTS, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("streams", ["output", "all"])
def test_one_layer_holds_the_steps_of_all_calls(streams):
    found = {}
    for way in ("calls", "whole"):
        network = Loop(way).eval()
        layers = [
            one
            for one in choose(survey(network, series(1), axes=Axes.of("btc")).layers, streams=(streams,))
            if one.module == "rnn"
        ]
        got: dict[str, Tensor] = {}

        def take(layer, given, got=got):
            got[layer.name] = maps(layer, given)

        with torch.no_grad(), reading(network, layers, take):
            for steps in (9, 4, 1):
                network(series()[:, :steps])
                found.setdefault(way, []).append(dict(got))
        assert [layer.shape for layer in layers] == [(9,)] * len(layers)
    for called, whole in zip(found["calls"], found["whole"], strict=True):
        assert called.keys() == whole.keys()
        for name, values in whole.items():
            torch.testing.assert_close(called[name], values, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_studies_and_attributions_are_those_of_a_cell(tmp_path):
    found = {}
    for way, unit in (("calls", "rnn.l0:1"), ("cell", "rnn:1"), ("whole", "rnn.l0:1")):
        network = Loop(way).eval()
        study = tl.analyze(network, TensorDataset(series()), out=tmp_path / f"{way}.lurk", stages=["scan"], input_axes="btc")
        one = study.unit(unit)
        layer = next(layer for layer in study.reader.layers() if layer.name == unit.partition(":")[0])
        gradient = tl.attribute(network, series(1), unit, method="gradient", position=(4,), input_axes="btc")
        assert not gradient[:, 5:].any()
        found[way] = [(one.example, one.position, one.score) for one in one.exemplars()], gradient, layer.receptive_field
    for way in ("cell", "whole"):
        assert [one[:2] for one in found["calls"][0]] == [one[:2] for one in found[way][0]]
        assert [one[2] for one in found["calls"][0]] == pytest.approx([one[2] for one in found[way][0]], abs=1e-6)
        torch.testing.assert_close(found["calls"][1], found[way][1])
        assert found["calls"][2] == found[way][2]


@pytest.mark.slow
def test_layers_of_a_decoder_have_as_many_steps_as_it_takes(tmp_path):
    data = [(torch.randint(0, 7, (6,), generator=torch.Generator().manual_seed(one)), 0) for one in range(5)]
    network = Deep().eval()
    study = tl.analyze(network, data, out=tmp_path / "deep.lurk", stages=["scan", "attribute"], streams=["all"])
    shapes = {layer.name: layer.shape for layer in study.reader.layers()}
    assert {name for name in shapes if name.startswith("decoder")} == {
        f"decoder.l{part}{stream}" for part in (0, 1) for stream in ("", ".c", ".i", ".f", ".g", ".o")
    }
    assert all(shape == ((5,) if name.startswith("decoder") else (6,)) for name, shape in shapes.items())
    ids = torch.stack([one for one, _ in data])
    best = study.unit("decoder.l1:2").exemplars()[0]
    with torch.no_grad():
        states = network(ids)[..., 2]
    assert best.score == pytest.approx(float(states.max()), rel=1e-5)
    assert best.own_step == int(states[best.example].argmax())
    assert study.unit("decoder.l1:2").attributions()
