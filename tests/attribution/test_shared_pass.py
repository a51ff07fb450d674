"""Several methods from one pass forward are what each gives by itself, also where parts of the pass are run again."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from torchlurk.attribution.methods import METHODS, ByRule, by_rules
from torchlurk.models.layers import survey
from torchlurk.models.readout import Readout

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
