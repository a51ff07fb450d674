"""Boxes against their definition: a pixel lies within the box exactly if changing it can change the unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.models.receptive_field import ReceptiveField, receptive_fields
from torchlurk.records import Layer

PUSH = 1e12
"""Added to a pixel: in a network of positive weights every unit that depends on it grows, through any maximum."""


class Steps(nn.Module):
    """A chain of functions, each a module whose output can be read."""

    def __init__(self, *functions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.steps = nn.ModuleList([each if isinstance(each, nn.Module) else Step(each) for each in functions])

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class Step(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def positive(module: nn.Module) -> nn.Module:
    """In float64, with all weights between one and two and no bias, so that nothing cancels."""
    torch.manual_seed(0)
    for name, parameter in module.double().named_parameters():
        parameter.data = torch.zeros_like(parameter) if name.endswith("bias") else 1 + torch.rand_like(parameter)
    return module.eval()


def field_of(module: nn.Module, image: Tensor, name: str = "model", axis: int = 1) -> ReceptiveField:
    """The receptive field of a chain's last step, or of the module named."""
    read = name if name != "model" else f"steps.{len(module.steps) - 1}"
    shapes: list[tuple[int, ...]] = []
    handle = module.get_submodule(read).register_forward_hook(lambda _m, _a, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        module(image)
    handle.remove()
    shape = list(shapes[0])
    channels = shape.pop(0 if axis == 1 else -1)
    layer = Layer(read, "Step", "spatial" if len(shape) > 1 else "vector", channels, tuple(shape), axis)
    return receptive_fields(module, image, [layer])[read]


def every_box(field: ReceptiveField) -> np.ndarray:
    """The boxes of all units at all positions: channel, position, 4."""
    positions = int(np.prod(field.shape))
    channel, position = np.meshgrid(np.arange(field.channels), np.arange(positions), indexing="ij")
    return field.boxes(channel, position)


def literal_boxes(module: nn.Module, image: Tensor) -> np.ndarray:
    """The same by trying: each pixel is changed by itself, and it is seen which units change."""
    height, width = image.shape[-2:]
    pixels = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    with torch.no_grad():
        before, after = module(image).flatten(2), module(image + PUSH * pixels).flatten(2)
    changed = ((after - before).abs() > 1e-6 * before.abs()).unflatten(0, (height, width)).numpy()
    boxes = [*_ends(changed.any(0)), *_ends(changed.any(1))]
    return np.stack([boxes[0], boxes[2], boxes[1], boxes[3]], -1)


def _ends(changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and, exclusive, last index along the first axis at which anything changed; 0, 0 where nothing did."""
    first, last = changed.argmax(0), len(changed) - changed[::-1].argmax(0)
    return first, np.where(changed.any(0), last, 0)


def assert_exact(*functions: Callable[[Tensor], Tensor], size: tuple[int, int] = (9, 11), channels: int = 2) -> None:
    """The boxes of a chain equal those found by trying, in every channel at every position."""
    module = positive(Steps(*functions))
    image = torch.rand(1, channels, *size, dtype=torch.float64)
    np.testing.assert_array_equal(every_box(field_of(module, image)), literal_boxes(module, image))


def crossed(x: Tensor) -> Tensor:
    """A dense convolution without weights: every channel becomes the sum of all."""
    return x.sum(1, keepdim=True).expand_as(x)


def excited(x: Tensor) -> Tensor:
    return x * x.mean((2, 3), keepdim=True)


def shuffled(x: Tensor) -> Tensor:
    batch, channels, *space = x.shape
    return x.view(batch, 2, channels // 2, *space).transpose(1, 2).reshape(x.shape)


def half_passed_by(x: Tensor) -> Tensor:
    left, right = x.chunk(2, 1)
    return torch.cat([left, F.avg_pool2d(right, 3, 1, 1)], 1)


def written_in_part(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :1, 2:5] = 0
    x[:, 1:].mul_(x[:, :1, :, :1].amax(2, keepdim=True))
    return x


def assembled(x: Tensor) -> Tensor:
    whole = torch.empty(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype)
    whole[..., ::2] = x
    whole[..., 1::2] = x.flip(-1)
    return whole


def viewed_and_rectified(x: Tensor) -> Tensor:
    flat = x.clone()
    view = flat.permute(0, 2, 3, 1)[:, 1:]
    view += x.sum(1)[:, 1:, :, None].roll(1, 1)
    return flat


OPERATIONS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "strided convolution": lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1),
    "dilated convolution": lambda: nn.Conv2d(2, 2, 3, padding=(2, 0), dilation=2),
    "padding wider than the kernel": lambda: nn.Conv2d(2, 2, 2, stride=2, padding=4),
    "padding one": lambda: nn.Conv2d(2, 2, 3, padding="same", dilation=(1, 3)),
    "grouped convolution": lambda: Steps(half_passed_by, nn.Conv2d(2, 4, 3, groups=2)),
    "transposed convolution": lambda: nn.ConvTranspose2d(2, 2, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 0)),
    "dilated transposed convolution": lambda: Steps(half_passed_by, nn.ConvTranspose2d(2, 4, 2, dilation=3, groups=2)),
    "reflecting convolution": lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
    "circular convolution": lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
    "maximum pooling": lambda: nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True),
    "mean pooling": lambda: nn.AvgPool2d((2, 3), 2, (0, 1), ceil_mode=True),
    "norm pooling": lambda: nn.LPPool2d(2, 3, 2),
    "adaptive mean pooling": lambda: nn.AdaptiveAvgPool2d((4, 5)),
    "adaptive mean pooling to more": lambda: nn.AdaptiveAvgPool2d((10, 3)),
    "adaptive maximum pooling": lambda: nn.AdaptiveMaxPool2d((4, 7)),
    "global pooling": lambda: nn.AdaptiveAvgPool2d(1),
    "pooling of rows": lambda: nn.AdaptiveAvgPool2d((1, None)),
    "nearest interpolation": lambda: nn.Upsample(scale_factor=1.6),
    "linear interpolation": lambda: nn.Upsample(size=(13, 7), mode="bilinear"),
    "linear interpolation between corners": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "constant padding": lambda: nn.ConstantPad2d((1, 3, -2, 4), 0.5),
    "replication padding": lambda: nn.ReplicationPad2d((1, 2, 0, 3)),
    "squeeze and excite": lambda: excited,
    "channel shuffle": lambda: Steps(half_passed_by, shuffled),
    "space to depth": lambda: Steps(lambda x: x[..., :8, :10], nn.PixelUnshuffle(2)),
    "depth to space": lambda: Steps(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2)),
    "unfolding": lambda: lambda x: F.unfold(x, (2, 3), stride=2)[..., None],
    "every other pixel": lambda: lambda x: x[:, :, ::2, 1::3],
    "a roll and a flip": lambda: lambda x: x.roll((2, -1), (2, 3)).flip(3),
    "chosen rows": lambda: lambda x: x[:, :, [4, 0, 4]],
    "stacking": lambda: lambda x: torch.stack([x, x.flip(2)], 2).flatten(1, 2),
    "writing in part": lambda: written_in_part,
    "assembling": lambda: assembled,
    "writing through a view": lambda: viewed_and_rectified,
    "changing in place": lambda: Steps(lambda x: x.clone(), nn.ReLU(inplace=True), lambda x: x.add_(x.flip(2))),
    "batch normalization": lambda: nn.BatchNorm2d(2),
    "running sums": lambda: lambda x: x.cumsum(3),
    "a product of matrices": lambda: lambda x: x @ x.transpose(2, 3),
    "an einsum": lambda: lambda x: torch.einsum("nchw,ncvw->nhcv", x, x),
    "columns of a channel": lambda: lambda x: x.unbind(1)[1].unsqueeze(1).amax(3, keepdim=True),
    "windows as batch": lambda: lambda x: x[..., :8, :8].reshape(-1, 2, 2, 4, 2, 4).mean((3, 5)),
    "decision by the data": lambda: lambda x: F.avg_pool2d(x, 2) if x.sum() > 0 else x,
    "local response normalization": lambda: nn.LocalResponseNorm(3),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_boxes_of_every_operation_are_what_trying_finds(name: str) -> None:
    assert_exact(OPERATIONS[name]())


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_boxes_behind_an_operation_between_convolutions_are_what_trying_finds(name: str) -> None:
    operation = OPERATIONS[name]()
    with torch.no_grad():
        channels = positive(Steps(operation))(torch.rand(1, 2, 9, 11, dtype=torch.float64)).shape[1]
    after = nn.Conv2d(channels, 1, (2, 1), padding=1)
    assert_exact(nn.Conv2d(2, 2, 3, padding=1), operation, after, F.relu)
