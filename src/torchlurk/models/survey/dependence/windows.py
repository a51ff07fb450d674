"""Operations that read a window along each spatial dimension: convolution, pooling, interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from torchlurk.models.survey.dependence.calls import Call, base_name, rule
from torchlurk.models.survey.dependence.intervals import NO_SOURCE, Reach

Sources = Int64[Tensor, "place tap"]


def windows(places: int, kernel: int, stride: int, padding: int, dilation: int) -> Sources:
    """For each place of the result the places that its window covers."""
    return torch.arange(places)[:, None] * stride - padding + torch.arange(kernel) * dilation


def backward_windows(places: int, kernel: int, stride: int, padding: int, dilation: int) -> Sources:
    """For each place of a transposed convolution's result the places whose windows cover it."""
    reached = torch.arange(places)[:, None] + padding - torch.arange(kernel) * dilation
    return torch.where(reached % stride == 0, reached // stride, NO_SOURCE)


def bins(places: int, size: int) -> Sources:
    """The bins of adaptive pooling: from floor(i * size / places) to ceil((i + 1) * size / places)."""
    place = torch.arange(places)
    start, end = place * size // places, -(-(place + 1) * size // places)
    covered = start[:, None] + torch.arange(int((end - start).max()))
    return torch.where(covered < end[:, None], covered, NO_SOURCE)


def nonzero(weights: Float[Tensor, "source place"]) -> Sources:
    """The rows at which each column of a matrix, whose columns are the new places, is not zero."""
    linked = weights.T != 0
    order = torch.sort(linked.to(torch.uint8), dim=1, descending=True, stable=True).indices
    taps = linked.sum(1)
    return torch.where(torch.arange(int(taps.max())) < taps[:, None], order[:, : int(taps.max())], NO_SOURCE)


def per_dim(value: Sequence[int] | int, dims: int) -> list[int]:
    """One value for each spatial dimension, as PyTorch reads them."""
    values = [value] if isinstance(value, int) else list(value)
    return values * dims if len(values) == 1 else values


@rule("convolution", "_convolution", "convolution_overrideable")
def convolved(call: Call) -> Reach:
    """Each element depends on its window in all channels of its group."""
    arguments = call.arguments
    kernel = arguments["weight"].shape[2:]
    settings = [per_dim(arguments[name], len(kernel)) for name in ("stride", "padding", "dilation")]
    table = backward_windows if arguments["transposed"] else windows
    reach = in_groups(call.first("input"), arguments["groups"], call.shape[1])
    for at, taps in enumerate(kernel):
        reach = reach.through(2 + at, table(call.shape[2 + at], taps, *(setting[at] for setting in settings)))
    return reach


def in_groups(reach: Reach, groups: int, channels: int) -> Reach:
    """The union over the channels (dimension 1) of each of `groups` groups, handed to as many of `channels` new ones."""
    batch, old, *space = reach.shape
    grouped = reach.reshaped((batch, groups, old // groups, *space)).over([2])
    spread = grouped.each(lambda sides: sides, (batch, groups, channels // groups, *space))
    return spread.reshaped((batch, channels, *space))


@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def pooled(call: Call) -> tuple[Reach, ...]:
    """Each element depends on its window, in its own channel."""
    reach, arguments = call.first("self"), call.arguments
    count = int(base_name(call.function).partition("pool")[2][0])
    kernel = arguments["kernel_size"]
    given = (kernel, arguments["stride"] or kernel, arguments["padding"], arguments.get("dilation", 1))
    settings = [per_dim(value, count) for value in given]
    for at in range(count):
        dim = len(reach.shape) - count + at
        reach = reach.through(dim, windows(call.shape[dim], *(setting[at] for setting in settings)))
    return (reach,) * len(call.outputs)


@rule(
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)  # fmt: skip
def pooled_in_bins(call: Call) -> tuple[Reach, ...]:
    """Each element depends on its bin; a single bin is the whole map."""
    reach = call.first("self")
    count = int(base_name(call.function).partition("pool")[2][0])
    for dim in range(len(reach.shape) - count, len(reach.shape)):
        places = call.shape[dim]
        reach = reach.over([dim]) if places == 1 else reach.through(dim, bins(places, reach.shape[dim]))
    return (reach,) * len(call.outputs)


@rule(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
)  # fmt: skip
def interpolated(call: Call) -> Reach:
    """Each element depends on the elements that have a weight in it."""
    reach = call.first("self")
    for at, dim in enumerate(range(2, len(reach.shape))):
        reach = reach.through(dim, nonzero(_interpolation(call, at, reach.shape[dim], call.shape[dim])))
    return reach


def _interpolation(call: Call, at: int, size: int, places: int) -> Tensor:
    """The weights (old place, new place) along one spatial dimension: the operation itself, done to the unit vectors.

    The other dimensions are two places long, for with one PyTorch does not smooth as it does in larger maps.
    """
    dims = len(call.shape) - 2
    wide = [min(2, extent) for extent in call.first("self").shape[2:]]
    scales = [name for name in call.arguments if name.startswith("scales")]
    arguments: dict[str, Any] = {name: value for name, value in call.arguments.items() if name != "self"}
    arguments |= {name: None for other, name in enumerate(scales) if other != at}
    arguments["output_size"] = [places if other == at else wide[other] for other in range(dims)]
    vectors = torch.eye(size, dtype=call.outputs[0].dtype)
    vectors = vectors.reshape(1, size, *(size if other == at else 1 for other in range(dims)))
    vectors = vectors.expand(1, size, *(size if other == at else wide[other] for other in range(dims))).contiguous()
    weights: Tensor = call.function(vectors, **arguments)
    return weights.movedim(2 + at, -1).reshape(size, -1, places)[:, 0]
