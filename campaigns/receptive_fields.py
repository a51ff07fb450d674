"""Receptive fields of torchvision's convolutional networks, at places and of units drawn at random.

Pixels outside a unit's box never count: noise there changes nothing. Each side of the box does: in the same network with
positive weights a line of ones along it is seen.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn

from campaigns import recording
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.reading import maps, reading
from torchlurk.records import Layer

SEED = 0
FAMILIES = [
    "alexnet", "vgg11_bn", "resnet18", "resnext50_32x4d", "squeezenet1_1", "densenet121", "inception_v3", "googlenet",
    "shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s",
    "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny",
]  # fmt: skip
SIDE = 80
LAYERS_TRIED = 3
PUBLISHED = {
    "vgg16": {
        "features.2": (5, 1),
        "features.7": (14, 2),
        "features.14": (40, 4),
        "features.28": (196, 16),
        "features.30": (212, 32),
    },
    "inception_v3": {"Mixed_7c": (1311, 32)},
    "resnet18": {"layer1": (43, 4), "layer2": (99, 8), "layer3": (211, 16), "layer4": (435, 32)},
    "resnet50": {"layer4": (427, 32)},
}
"""(size, stride) of layers of known networks, in pixels."""


def check(name: str) -> None:
    """A few layers that do not see all of the image, from the first to the last of them."""
    random = np.random.default_rng(SEED)
    module = torchvision_model(name)
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    layers = [layer for layer in survey(module, image).layers if layer.layout == "spatial" and layer.positions > 1]
    fields = receptive_fields(module, image, layers)
    local = [layer for layer in layers if any_outside(fields[layer.name])]
    assert local
    chosen = [local[int(at)] for at in np.linspace(0, len(local) - 1, LAYERS_TRIED)]
    cases = [(layer, unit, position) for layer in chosen for unit, position in drawn(layer, random)]
    boxes = [fields[layer.name].boxes(np.array(unit), np.array(position)) for layer, unit, position in cases]

    noise = image + torch.randn(len(cases), *image.shape[1:])
    for (x0, y0, x1, y1), changed in zip(boxes, noise, strict=True):
        changed[:, y0:y1, x0:x1] = image[0, :, y0:y1, x0:x1]
    before, after = activations(module, image, chosen), activations(module, noise, chosen)
    for at, (layer, unit, position) in enumerate(cases):
        expected, got = before[layer.name][0, unit].flatten()[position], after[layer.name][at, unit].flatten()[position]
        assert abs(got - expected) <= 1e-5 * before[layer.name].abs().max()

    edges = torch.zeros(len(cases), 4, 3, SIDE, SIDE)
    for (x0, y0, x1, y1), (top, bottom, left, right) in zip(boxes, edges, strict=True):
        top[:, y0, x0:x1] = bottom[:, y1 - 1, x0:x1] = left[:, y0:y1, x0] = right[:, y0:y1, x1 - 1] = 1
    reached = activations(averaging(module), edges.flatten(0, 1), chosen)
    for at, (layer, unit, position) in enumerate(cases):
        assert (reached[layer.name][4 * at : 4 * at + 4, unit].flatten(1)[:, position] != 0).all(), (layer.name, unit, position)


def check_published(name: str) -> None:
    """Size and stride are those published, also where the image is smaller.

    ResNet-50 has its strides in the 3x3 convolutions: 427, not the 483 of the first.
    """
    module = torchvision_model(name)
    found = {layer.name: layer for layer in survey(module, torch.rand(1, 3, 128, 128)).layers}
    for layer, (size, stride) in PUBLISHED[name].items():
        assert found[layer].receptive_field == (size, size)
        assert found[layer].stride == (stride, stride)


def torchvision_model(name: str) -> nn.Module:
    torch.manual_seed(SEED)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return import_torchvision().models.get_model(name, weights=None, **options).eval()


def any_outside(field: ReceptiveField) -> bool:
    """Whether some unit at some position does not depend on all of the image."""
    return any(bool((last - first < SIDE).any()) for first, last in (field.rows, field.columns))


def drawn(layer: Layer, random: np.random.Generator) -> list[tuple[int, int]]:
    """Units, drawn at random, at the corners of the map, in the middle of each edge, and anywhere."""
    height, width = layer.shape
    anywhere = (int(random.integers(height)), int(random.integers(width)))
    places = [(0, 0), (0, width - 1), (height - 1, width // 2), (height // 2, 0), (height - 1, width - 1), anywhere]
    return [(int(random.integers(layer.channels)), y * width + x) for y, x in places]


def activations(module: nn.Module, images: Tensor, layers: list[Layer]) -> dict[str, Tensor]:
    """Each layer's maps, of all images."""
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    for batch in images.split(16):
        with (
            torch.no_grad(),
            reading(module, layers, lambda layer, x: found[layer.name].append(x.clone()), stop_after_last=True),
        ):
            module(batch)
    return {layer.name: maps(layer, torch.cat(found[layer.name])) for layer in layers}


def averaging(module: nn.Module) -> nn.Module:
    """The same network with positive weights that keep the scale, and no bias: what is zero is not reached."""
    for name, parameter in module.named_parameters():
        weights = 0.5 + torch.rand_like(parameter)
        per_output = weights.flatten(1).sum(1).reshape(-1, *[1] * (weights.dim() - 1)) if weights.dim() > 1 else 1
        parameter.data = torch.zeros_like(parameter) if name.endswith("bias") else weights / per_output
    return module


if __name__ == "__main__":
    boxes = {name: functools.partial(check, name) for name in FAMILIES}
    published = {f"{name}, published": functools.partial(check_published, name) for name in PUBLISHED}
    recording.run("receptive_fields", __doc__, SEED, boxes | published)
