"""A layer that computes only the units that are asked for, for passes that end there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from torchlurk.models.taps.forward_override import ForwardOverride, untouched
from torchlurk.models.taps.modules import submodules
from torchlurk.records import Layer

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

ABREAST = 16
"""As kernels are made for: in other numbers than multiples of this, channels round otherwise."""


@contextmanager
def sparing(module: nn.Module, layer: Layer, channels: Sequence[int]) -> Iterator[None]:
    """Within it, passes of `module` compute `channels` of `layer` alone; the others are as if they had no weights.

    For passes that end where the layer is read: what comes after would get zeros. A channel whose own weights are not finite
    is NaN and lets nothing back, while without this its NaN, times the zero signal of a channel that nobody asked for, is a
    NaN for all. Where channels share weights (convolutions in groups), have none, or belong to a module with hooks, all are
    computed as ever.
    """
    path, _, number = layer.name.partition("#")
    one = {name: one for _, name, one in submodules(module)}.get(path)
    if one is None or not _by_rows(one):
        yield
        return
    usual, some = one.forward, _Some(one, layer, channels)
    calls = 0

    def start(module: nn.Module, args: tuple[object, ...]) -> None:
        nonlocal calls
        calls = 0

    def forward(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return some(x) if calls == int(number or 0) + 1 else usual(x)

    with ExitStack() as opened:
        opened.callback(module.register_forward_pre_hook(start).remove)
        opened.callback(ForwardOverride(one, forward).remove)
        yield


def _by_rows(module: nn.Module) -> bool:
    """Whether each channel has a row of weights of its own, and nothing looks on."""
    plain = type(module) is nn.Linear or (type(module) in CONVOLUTIONS and cast(nn.Conv2d, module).groups == 1)
    return plain and untouched(module)


class _Some:
    """Some channels of a convolution or linear layer, each where it is among all."""

    def __init__(self, module: nn.Module, layer: Layer, channels: Sequence[int]) -> None:
        self._module = cast("nn.Linear | nn.Conv2d", module)
        self._axis, self._count = layer.channel_axis, layer.channels
        weight, bias = self._module.weight.detach(), self._module.bias
        self._own = torch.tensor(_filled(channels, layer.channels), device=weight.device)
        rows = weight[self._own]
        finite = rows.flatten(1).isfinite().all(1)
        biases = rows.new_zeros(len(rows)) if bias is None else bias.detach()[self._own]
        self._rows = rows.where(finite.view(-1, *(1 for _ in rows.shape[1:])), 0.0)
        self._biases = biases.where(finite, torch.nan)

    def __call__(self, x: Float[Tensor, ...]) -> Float[Tensor, ...]:
        if isinstance(self._module, nn.Linear):
            found = F.linear(x, self._rows, self._biases)
        else:
            found = self._module._conv_forward(x, self._rows, self._biases)
        shape = list(found.shape)
        shape[self._axis] = self._count
        return found.new_zeros(shape).index_copy(self._axis, self._own, found)


def _filled(channels: Sequence[int], count: int) -> list[int]:
    """The channels in order, and as many others as make their number a multiple."""
    own = set(channels)
    wanted = min(math.ceil(len(channels) / ABREAST) * ABREAST, count)
    others = (one for one in range(count) if one not in own)
    return sorted([*own, *islice(others, wanted - len(own))])
