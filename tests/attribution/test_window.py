"""On its receptive field alone a unit does what it does on the whole input, at corners and borders too."""

# Tolerances are of float32: on a window, or several at once, torch's kernels sum in another order.

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import torchlurk as tl
from campaigns.windows import check, compared
from torchlurk.attribution import window as window_module
from torchlurk.attribution.methods import method
from torchlurk.attribution.sides import UnsuitedError
from torchlurk.attribution.window import WindowReadout
from torchlurk.errors import ModelError
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import receptive_fields


class Branches(nn.Module):
    """Everything that windows know: branches of different reach, skips, pools of every kind, functional calls in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.unused = nn.Conv2d(8, 4, 9)
        self.narrow = nn.Conv2d(8, 4, 1)
        self.wide = nn.Conv2d(8, 4, 5, padding="same")
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.last = nn.Conv2d(8, 5, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = F.max_pool2d(F.pad(x, (1, 0, 0, 2)), 3, 2, ceil_mode=True)
        self.unused(F.relu(x))  # reaches further than some unit's window
        x = torch.cat([F.relu(self.narrow(x)), F.silu(self.wide(x))], dim=1)
        y = F.relu(self.dilated(x))
        y += x
        y = F.avg_pool2d(y, 3, 1, padding=1)
        return torch.relu_(self.last(y)).mean((2, 3))


@pytest.fixture(scope="module")
def branches():
    torch.manual_seed(0)
    module = Branches().eval()
    with torch.no_grad():
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 2)
        for one in module.modules():
            if isinstance(one, (nn.Conv2d, nn.BatchNorm2d)):
                nn.init.normal_(one.bias)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("large", [0, 10**6], ids=["cut off at the border", "all in one batch"])
@pytest.mark.parametrize("name", ["gradient", "deconv", "guided", "guided_neg", "input_x_gradient"])
def test_windows_of_branching_networks_equal_the_whole(branches, name, large, monkeypatch):
    monkeypatch.setattr(window_module, "LARGE", large)
    inputs = torch.randn(1, 3, 97, 102, generator=torch.Generator().manual_seed(3))
    found = survey(branches, inputs)
    layers = [found.layer(one) for one in ("stem", "narrow", "wide", "dilated", "last")]
    fields = receptive_fields(branches, inputs, layers)
    for layer in layers:
        whole, activations, placed, again = compared(branches, layer, fields[layer.name], inputs, name)
        torch.testing.assert_close(again, activations, rtol=1e-5, atol=1e-5 * float(activations.abs().max()))
        torch.testing.assert_close(placed, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("large", [0, 10**6])
def test_some_of_the_windows_that_were_cut_together_can_be_run_alone(branches, large, monkeypatch):
    monkeypatch.setattr(window_module, "LARGE", large)
    inputs = torch.randn(1, 3, 97, 102, generator=torch.Generator().manual_seed(5))
    layer = survey(branches, inputs).layer("last")
    window = WindowReadout(branches, layer, receptive_fields(branches, inputs, [layer])["last"], (97, 102))
    positions = torch.tensor([0, 1, layer.shape[1] * 9 + 12, layer.positions - 1])
    channels, given = torch.arange(4), inputs.expand(4, -1, -1, -1)
    with window.ready(), torch.no_grad():
        for pairs in window.batches(positions):
            cut = window.cut(given[pairs], positions[pairs])
            together = window(cut, channels[pairs], positions[pairs])
            for row, pair in enumerate(pairs):
                alone = window(cut[row : row + 1], channels[pair : pair + 1], positions[pair : pair + 1])
                torch.testing.assert_close(alone[0], together[row])


def test_what_lies_outside_the_box_changes_not_one_bit(branches):
    """The window is all that the unit's activation is made from."""
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(1, 3, 97, 102, generator=generator)
    layer = survey(branches, inputs).layer("last")
    field = receptive_fields(branches, inputs, [layer])["last"]
    window = WindowReadout(branches, layer, field, (97, 102))
    for position in (0, layer.shape[1] * 9 + 12, layer.positions - 1):
        x0, y0, x1, y1 = field.boxes(np.array([0]), np.array([position]))[0]
        other = torch.randn(1, 3, 97, 102, generator=generator)
        other[:, :, y0:y1, x0:x1] = inputs[:, :, y0:y1, x0:x1]
        where, channel = torch.tensor([position]), torch.tensor([0])
        with window.ready(), torch.no_grad():
            one, same = (window(window.cut(x, where), channel, where) for x in (inputs, other))
        assert torch.equal(one, same)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1"])
def test_windows_of_torchvision_networks_equal_the_whole(name):
    check(name)


def test_where_windows_do_not_serve_it_is_said():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(4), nn.Conv2d(4, 4, 1)).eval()
    inputs = torch.randn(1, 3, 30, 30)
    layers = survey(module, inputs).layers
    fields = receptive_fields(module, inputs, layers)
    with pytest.raises(UnsuitedError):
        compared(module, layers[-1], fields[layers[-1].name], inputs, "gradient")


class OfOneSize(nn.Module):
    """Refuses pictures of another size, as vision transformers do."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 8, 8)

    def forward(self, x):
        torch._assert(x.shape[2] == 32, f"Wrong image height! Expected 32 but got {x.shape[2]}!")
        return self.patches(x).flatten(1)


@pytest.mark.slow
def test_a_network_that_takes_one_size_alone_is_attributed_on_the_whole(tmp_path):
    pictures = TensorDataset(torch.rand(4, 3, 32, 32), torch.arange(4))
    study = tl.analyze(
        OfOneSize().eval(), pictures, out=tmp_path / "one.lurk", stages=["scan", "attribute"], methods=["gradient"]
    )
    assert study.unit("patches:0").attributions()
    with pytest.raises(ModelError, match="Wrong image height"):
        tl.synthesize(OfOneSize().eval(), "patches:0", size=40)


def test_the_model_is_left_as_found_also_after_an_error(branches):
    inputs = torch.randn(1, 3, 97, 102)
    layer = survey(branches, inputs).layer("last")
    window = WindowReadout(branches, layer, receptive_fields(branches, inputs, [layer])["last"], (97, 102))
    before = {name: value.clone() for name, value in branches.state_dict().items()}
    where = torch.tensor([0])
    with window.ready():
        method("guided")(window, window.cut(inputs, where), where, where)
        with pytest.raises(UnsuitedError):
            method("guided")(window, torch.zeros(1, 3, 4, 4), where, where)
    assert all(torch.equal(branches.state_dict()[name], value) for name, value in before.items())
    assert all(one.grad is None for one in branches.parameters())
    assert not any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in branches.modules())
