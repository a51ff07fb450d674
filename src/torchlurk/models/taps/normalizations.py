"""Batch normalization in evaluation mode, a factor a channel, with a way back that is no more than that.

Torch's own way back, on a CPU, takes seven times as long as a product: a fifth of all attributions of a MobileNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from torchlurk.models.taps.nonlinearities import Function


def normalized(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """What the call gives, if it is of `batch_norm` by running statistics; gradients go back to its input alone."""
    return _normalized(*args, **kwargs) if func is F.batch_norm else None


def _normalized(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if training or running_mean is None or running_var is None or not input.requires_grad:
        return None
    with torch.no_grad():
        value = F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        given = _Given(value, factors(running_var, weight, eps))
    found: Tensor = _Factors.apply(input, given)  # type: ignore[no-untyped-call]
    return found


def factors(
    running_var: Float[Tensor, " channel"], weight: Float[Tensor, " channel"] | None, eps: float
) -> Float[Tensor, " channel"]:
    """What a batch normalization by running statistics multiplies each channel by."""
    scale = (running_var + eps).rsqrt()
    return scale if weight is None else scale * weight


@dataclass(frozen=True, slots=True)
class _Given:
    """What was computed: not among the arguments, where a tensor would come out as a view, which nothing may overwrite."""

    value: Tensor
    factor: Float[Tensor, " channel"]


class _Factors(torch.autograd.Function):
    """The value, which goes back as a product with the channels' factors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, given: _Given) -> Tensor:
        ctx.save_for_backward(given.factor)
        return given.value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return signal * factor.to(signal.dtype).view(-1, *(1 for _ in signal.shape[2:])), None
