"""One frame through a model: what is seen does not depend on the order of memory, and models that mind it are looked at too."""

import pytest
import torch
from torch import nn

from torchlurk.errors import ModelError
from torchlurk.model_session import ModelSession
from torchlurk.server.live.frame import Wanted, look
from torchlurk.units import Unit


class Viewing(nn.Module):
    """Calls `view` where the memory has to be in the usual order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(5 * 3 * 3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.conv(x)))
        return self.head(x.view(x.shape[0], -1))


class Flattening(Viewing):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.relu(self.conv(x))).flatten(1))


@pytest.mark.parametrize("kind", [Viewing, Flattening])
@pytest.mark.parametrize("method", ["gradient", "guided", "lrp"])
def test_what_is_seen_is_the_same_in_any_order_of_memory(kind: type[nn.Module], method: str) -> None:
    torch.manual_seed(1)
    model, inputs = kind(), torch.randn(1, 3, 8, 8)
    bench = ModelSession(model, device="cpu")
    layers = bench.ready(inputs)
    wanted = Wanted("conv", Unit("conv", 2), method, 4)
    seen = look(bench, layers, inputs, wanted)
    assert bench.any_order is (kind is Flattening)
    bench.any_order = False
    plain = look(bench, layers, inputs, wanted)
    for one, other in ((seen.maps, plain.maps), (seen.projection, plain.projection)):
        assert one is not None
        torch.testing.assert_close(one, other)
    assert seen.at == plain.at
    assert [one.index for one in seen.predictions] == [one.index for one in plain.predictions]
    assert all(one.is_contiguous() for one in model.parameters())


def test_a_model_that_fails_in_any_order_says_so_and_is_tried_again() -> None:
    model = Flattening()
    bench = ModelSession(model, device="cpu")
    layers = bench.ready(torch.randn(1, 3, 8, 8))
    with pytest.raises(ModelError):
        look(bench, layers, torch.randn(1, 3, 9, 15), Wanted("conv"))
    assert bench.any_order
