"""Convolutions by quicker ways than torch's, on a CPU, for passes whose gradients go back to the input alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from torchlurk import compiled
from torchlurk.models.acceleration.core_pool import CorePool
from torchlurk.models.acceleration.strided_backward import FEW, joined, phases_of
from torchlurk.models.taps.forward_override import ForwardOverride, untouched

PICTURES = 4
"""Axes of a batch of pictures."""


class Quick:
    """The convolutions of a network that there may be a quicker way for: Winograd's, or back by phases.

    What they make is as ever but for rounding, some 1e-5 of the largest value, and their parameters get no gradients. Nothing
    changes for modules with hooks, in other formats than float32, on other devices, or whose maps are too small to gain.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._ways: dict[nn.Conv2d, _Way] = {}

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Within it, passes of the network go the quicker ways. Its weights must be the same each time."""
        with CorePool() as cores, ExitStack() as opened:
            for one in self._module.modules():
                if isinstance(one, nn.Conv2d) and _plain(one) and untouched(one):
                    way = self._ways.setdefault(one, _way(one))
                    opened.callback(ForwardOverride(one, _stead(way, one.forward, cores)).remove)
            yield


def _plain(module: nn.Conv2d) -> bool:
    """Whether a convolution is one that there may be a quicker way for."""
    padding, weight = module.padding, module.weight
    alike = all(one[0] == one[1] for one in (module.kernel_size, module.stride))
    even = isinstance(padding, tuple) and padding[0] == padding[1] < module.kernel_size[0]
    ordinary = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
    return type(module) is nn.Conv2d and alike and even and ordinary and weight.is_cpu and weight.dtype is torch.float32


def _way(module: nn.Conv2d) -> _Way:
    weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
    kind = _ByPhases if module.stride[0] > 1 else _Winograds
    return kind(weight, bias, module.stride[0], int(module.padding[0]))


def _stead(way: _Way, usual: Callable[[Tensor], Tensor], cores: CorePool) -> Callable[[Tensor], Tensor]:
    """What is run in the stead of a module."""

    def forward(x: Tensor) -> Tensor:
        if x.ndim != PICTURES or x.dtype is not torch.float32 or not way.suits(x):
            return usual(x)
        found: Tensor = _Quickly.apply(x, way, cores)  # type: ignore[no-untyped-call]
        return found

    return forward


class _Quickly(torch.autograd.Function):
    """Forth and back by a way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, way: _Way, cores: CorePool) -> Tensor:
        ctx.way, ctx.cores, ctx.size = way, cores, tuple(x.shape[2:])
        return way.forth(x, cores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        return ctx.way.back(signal, ctx.size, ctx.cores), None, None


class _Way(ABC):
    """One convolution, another way than torch's."""

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> None:
        self._weight, self._bias, self._stride, self._padding = weight, bias, stride, padding

    @abstractmethod
    def suits(self, x: Tensor) -> bool:
        """Whether it is quicker on pictures like these."""

    @abstractmethod
    def forth(self, x: Tensor, cores: CorePool) -> Tensor:
        """The convolution."""

    @abstractmethod
    def back(self, signal: Tensor, size: tuple[int, int], cores: CorePool) -> Tensor:
        """What arrives at its input, of that height and width."""


class _Winograds(_Way):
    """Both ways by few multiplications; what each needs of the weights is made when it is first gone."""

    def suits(self, x: Tensor) -> bool:
        quicker = _winograd()
        return quicker is not None and bool(quicker.worth(self._weight.shape, self._padding, *x.shape[2:]))

    def forth(self, x: Tensor, cores: CorePool) -> Tensor:
        found: Tensor = self._forth(x, self._bias, cores)
        return found

    def back(self, signal: Tensor, size: tuple[int, int], cores: CorePool) -> Tensor:
        found: Tensor = self._back(signal, None, cores)
        return found

    @cached_property
    def _forth(self) -> Any:
        return _winograd().Winograd(self._weight, self._padding)

    @cached_property
    def _back(self) -> Any:
        turned = self._weight.transpose(0, 1).flip(2, 3)
        return _winograd().Winograd(turned, turned.shape[2] - 1 - self._padding)


class _ByPhases(_Way):
    """Forth as torch does, back to an input of few channels by phases, which are a convolution of their own."""

    def suits(self, x: Tensor) -> bool:
        return x.shape[1] <= FEW and x.requires_grad

    def forth(self, x: Tensor, cores: CorePool) -> Tensor:
        return F.conv2d(x, self._weight, self._bias, self._stride, self._padding)

    def back(self, signal: Tensor, size: tuple[int, int], cores: CorePool) -> Tensor:
        padding = self._padding
        phases = self._phases.forth(signal, cores) if self._phases.suits(signal) else self._usual(signal)
        whole = joined(phases, self._stride, (size[0] + 2 * padding, size[1] + 2 * padding))
        return whole[:, :, padding : padding + size[0], padding : padding + size[1]]

    @cached_property
    def _phases(self) -> _Winograds:
        weight, padding = phases_of(self._weight, self._stride)
        return _Winograds(weight, None, 1, padding[0])

    def _usual(self, signal: Tensor) -> Tensor:
        return F.conv2d(signal, self._phases._weight, None, 1, self._phases._padding)


def _winograd() -> Any:
    """Winograd's way; None where nothing compiles."""
    return compiled.module("torchlurk.models.acceleration.winograd")
