"""A convolution without padding whose way back to an input of few channels is quick on a CPU.

Back through a convolution with a stride, an input pixel gets contributions by its place in the stride: by its phase. The
phases together are the channels of one convolution of the signal with stride one, a matrix product of a good shape, while
the usual way writes few channels at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW = 4
"""Channels of an input below which the usual way is slow."""


def convolved(
    x: Float[Tensor, "pair channel height width"],
    weight: Float[Tensor, "filter c h w"],
    bias: Float[Tensor, " filter"] | None,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Float[Tensor, "pair filter h2 w2"]:
    """As `conv2d` without padding; gradients go back to `x` alone."""
    suited = x.shape[1] <= FEW and groups == 1 and dilation == (1, 1) and stride[0] == stride[1] > 1
    if suited and not x.is_cuda and x.requires_grad and torch.is_grad_enabled():
        found: Tensor = _Strided.apply(x, weight, bias, stride[0])  # type: ignore[no-untyped-call]
        return found
    return F.conv2d(x, weight, None if bias is None else bias.detach(), stride, 0, dilation, groups)


class _Strided(torch.autograd.Function):
    """Back by phases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.size = stride, x.shape[2:]
        return F.conv2d(x, weight, bias, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return by_phases(signal, weight, ctx.stride, ctx.size), None, None, None


def by_phases(
    signal: Float[Tensor, "pair filter h2 w2"], weight: Float[Tensor, "filter channel h w"], stride: int, size: tuple[int, int]
) -> Float[Tensor, "pair channel height width"]:
    """What arrives at an input of `size` (height, width) when `signal` goes back through the convolution."""
    phases, padding = phases_of(weight, stride)
    return joined(F.conv2d(signal, phases, None, 1, padding), stride, size)


def phases_of(
    weight: Float[Tensor, "filter channel h w"], stride: int
) -> tuple[Float[Tensor, "phase filter rows columns"], tuple[int, int]]:
    """The convolution, with stride one, that makes all phases of a signal, and its padding."""
    filters, channels, *kernel = weight.shape
    steps = [-(-side // stride) for side in kernel]
    even = F.pad(weight, (0, steps[1] * stride - kernel[1], 0, steps[0] * stride - kernel[0]))
    split = even.reshape(filters, channels, steps[0], stride, steps[1], stride).permute(1, 3, 5, 0, 2, 4)
    return split.reshape(channels * stride * stride, filters, *steps).flip(2, 3), (steps[0] - 1, steps[1] - 1)


def joined(
    phases: Float[Tensor, "pair phase rows columns"], stride: int, size: tuple[int, int]
) -> Float[Tensor, "pair channel height width"]:
    """The input that phases are of, of `size` (height, width)."""
    found = F.pixel_shuffle(phases, stride)
    missing = size[0] - found.shape[2], size[1] - found.shape[3]
    return F.pad(found, (0, max(0, missing[1]), 0, max(0, missing[0])))[:, :, : size[0], : size[1]]
