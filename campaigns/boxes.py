"""Boxes of every torchvision family of convolutional networks: what is outside changes nothing, each side of it something."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from torch import Tensor, nn

from campaigns import recording
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer

SEED, SIDE, LAYERS = 0, 128, 3
FAMILIES = {
    "alexnet": {},
    "vgg11_bn": {},
    "resnet18": {},
    "resnext50_32x4d": {},
    "squeezenet1_1": {},
    "densenet121": {},
    "inception_v3": {"init_weights": False},
    "googlenet": {"init_weights": False},
    "shufflenet_v2_x0_5": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "mnasnet0_5": {},
    "efficientnet_b0": {},
    "efficientnet_v2_s": {},
    "regnet_x_400mf": {},
    "regnet_y_400mf": {},
    "convnext_tiny": {},
}


def places(layer: Layer) -> Tensor:
    """The corners, the middles of the edges, and the middle."""
    height, width = layer.shape
    rows, columns = ([0, size // 2, size - 1] for size in (height, width))
    return torch.tensor(sorted({row * width + column for row in rows for column in columns}))


def sides(box: np.ndarray) -> list[tuple[slice, slice]]:
    """The outermost pixels of a box: its first and last row, its first and last column."""
    x0, y0, x1, y1 = (int(one) for one in box)
    rows, columns = slice(y0, y1), slice(x0, x1)
    return [(slice(y0, y0 + 1), columns), (slice(y1 - 1, y1), columns), (rows, slice(x0, x0 + 1)), (rows, slice(x1 - 1, x1))]


def with_boxes(layers: list[Layer], fields: dict[str, ReceptiveField]) -> list[Layer]:
    """Those whose middle position does not see the whole input, a few from the first to the last."""
    smaller = []
    for layer in layers:
        middle = layer.shape[0] // 2 * layer.shape[1] + layer.shape[1] // 2
        box = fields[layer.name].boxes(np.array([0]), np.array([middle]))[0]
        if box.tolist() != [0, 0, SIDE, SIDE]:
            smaller.append(layer)
    return [smaller[index] for index in sorted({round(one) for one in np.linspace(0, len(smaller) - 1, LAYERS)})]


def adding(module: nn.Module) -> nn.Module:
    """The same network with no weight below zero and no bias: of what a unit sees nothing is cancelled, cut off or outdone."""
    other = copy.deepcopy(module)
    with torch.no_grad():
        for name, value in other.named_parameters():
            value.abs_() if value.dim() > 1 or name.endswith("weight") else value.zero_()
    return other


def check(name: str) -> None:
    """Boxes hold all that a unit sees, and no side of them too much."""
    torch.manual_seed(SEED)
    import_torchvision()
    from torchvision import models

    module = models.get_model(name, weights=None, **FAMILIES[name]).eval().double()  # weak ties must not round to none
    for key, value in module.named_parameters():
        if key.endswith("layer_scale"):
            torch.nn.init.ones_(value)  # at first it all but switches its branch off
    inputs = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    layers = [one for one in choose(survey(module, inputs, "output").layers) if len(one.shape) == 2]
    fields = receptive_fields(module, inputs, layers)
    chosen = with_boxes(layers, fields)
    assert chosen
    positive = adding(module)
    for layer in chosen:
        seen = Seen(layer, fields[layer.name])
        nothing_outside(seen, module, inputs)
        something_on_each_side(seen, positive)


class Seen:
    """A few positions of a layer, and its units that have the first one's boxes there."""

    def __init__(self, layer: Layer, field: ReceptiveField) -> None:
        every = np.arange(layer.channels)
        self.layer, self.positions = layer, places(layer)
        tables = np.stack([field.boxes(every, np.full(len(every), place)) for place in self.positions.tolist()])
        self.boxes = tables[:, 0]
        self.units = torch.from_numpy(np.flatnonzero((tables == tables[:, :1]).all((0, 2))))

    def values(self, module: nn.Module, pictures: Tensor) -> Tensor:
        """What the units say of picture i at position i, [position, unit]."""
        readout = Readout(module, self.layer)
        with readout.ready(), torch.no_grad():
            found = readout.maps(pictures)[:, self.units]
        return found.gather(2, self.positions[:, None, None].expand(-1, len(self.units), 1))[:, :, 0]


def nothing_outside(seen: Seen, module: nn.Module, inputs: Tensor) -> None:
    pictures = inputs.repeat(len(seen.positions), 1, 1, 1)
    outside = torch.randn_like(pictures)
    for row, (x0, y0, x1, y1) in enumerate(seen.boxes):
        outside[row, :, y0:y1, x0:x1] = pictures[row, :, y0:y1, x0:x1]
    torch.testing.assert_close(seen.values(module, outside), seen.values(module, pictures), rtol=1e-10, atol=1e-12)


def something_on_each_side(seen: Seen, module: nn.Module) -> None:
    dark = torch.zeros(len(seen.positions), 3, SIDE, SIDE, dtype=torch.float64)
    without = seen.values(module, dark)
    for side in range(4):
        lit = dark.clone()
        for row, box in enumerate(seen.boxes):
            lit[row, :, *sides(box)[side]] = 1
        silent = (seen.values(module, lit) == without).all(1).numpy()
        assert not silent.any(), f"{seen.layer.name}: side {side} of {seen.boxes[silent].tolist()} is never seen"


if __name__ == "__main__":
    recording.run("boxes", __doc__, SEED, {name: functools.partial(check, name) for name in FAMILIES})
