"""A layer that computes some of its units: those as ever, and nothing of it left behind."""

# Tolerances are of float32 (1e-5 to 1e-7) or float64 (1e-9), where torch's kernels sum in another order.

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.partial_layer import sparing
from torchlurk.models.taps.readout import Readout

CHANNELS = [7, 3, 7, 19]


class Twice(nn.Module):
    """One convolution called twice before the first call's units are read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 24, 3)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv(x), self.conv(x.flip(3))
        return F.relu(first) + F.relu(second)


class Tokens(nn.Module):
    """A linear layer over tokens, its channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.mlp = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.mlp(self.into(x).flatten(2).transpose(1, 2))).mean(1)


NETWORKS = {
    "convolution": (lambda: nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, padding_mode="reflect"), nn.ReLU()), "0"),
    "no bias, a batch norm between": (
        lambda: nn.Sequential(nn.Conv2d(3, 24, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)),
        "0",
    ),
    "itself": (lambda: nn.Conv2d(3, 24, 3), "model"),
    "first call": (Twice, "conv"),
    "second call": (Twice, "conv#1"),
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU()), "1"),
    "tokens": (Tokens, "mlp"),
    "few channels": (lambda: nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU()), "0"),
}


def built(name: str) -> tuple[nn.Module, Readout, Tensor]:
    torch.manual_seed(0)
    make, layer = NETWORKS[name]
    module = make().eval()
    x = torch.rand(4, 3, 8, 8)
    return module, Readout(module, survey(module, x[:1]).layer(layer)), x


def read(readout: Readout, x: Tensor) -> Tensor:
    with readout.ready():
        return readout.maps(x).detach()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_channels_asked_for_are_as_ever_and_the_others_are_nothing(name) -> None:
    module, readout, x = built(name)
    before, state = dict(vars(module)), {name: one.clone() for name, one in module.state_dict().items()}
    expected = read(readout, x)
    with sparing(module, readout.layer, CHANNELS):
        found = read(readout, x)
    torch.testing.assert_close(found[:, CHANNELS], expected[:, CHANNELS], rtol=1e-5, atol=1e-6)
    alike = [bool(torch.allclose(found[:, one], expected[:, one])) for one in range(readout.layer.channels)]
    assert 16 <= sum(alike) < readout.layer.channels
    assert torch.equal(read(readout, x), expected)
    assert vars(module).keys() == before.keys()
    assert all(torch.equal(one, state[name]) for name, one in module.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_way_back_is_as_ever(name) -> None:
    module, readout, x = built(name)

    def back() -> Tensor:
        leaf = x.clone().requires_grad_()
        with readout.ready():
            values = readout(leaf, torch.tensor(CHANNELS))
            return readout.back(values, torch.ones(len(CHANNELS)), leaf)

    expected = back()
    with sparing(module, readout.layer, CHANNELS):
        torch.testing.assert_close(back(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["convolution", "linear", "no bias, a batch norm between"])
def test_weights_that_are_not_finite_are_their_own_unit_s_alone(name) -> None:
    module, readout, x = built(name)
    one = next(one for one in module.modules() if isinstance(one, nn.Conv2d | nn.Linear))
    expected = read(readout, x)
    with torch.no_grad():
        one.weight[3].view(-1)[0] = math.inf
    leaf = x.clone().requires_grad_()
    with sparing(module, readout.layer, CHANNELS), readout.ready():
        values = readout(leaf, torch.tensor(CHANNELS))
        signal = readout.back(values, torch.ones(len(CHANNELS)), leaf)
    assert values.isnan().tolist() == [False, True, False, False]
    assert signal[[0, 2, 3]].isfinite().all()
    torch.testing.assert_close(values[0], expected[0, 7].mean())


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(4, 24, 3, groups=2), nn.ReLU()),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 24, 3)), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(4, 24, 3), nn.ReLU()),
    ],
    ids=["groups", "parametrized", "transposed"],
)
def test_where_channels_cannot_be_told_apart_all_are_computed(module) -> None:
    x = torch.rand(4, 4, 8, 8)
    readout = Readout(module.eval(), survey(module, x[:1]).layer("0"))
    with sparing(module, readout.layer, CHANNELS):
        assert not vars(module[0]).get("forward")
        found = read(readout, x)
    assert torch.equal(found, read(readout, x))


def test_a_module_that_somebody_watches_runs_itself() -> None:
    module, readout, x = built("convolution")
    seen: list[Tensor] = []
    handle = module[0].register_forward_hook(lambda *_: seen.append(_[2]))
    with sparing(module, readout.layer, CHANNELS):
        found = read(readout, x)
    handle.remove()
    assert torch.equal(found, read(readout, x))
    assert len(seen) == 1


def test_it_is_left_as_found_after_an_error() -> None:
    module, readout, _ = built("convolution")
    with pytest.raises(ZeroDivisionError), sparing(module, readout.layer, CHANNELS):
        _ = 1 / 0
    assert "forward" not in vars(module[0])
    assert not module._forward_pre_hooks
