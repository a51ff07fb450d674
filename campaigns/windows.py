"""Attributions on windows of torchvision networks equal those on the whole input, at corners, borders and in the middle."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from campaigns import recording
from torchlurk.attribution.methods import method
from torchlurk.attribution.sides import UnsuitedError
from torchlurk.attribution.window import WindowReadout
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer

SEED = 0
NETWORKS = ("alexnet", "squeezenet1_1", "resnet18", "densenet121", "googlenet", "mobilenet_v2")


def compared(
    module: nn.Module, layer: Layer, field: ReceptiveField, inputs: Tensor, name: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Attributions and activations of the corners, borders and the middle: on the whole, and on windows put in their place."""
    height, width = layer.shape
    flat = [0, width - 1, (height - 1) * width, height * width - 1, (height // 2) * width, height // 2 * width + width // 2]
    positions = torch.tensor(flat)
    channels = torch.arange(len(flat)) % layer.channels
    inputs = inputs.expand(len(flat), *inputs.shape[1:])
    readout, window = Readout(module, layer), WindowReadout(module, layer, field, tuple(inputs.shape[2:]))
    with readout.ready():
        whole, activations = method(name)(readout, inputs, channels, positions)
    placed, again = torch.zeros_like(whole), torch.zeros_like(activations)
    with window.ready():
        for pairs in window.batches(positions):
            where = positions[pairs]
            cut = window.cut(inputs[pairs], where)
            found, again[pairs] = method(name)(window, cut, channels[pairs], where)
            for row, (y, x) in enumerate(zip(*(one.tolist() for one in window.starts(where)), strict=True)):
                rows = slice(max(y, 0), min(y + cut.shape[2], inputs.shape[2]))
                columns = slice(max(x, 0), min(x + cut.shape[3], inputs.shape[3]))
                placed[pairs[row], :, rows, columns] = found[
                    row, :, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
                ]
    return whole, activations, placed, again


def check(name: str) -> None:
    """The guided attributions of layers from the first to the last that do not see all of the input."""
    torch.manual_seed(SEED)
    extra = {"init_weights": False} if name == "googlenet" else {}
    module = (
        getattr(import_torchvision().models, name)(weights=None, **extra).eval().double()
    )  # 120 layers of rounding would hide a fault
    for one in module.modules():
        if getattr(one, "bias", None) is not None:
            nn.init.normal_(one.bias, std=0.1)
    inputs = torch.randn(1, 3, 160, 160, dtype=torch.float64)
    layers = [one for one in choose(survey(module, inputs).layers) if len(one.shape) == 2]
    fields = receptive_fields(module, inputs, layers)
    smaller = [one for one in layers if fields[one.name].size is not None and fields[one.name].size[0] < 120]
    suited = 0
    for layer in smaller[:: max(1, len(smaller) // 5)]:
        try:
            whole, activations, placed, again = compared(module, layer, fields[layer.name], inputs, "guided")
        except UnsuitedError:
            continue
        torch.testing.assert_close(again, activations, rtol=1e-9, atol=1e-9 * float(activations.abs().max()))
        torch.testing.assert_close(placed, whole, rtol=1e-9, atol=1e-9 * float(whole.abs().max()))
        suited += 1
    assert suited >= 2


if __name__ == "__main__":
    recording.run("windows", __doc__, SEED, {name: functools.partial(check, name) for name in NETWORKS})
