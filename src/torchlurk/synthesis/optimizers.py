"""How a gradient becomes a step uphill. Each unit of a batch is stepped by its own numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Parameters = Float[Tensor, "unit ..."]
Stepper = Callable[[Parameters], Parameters]
"""From a gradient to the parameters after the step."""

LEAST_SQUARE = 1e-30
LEAST_MAGNITUDE = 1e-15


@runtime_checkable
class Climb(Protocol):
    """A way to step uphill."""

    def begin(self, start: Parameters) -> Stepper:
        """From the first parameters to what makes the steps."""


@dataclass(frozen=True, slots=True)
class Adam:
    """Kingma and Ba 2015, arXiv 1412.6980."""

    rate: float

    def begin(self, start: Parameters) -> Stepper:
        """A new optimizer."""
        variable = start.clone()
        return _stepper(variable, torch.optim.Adam([variable], lr=self.rate, maximize=True))


@dataclass(frozen=True, slots=True)
class NAdam:
    """Dozat 2016, Incorporating Nesterov Momentum into Adam."""

    rate: float

    def begin(self, start: Parameters) -> Stepper:
        """A new optimizer."""
        variable = start.clone()
        return _stepper(variable, torch.optim.NAdam([variable], lr=self.rate, maximize=True))


@dataclass(frozen=True, slots=True)
class GradientStep:
    """The gradient times a rate, the steepest gradient so far counting as one with root mean square `steepest`.

    Activations have no unit that networks share, so a rate that was found on one network means nothing for another.
    """

    rate: float
    steepest: float

    def begin(self, start: Parameters) -> Stepper:
        """Only the steepest gradient is remembered."""
        return _Steps(start, self.steepest, lambda gradient: torch.full((len(gradient),), self.rate, device=gradient.device))


@dataclass(frozen=True, slots=True)
class TargetStep:
    """The gradient times a rate by which the activation would rise by `desired`, were it linear; at most `most`.

    As with `GradientStep`, the steepest gradient so far counts as one with root mean square `steepest`.
    """

    most: float
    desired: float
    steepest: float

    def begin(self, start: Parameters) -> Stepper:
        """Only the steepest gradient is remembered."""

        def rate(gradient: Parameters) -> Float[Tensor, " unit"]:
            squares = torch.stack([row.square().sum() for row in gradient]).clamp(min=LEAST_SQUARE)
            return (self.desired / squares).clamp(max=self.most)

        return _Steps(start, self.steepest, rate)


@dataclass(frozen=True, slots=True)
class NormalizedStep:
    """The gradient so scaled that its mean magnitude is `rate` (Mordvintsev, Olah and Tyka 2015, DeepDream)."""

    rate: float

    def begin(self, start: Parameters) -> Stepper:
        """Nothing is remembered."""
        now = start.clone()

        def step(gradient: Parameters) -> Parameters:
            for row, uphill in zip(now, gradient, strict=True):
                row += uphill * (self.rate / uphill.abs().mean().clamp(min=LEAST_MAGNITUDE))
            return now

        return step


class _Steps:
    """Steps along the gradient, scaled."""

    def __init__(self, start: Parameters, steepest: float, rate: Callable[[Parameters], Float[Tensor, " unit"]]) -> None:
        self._now, self._steepest, self._rate = start.clone(), steepest, rate
        self._most = torch.zeros(len(start), device=start.device)

    def __call__(self, gradient: Parameters) -> Parameters:
        sizes = torch.stack([row.square().mean().sqrt() for row in gradient])
        self._most = torch.maximum(self._most, sizes)
        across = (-1, *(1 for _ in gradient.shape[1:]))
        scaled = gradient * (self._steepest / self._most.clamp(min=LEAST_SQUARE)).view(across)
        self._now += self._rate(scaled).view(across) * scaled
        return self._now


def _stepper(variable: Tensor, optimizer: torch.optim.Optimizer) -> Stepper:
    def step(gradient: Parameters) -> Parameters:
        variable.grad = gradient
        with torch.no_grad():
            optimizer.step()
        variable.grad = None
        return variable

    return step
