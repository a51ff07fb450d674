"""Several methods, and several units of one input, from one pass forward are what each gives by itself, also where parts of
the pass are run again.
"""

# Tolerances are of float32: on a window, or several at once, torch's kernels sum in another order.

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from torchlurk.attribution.methods import ByRule, by_rules
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.readout import Readout
from torchlurk.tables import METHODS

RULED = {name: one for name, one in METHODS.items() if isinstance(one, ByRule)}


class Net(nn.Module):
    def __init__(self, again: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3), nn.SiLU())
        self.last = nn.Conv2d(6, 4, 3)
        self.again = again

    def forward(self, x):
        x = checkpoint(self.first, x, use_reentrant=False) if self.again else self.first(x)
        return torch.relu(self.last(x))


@pytest.mark.parametrize("again", [False, True], ids=["plain", "checkpointed"])
def test_methods_of_one_pass_equal_each_alone(again):
    torch.manual_seed(0)
    net = Net(again).eval()
    inputs = torch.randn(3, 3, 12, 12)
    readout = Readout(net, survey(net, inputs).layer("last"))
    channels, positions = torch.tensor([0, 1, 3]), torch.tensor([0, 7, 20])
    with readout.ready():
        together, activations = by_rules(list(RULED.values()), readout, inputs, channels, positions)
        for found, (name, way) in zip(together, RULED.items(), strict=True):
            alone, same = way(readout, inputs, channels, positions)
            assert torch.equal(found, alone), name
            assert torch.equal(activations, same)
    assert len({tuple(one.flatten().tolist()) for one in together}) == len(RULED)
    assert all(one.grad is None for one in net.parameters())


@pytest.mark.parametrize("positions", [None, [0, 7, 20, 3, 3]], ids=["means", "positions"])
def test_units_of_one_input_equal_each_alone(positions):
    torch.manual_seed(0)
    net = Net(again=False).eval()
    inputs, rows = torch.randn(2, 3, 12, 12), torch.tensor([0, 1, 0, 0, 1])
    readout = Readout(net, survey(net, inputs).layer("last"))
    channels = torch.tensor([0, 1, 3, 0, 2])
    places = None if positions is None else torch.tensor(positions)
    with readout.ready():
        together, activations = by_rules(list(RULED.values()), readout, inputs, channels, places, rows)
        for found, (name, way) in zip(together, RULED.items(), strict=True):
            alone, same = way(readout, inputs[rows], channels, places)
            torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-7, msg=name)
            torch.testing.assert_close(activations, same)
    assert len({tuple(one.flatten().tolist()) for one in together[0]}) > 2  # some units are not excited there
