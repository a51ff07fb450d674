"""The trial that finds a batch size leaves the network as it was, whatever kind its layers are."""

import pytest
import torch
from torch import nn

from torchlurk.models.survey.layers import survey
from torchlurk.scanning.batch_size import CPU_SIZES, choose_batch_size


class Tokens(nn.Module):
    """Patches, then a linear layer on each of them, with an in-place rectification between."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.cut = nn.Conv2d(3, 6, 4, 4), nn.ReLU(inplace=True)
        self.linear, self.second = nn.Linear(6, 5), nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.linear(self.cut(self.patches(x)).flatten(2).mT)).mean(1)


@pytest.mark.slow
def test_a_size_is_found_and_the_network_is_as_before() -> None:
    torch.manual_seed(0)
    for network in (Tokens(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.Conv2d(4, 2, 3))):
        network.train()
        example = torch.randn(1, 3, 16, 16)
        layers = survey(network, example).layers
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with torch.no_grad():
            expected = network.eval()(example)
        network.train()
        assert choose_batch_size(network, example, layers) in (1, *CPU_SIZES)
        assert network.training
        assert all("forward" not in vars(one) and not one._forward_hooks for one in network.modules())
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        with torch.no_grad():
            assert torch.equal(network.eval()(example), expected)
