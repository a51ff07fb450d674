"""Boxes against their definition: a pixel lies within the box exactly if changing it can change the unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from campaigns.receptive_fields import check, check_published
from torchlurk.errors import ModelError
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
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


def by_its_own_weights(x: Tensor) -> Tensor:
    each = x.reshape(1, -1, *x.shape[2:])
    return F.conv2d(each, x[..., 3:5, 4:6].reshape(-1, 1, 2, 2), groups=each.shape[1]).reshape(*x.shape[:2], 8, 10)


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
    "local response normalization": lambda: nn.LocalResponseNorm(3),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_boxes_of_every_operation_are_what_trying_finds(name: str) -> None:
    assert_exact(OPERATIONS[name]())


class Attention(nn.Module):
    """Heads of one number over the rows of the map."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(0.1 * x / (1 + x), x, x, is_causal=self.causal)


class Encoder(nn.TransformerEncoderLayer):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x.mean(3).transpose(1, 2)).transpose(1, 2)


class Recurrent(nn.Module):
    """Its steps in time are the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(11, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(0.01 * x[:, 0] / (1 + x[:, 0]))[0].unsqueeze(1)


@torch.inference_mode()
def in_inference_mode(x: Tensor) -> Tensor:
    return F.linear(
        F.conv2d(x, torch.ones(2, 2, 3, 3, dtype=x.dtype), padding="same"), torch.ones(4, x.shape[-1], dtype=x.dtype)
    )


MIXING: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "layer normalization": lambda: nn.LayerNorm(11),
    "group normalization": lambda: Steps(half_passed_by, nn.GroupNorm(2, 2)),
    "instance normalization": lambda: nn.InstanceNorm2d(2),
    "root mean square normalization": lambda: nn.RMSNorm([9, 11]),
    "softmax": lambda: lambda x: (x / (1 + x)).softmax(2),
    "deviation": lambda: lambda x: x.var(3, keepdim=True),
    "sorting": lambda: lambda x: x.sort(2).values,
    "strongest rows": lambda: lambda x: x.topk(2, dim=3).values,
    "attention": lambda: Attention(False),
    "causal attention": lambda: Steps(Attention(True), lambda x: x[:, :, 1:]),  # one key alone is no choice
    "an encoder's fused path": lambda: Encoder(2, 1, 8, batch_first=True),
    "inference mode": lambda: in_inference_mode,
    "a recurrent network": Recurrent,
    "weights made from the image": lambda: by_its_own_weights,
}


NOT_FOUND_BY_TRYING = {"sorting", "strongest rows", "an encoder's fused path", "a recurrent network"}
"""Orders and saturated cells do not change for a larger pixel, though they may for another."""

WIDER_THAN_NEEDED = {"weights made from the image"}
"""No rule: all that was given."""


@pytest.mark.parametrize("name", MIXING)
def test_the_boxes_behind_what_mixes_contain_what_trying_finds(name: str) -> None:
    torch.manual_seed(0)
    module = positive(Steps(MIXING[name]()))
    image = torch.rand(1, 2, 9, 11, dtype=torch.float64)
    found, tried = every_box(field_of(module, image)), literal_boxes(module, image)
    assert (found[..., :2] <= tried[..., :2]).all()
    assert (found[..., 2:] >= tried[..., 2:]).all()
    assert name in NOT_FOUND_BY_TRYING | WIDER_THAN_NEEDED or np.array_equal(found, tried)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_boxes_behind_an_operation_between_convolutions_are_what_trying_finds(name: str) -> None:
    operation = OPERATIONS[name]()
    with torch.no_grad():
        channels = positive(Steps(operation))(torch.rand(1, 2, 9, 11, dtype=torch.float64)).shape[1]
    after = nn.Conv2d(channels, 1, (2, 1), padding=1)
    assert_exact(nn.Conv2d(2, 2, 3, padding=1), operation, after, F.relu)


class Branches(nn.Module):
    """Two ways through, cut to the same size and joined."""

    def __init__(self, left: nn.Module, right: nn.Module, join: str) -> None:
        super().__init__()
        self.left, self.right, self.join = left, right, join

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        height, width = (min(left.shape[dim], right.shape[dim]) for dim in (2, 3))
        left, right = left[..., :height, :width], right[..., -height:, -width:]
        return torch.cat([left, right], 1) if self.join == "cat" else left[:, :1] + right


@st.composite
def steps(draw: Any, channels: int, depth: int = 0) -> nn.Module:
    """One layer, or two small chains side by side, for an input of so many channels."""

    def pair(least: int, most: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(least, most), st.integers(least, most)))

    kinds = ["conv", "transposed", "max", "mean", "adaptive", "pad", "up", "stride", "shift"] + ["branches"] * 2 * (depth < 2)
    kind = draw(st.sampled_from(kinds))
    if kind == "conv":
        groups = draw(st.sampled_from([1, channels]))
        out = groups * draw(st.integers(1, 2))
        return nn.Conv2d(channels, out, pair(1, 3), pair(1, 2), pair(0, 2), pair(1, 2), groups)
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, 2, pair(1, 3), pair(1, 2), 0, 0, 1, True, pair(1, 2))
    if kind == "max":
        return nn.MaxPool2d(pair(2, 3), pair(1, 2), 1, pair(1, 2), ceil_mode=draw(st.booleans()))
    if kind == "mean":
        return nn.AvgPool2d(pair(2, 3), pair(1, 2), 1, ceil_mode=draw(st.booleans()))
    if kind == "adaptive":
        return draw(st.sampled_from([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d]))(pair(2, 6))
    if kind == "pad":
        return draw(st.sampled_from([nn.ZeroPad2d, nn.ReplicationPad2d, nn.ReflectionPad2d]))((*pair(0, 2), *pair(0, 2)))
    if kind == "up":
        return nn.Upsample(size=pair(3, 12), mode=draw(st.sampled_from(["nearest", "bilinear"])))
    if kind == "stride":
        across, down = pair(1, 2)
        return Step(lambda x: x[:, :, ::down, across - 1 :: across])
    if kind == "shift":
        shift = pair(-2, 2)
        return Step(lambda x: x.roll(shift, (2, 3)))
    left, right = (draw(steps(channels, depth + 1)) for _ in range(2))
    return Branches(left, right, draw(st.sampled_from(["cat", "sum"])))


@st.composite
def networks(draw: Any) -> tuple[nn.Module, Tensor]:
    """A chain of one to four steps, and an image for it; a step for which the map has become too small is left out."""
    image = torch.rand(1, 2, draw(st.integers(5, 11)), draw(st.integers(5, 11)), dtype=torch.float64)
    chain: list[nn.Module] = []
    x = image
    for _ in range(draw(st.integers(1, 4))):
        step = positive(draw(steps(x.shape[1])))
        try:
            with torch.no_grad():
                y = step(x)
        except RuntimeError:
            continue
        if y.numel() and y.isfinite().all():  # a maximum over padding alone is -inf, and stays so whatever is added
            chain, x = [*chain, step], y
    return Steps(*chain or [nn.Identity()]).eval(), image


@pytest.mark.slow
@given(networks())
@settings(max_examples=80, deadline=None, derandomize=True, phases=[Phase.generate], print_blob=False)
def test_the_boxes_of_random_networks_are_what_trying_finds(drawn: tuple[nn.Module, Tensor]) -> None:
    module, image = drawn
    np.testing.assert_array_equal(every_box(field_of(module, image)), literal_boxes(module, image))


# Published numbers


def chain(*layers: tuple[int, int] | tuple[int, int, int]) -> Steps:
    """Convolutions of one channel: kernel, stride, dilation; padded as usual."""
    return Steps(*(nn.Conv2d(1, 1, k, s, d[0] * (k // 2) if d else k // 2, *d) for k, s, *d in layers))


ALEXNET = ((11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1))
MOBILENET = ((3, 2), *((3, stride) for stride in (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)))


@pytest.mark.parametrize(
    ("layers", "size", "stride"),
    [
        (ALEXNET, 163, 16),
        ((*ALEXNET, (3, 2)), 195, 32),
        (MOBILENET, 315, 32),
        (((3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)), 31, 1),
    ],
    ids=["AlexNet conv5", "AlexNet pool5", "MobileNet", "dilated (Yu & Koltun 2016)"],
)
def test_size_and_stride_of_chains_are_those_published(layers: tuple[Any, ...], size: int, stride: int) -> None:
    """Araujo, Norris & Sim 2019, Computing receptive fields of convolutional neural networks, table 1."""
    field = field_of(chain(*layers).eval(), torch.zeros(1, 1, 128, 192))
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


# Real networks


def test_size_and_stride_in_a_known_network_are_those_published() -> None:
    check_published("resnet18")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_pixels_outside_the_box_never_count_and_every_side_of_it_does(name: str) -> None:
    check(name)


# Everything else


def test_a_signal_in_time_has_height_one() -> None:
    module = Steps(nn.Conv1d(2, 4, 5, stride=3), nn.MaxPool1d(2), nn.ReLU())
    field = field_of(module, torch.zeros(1, 2, 40))
    assert (field.size, field.stride) == ((1, 8), (1, 6))
    assert field.boxes(np.array([3, 0]), np.array([0, 2])).tolist() == [[0, 0, 8, 1], [12, 0, 20, 1]]


def test_a_patch_is_its_own_box_until_attention_sees_all() -> None:
    tokens = Steps(nn.Conv2d(3, 8, 4, stride=4), lambda x: x.flatten(2).transpose(1, 2), nn.Linear(8, 8), Encoder2(8))
    image = torch.rand(1, 3, 16, 24)
    before, after = (field_of(tokens, image, f"steps.{step}", axis=-1) for step in (2, 3))
    assert (before.size, before.stride, after.size) == ((4, 4), None, None)
    assert before.boxes(np.array([5]), np.array([7])).tolist() == [[4, 4, 8, 8]]
    assert after.boxes(np.array([5]), np.array([7])).tolist() == [[0, 0, 24, 16]]


class Encoder2(nn.TransformerEncoderLayer):
    def __init__(self, width: int) -> None:
        super().__init__(width, 2, width, batch_first=True)


def test_attention_beside_a_class_token_sees_any_input_whole() -> None:
    def attended(x: Tensor) -> Tensor:
        tokens = torch.cat([torch.ones(1, 1, 4), x.flatten(2).transpose(1, 2)], 1)
        return tokens + F.scaled_dot_product_attention(tokens, tokens, tokens)

    patches = nn.Conv2d(3, 4, 3, stride=4, padding=1)
    field = field_of(Steps(patches, attended), torch.rand(1, 3, 14, 14), axis=-1)
    assert (field.size, field.stride) == (None, None)


def test_a_constant_depends_on_nothing() -> None:
    field = field_of(Steps(torch.ones_like), torch.rand(1, 1, 4, 5))
    assert not every_box(field).any()


def test_an_unknown_operation_depends_on_all_that_it_is_given() -> None:
    def sampled(x: Tensor) -> Tensor:
        part = x[:, :, 2:4]
        return F.grid_sample(part, torch.zeros(1, 3, 3, 2), align_corners=False)

    assert (every_box(field_of(Steps(sampled), torch.rand(1, 1, 6, 5))) == [0, 2, 5, 4]).all()


def test_memory_filled_unseen_may_hold_anything() -> None:
    def filled(x: Tensor) -> Tensor:
        y = torch.empty(x.shape)
        y.numpy()[:] = x.numpy()
        return y

    assert (every_box(field_of(Steps(filled), torch.rand(1, 1, 6, 5))) == [0, 0, 5, 6]).all()


def test_a_caller_in_inference_mode_may_have_a_model_that_changes_its_input() -> None:
    with torch.inference_mode():
        module = Steps(lambda x: x.mul_(2), nn.Conv2d(1, 1, 3))
        assert field_of(module, torch.rand(1, 1, 5, 5)).size == (3, 3)


def test_a_layer_that_is_not_reached_is_named() -> None:
    module = Steps(nn.ReLU())
    module.spare = nn.ReLU()
    layer = Layer("spare", "ReLU", "spatial", 1, (4, 4))
    with pytest.raises(ModelError, match="'spare' was not reached"):
        receptive_fields(module, torch.rand(1, 1, 4, 4), [layer])


def test_positions_and_channels_that_are_not_there_are_refused() -> None:
    field = field_of(Steps(nn.Conv2d(1, 2, 3)), torch.rand(1, 1, 5, 5))
    with pytest.raises(ValueError, match="out of bounds"):
        field.boxes(np.array([0]), np.array([9]))
    with pytest.raises(IndexError):
        field.boxes(np.array([2]), np.array([0]))


class Counting(nn.Module):
    """Keeps count in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + torch.rand(x.shape)


def test_the_module_and_the_image_are_left_as_found_also_after_an_error() -> None:
    module = Steps(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Dropout(0.5), Counting()).train()
    image, state = torch.rand(2, 1, 5, 5), torch.get_rng_state()
    copies = image.clone(), {name: value.clone() for name, value in module.state_dict().items()}
    present, absent = (Layer(f"steps.{step}", "Step", "spatial", 2, (3, 3)) for step in (4, 5))
    receptive_fields(module, image, [present])
    with pytest.raises(ModelError):
        receptive_fields(module, image, [absent])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(image, copies[0])
    assert all(torch.equal(value, copies[1][name]) for name, value in module.state_dict().items())
    assert all(part.training and not part._forward_hooks for part in module.modules())
