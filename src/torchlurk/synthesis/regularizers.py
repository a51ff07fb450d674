"""What keeps pictures from becoming noise: corrections after each step, and penalties within the objective.

Corrections 1 to 5 are those of Yosinski et al. 2015 (arXiv 1506.06579, sec. 3), on pixels from 0 to 255 less the mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from torchlurk.inputs.pictures.preprocessing import HIGHEST
from torchlurk.synthesis.canvas import Canvas

Pictures = Float[Tensor, "unit channel height width"]
Parameters = Float[Tensor, "unit ..."]

BLUR_REACH = 4.0
"""How many standard deviations from its middle a Gaussian is cut off, as in SciPy."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a correction may know: the step's number from 0, the gradient, where the ascent started, and the canvas."""

    number: int
    gradient: Parameters
    start: Parameters
    canvas: Canvas


@runtime_checkable
class Correction(Protocol):
    """A change of the parameters after each step."""

    def correct(self, x: Parameters, step: Step) -> Parameters:
        """The parameters, corrected."""


@runtime_checkable
class Penalty(Protocol):
    """Something that costs; it is taken from the objective."""

    def cost(self, pictures: Pictures) -> Float[Tensor, " unit"]:
        """The cost of each picture, 0 or more."""


@dataclass(frozen=True, slots=True)
class Decay:
    """Pulls every pixel towards the mean colour by a share at each step."""

    share: float

    def correct(self, x: Pictures, step: Step) -> Pictures:
        """The parameters times 1 - share."""
        return x * (1 - self.share)


@dataclass(frozen=True, slots=True)
class Blur:
    """A Gaussian blur of standard deviation `radius` at every so manieth step, the first included; edges are mirrored."""

    radius: float
    every: int = 1

    def correct(self, x: Pictures, step: Step) -> Pictures:
        """Blurred, or as it was."""
        return blurred(x, self.radius) if step.number % self.every == 0 else x


@dataclass(frozen=True, slots=True)
class SmallNorm:
    """Sets the pixels with the smallest norms, so many percent of them, to the mean colour."""

    percent: float

    def correct(self, x: Pictures, step: Step) -> Pictures:
        """Without small pixels."""
        return _without_smallest(x, x.norm(dim=1, keepdim=True), self.percent)


@dataclass(frozen=True, slots=True)
class SmallContribution:
    """Sets the pixels that contribute least, by |sum over channels of x times gradient|, to the mean colour."""

    percent: float

    def correct(self, x: Pictures, step: Step) -> Pictures:
        """Without pixels that hardly matter."""
        return _without_smallest(x, (x * step.gradient).sum(1, keepdim=True).abs(), self.percent)


@dataclass(frozen=True, slots=True)
class Clip:
    """Keeps pixels within what a picture can show."""

    def correct(self, x: Pictures, step: Step) -> Pictures:
        """Clipped to 0..255 less the mean colour."""
        mean = step.canvas.mean[:, None, None] * HIGHEST
        return torch.minimum(torch.maximum(x, -mean), HIGHEST - mean)


@dataclass(frozen=True, slots=True)
class Within:
    """Keeps the Euclidean distance from the start, or from zero, at most `distance`, in the parameters' unit."""

    distance: float
    from_start: bool = True

    def correct(self, x: Parameters, step: Step) -> Parameters:
        """The nearest that is within."""
        origin = step.start if self.from_start else torch.zeros_like(step.start)
        change = x - origin
        length = torch.stack([row.norm() for row in change]).clamp(min=torch.finfo(x.dtype).tiny)
        factor = (self.distance / length).clamp(max=1).view(-1, *(1 for _ in x.shape[1:]))
        return origin + change * factor


@dataclass(frozen=True, slots=True)
class TotalVariation:
    """Costs `weight` times the mean absolute difference of neighbouring pixels, in the 0..1 range."""

    weight: float

    def cost(self, pictures: Pictures) -> Float[Tensor, " unit"]:
        """Across and down, added."""
        across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2, 3))
        down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean((1, 2, 3))
        return self.weight * (across + down)


def blurred(x: Pictures, radius: float) -> Pictures:
    """Convolved with a Gaussian cut off at four standard deviations; edges are mirrored, edge pixels twice (scipy.ndimage)."""
    reach = int(BLUR_REACH * radius + 0.5)
    kernel = _bell(radius, reach, x.device, x.dtype)
    channels = x.shape[1]
    rows = x.index_select(2, _mirrored(x.shape[2], reach, x.device))
    down = F.conv2d(rows, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    columns = down.index_select(3, _mirrored(x.shape[3], reach, x.device))
    return F.conv2d(columns, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


@lru_cache(maxsize=16)
def _bell(radius: float, reach: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, " place"]:
    """A Gaussian, made in float64, which not every device has; sent to one once."""
    with torch.inference_mode(False):
        weights = (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / radius) ** 2).exp()
        return (weights / weights.sum()).to(device, dtype)


def _mirrored(size: int, reach: int, device: torch.device) -> Tensor:
    """The indices of a row continued by its mirror image on both sides: b a | a b c | c b."""
    period = torch.arange(-reach, size + reach, device=device) % (2 * size)
    return torch.where(period < size, period, 2 * size - 1 - period)


def _without_smallest(x: Pictures, measure: Float[Tensor, "unit 1 height width"], percent: float) -> Pictures:
    """Zero where the measure is below its percentile, taken for each picture."""
    flat = measure.flatten(1)
    limit = torch.stack([torch.quantile(row, percent / 100) for row in flat]).view(-1, 1, 1, 1)
    return x.where(measure >= limit, torch.zeros_like(x))
