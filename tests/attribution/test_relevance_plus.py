"""lrp_plus against a literal re-derivation, neuron by neuron, against Captum, and by what it conserves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.readout import Readout
from torchlurk.models.taps.recurrent import parts_of

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

REAL = torch.float64
CHANNELS, UNITS, STEPS = 3, 4, 5
KINDS = [(nn.LSTM, {}), (nn.LSTM, {"proj_size": 2}), (nn.GRU, {}), (nn.RNN, {}), (nn.RNN, {"nonlinearity": "relu"})]


pytestmark = pytest.mark.usefixtures("same_numbers")


class OnSeries(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], given: dict[str, object], layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.rnn = kind(CHANNELS, UNITS, layers, batch_first=True, bidirectional=both, **given)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


def series(count: int = 1) -> Tensor:
    return torch.randn(count, STEPS, CHANNELS, dtype=REAL, generator=torch.Generator().manual_seed(1))


def shares(value: float, terms: list[float]) -> list[float]:
    """What each term gets of a value, by the terms of its sign."""
    own = [term if term * value > 0 else 0.0 for term in terms]
    return [one / sum(own) if sum(own) else 0.0 for one in own]


def sign_of(net: OnSeries, part: str) -> Tensor:
    """The sign of what unit 1 does at step 2 of each series."""
    readout = Readout(net, survey(net, series(2), axes=Axes.of("btc")).layer(f"rnn.{part}"))
    with readout.ready(), torch.no_grad():
        return readout.maps(series(2))[:, 1, 2].sign()[:, None, None]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def literal(net: OnSeries, x: list[list[float]], unit: int, at: int) -> list[list[float]]:
    """The relevance of each number of a series, one neuron after the other."""
    rnn, mode = net.rnn, net.rnn.mode
    w, u, b, d = (getattr(rnn, f"{name}_l0").tolist() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    hidden, cell, passes = [0.0] * UNITS, [0.0] * UNITS, []

    def of_input(step: int, row: int) -> list[float]:
        return [w[row][j] * x[step][j] for j in range(CHANNELS)]

    def of_state(state: list[float], row: int) -> list[float]:
        return [u[row][j] * state[j] for j in range(UNITS)]

    for step in range(at + 1):
        given = [sum(of_input(step, row)) + b[row] for row in range(len(w))]
        back = [sum(of_state(hidden, row)) + d[row] for row in range(len(w))]
        passes.append((hidden, cell, given, back))
        new_hidden, new_cell = [], []
        for k in range(UNITS):
            gates = [given[k + n * UNITS] + back[k + n * UNITS] for n in range(len(w) // UNITS)]
            if mode == "LSTM":
                new_cell.append(sigmoid(gates[1]) * cell[k] + sigmoid(gates[0]) * math.tanh(gates[2]))
                new_hidden.append(sigmoid(gates[3]) * math.tanh(new_cell[k]))
            elif mode == "GRU":
                candidate = math.tanh(given[k + 2 * UNITS] + sigmoid(gates[0]) * back[k + 2 * UNITS])
                new_hidden.append((1 - sigmoid(gates[1])) * candidate + sigmoid(gates[1]) * hidden[k])
            else:
                new_hidden.append(math.tanh(gates[0]))
        hidden, cell = new_hidden, new_cell or cell
    found = [[0.0] * CHANNELS for _ in x]
    of_hidden = [hidden[k] if k == unit else 0.0 for k in range(UNITS)]
    of_cell = [0.0] * UNITS
    for step in range(at, -1, -1):
        state, kept, given, back = passes[step]
        earlier = [0.0] * UNITS
        for k in range(UNITS):
            gates = [given[k + n * UNITS] + back[k + n * UNITS] for n in range(len(w) // UNITS)]
            row, scale, relevance = k, 1.0, of_hidden[k]
            if mode == "LSTM":
                row, terms = k + 2 * UNITS, [sigmoid(gates[1]) * kept[k], sigmoid(gates[0]) * math.tanh(gates[2])]
                both = shares(sum(terms), terms)
                relevance = (of_hidden[k] + of_cell[k]) * both[1]
                of_cell[k] = (of_hidden[k] + of_cell[k]) * both[0]
                total = gates[2]
            elif mode == "GRU":
                row, scale = k + 2 * UNITS, sigmoid(gates[0])
                total = given[row] + scale * back[row]
                terms = [(1 - sigmoid(gates[1])) * math.tanh(total), sigmoid(gates[1]) * state[k]]
                both = shares(sum(terms), terms)
                earlier[k] += of_hidden[k] * both[1]
                relevance = of_hidden[k] * both[0]
            else:
                total = gates[0]
            parts = shares(total, [*of_input(step, row), *(scale * one for one in of_state(state, row))])
            for j in range(CHANNELS):
                found[step][j] += relevance * parts[j]
            for j in range(UNITS):
                earlier[j] += relevance * parts[CHANNELS + j]
        of_hidden = earlier
    return found


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_it_is_as_derived_neuron_by_neuron(kind: type[nn.RNNBase]) -> None:
    net = OnSeries(kind, {}).to(REAL)
    for unit in (0, 2):
        found = tl.attribute(net, series(), f"rnn.l0:{unit}", "lrp_plus", position=(3,), input_axes="btc")[0]
        torch.testing.assert_close(
            found, torch.tensor(literal(net, series()[0].tolist(), unit, 3), dtype=REAL), rtol=1e-9, atol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "given"), KINDS)
def test_all_of_it_arrives_without_biases_and_with_them_never_more_and_of_the_sign_of_the_unit(kind, given) -> None:
    net = OnSeries(kind, given, both=True).to(REAL)
    for biased in (True, False):
        if not biased:
            for name, one in net.named_parameters():
                one.data.mul_("bias" not in name)
        for part in parts_of(net.rnn):
            found = tl.attribute(net, series(2), f"rnn.{part}:1", "lrp_plus", position=(2,), input_axes="btc")
            whole = tl.attribute(net, series(2), f"rnn.{part}:1", "lrp", position=(2,), input_axes="btc")
            assert bool((found * sign_of(net, part) >= 0).all()), "all of the sign of the unit"
            if not biased:  # lrp conserves, too, so that its sum is the activation
                torch.testing.assert_close(found.sum((1, 2)), whole.sum((1, 2)), rtol=1e-4, atol=1e-12)


def test_dense_layers_are_as_in_captum_and_turned_around_with_the_unit() -> None:
    captum = pytest.importorskip("captum.attr")
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule

    net = nn.Sequential(nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)).to(REAL)
    x = torch.rand(4, 5, dtype=REAL)
    net[0].rule, net[2].rule = Alpha1_Beta0_Rule(), Alpha1_Beta0_Rule()
    expected = captum.LRP(net).attribute(x.clone().requires_grad_(), target=1)
    above = net(x)[:, 1] > 0  # Captum's is for positive inputs, and for what speaks for a unit
    assert bool(above.any())
    found = tl.attribute(net, x, "2:1", "lrp_plus")
    torch.testing.assert_close(found[above], expected[above].detach(), rtol=1e-4, atol=1e-6)
    flipped = nn.Sequential(net[0], nn.ReLU(), nn.Linear(6, 3, bias=False).to(REAL))
    flipped[2].load_state_dict({name: -one for name, one in net[2].state_dict().items()})
    torch.testing.assert_close(tl.attribute(flipped, x, "2:1", "lrp_plus"), -found, rtol=1e-9, atol=1e-12)
