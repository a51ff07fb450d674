"""What is to be large: from a layer's maps to one number a picture.

They add up, with each other and with numbers, and take factors: `Channel() - 0.5 * Channel(7)`, `sum(several) / len(several)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Maps = Float[Tensor, "picture channel position"]
Values = Float[Tensor, " picture"]

LEAST_COSINE = 0.1
"""A direction's cosine counts at least so much, so that a start that points away is not lost (tensorflow/lucid)."""

LEAST_NORM = 1e-12


class Objective(ABC):
    """A number for every picture of a batch, larger where the picture is better."""

    @abstractmethod
    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """From the maps of a layer of `shape`, of which each picture is meant to excite one of `channels`."""

    @property
    def own(self) -> bool:
        """Whether it looks at each picture's own channel alone."""
        return False

    def __add__(self, other: Objective | float) -> Objective:
        return Sum(self, other if isinstance(other, Objective) else Constant(float(other)))

    __radd__ = __add__

    def __sub__(self, other: Objective | float) -> Objective:
        return self + -1.0 * other

    def __rsub__(self, other: float) -> Objective:
        return -self + other

    def __mul__(self, factor: float) -> Objective:
        return Multiple(self, float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        return Multiple(self, 1 / float(divisor))

    def __neg__(self) -> Objective:
        return Multiple(self, -1.0)


@dataclass(frozen=True, slots=True)
class Constant(Objective):
    """The same number for every picture: it changes what is reached, not the picture."""

    number: float

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """The number."""
        return maps.new_full((len(maps),), self.number)

    @property
    def own(self) -> bool:
        """It looks at no channel at all."""
        return True


@dataclass(frozen=True, slots=True)
class Sum(Objective):
    """Two objectives at once."""

    left: Objective
    right: Objective

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """The sum of both."""
        return self.left.values(maps, channels, shape) + self.right.values(maps, channels, shape)

    @property
    def own(self) -> bool:
        """Whether both do."""
        return self.left.own and self.right.own


@dataclass(frozen=True, slots=True)
class Multiple(Objective):
    """An objective times a factor; a negative one makes it small."""

    objective: Objective
    factor: float

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """The multiple."""
        return self.objective.values(maps, channels, shape) * self.factor

    @property
    def own(self) -> bool:
        """Whether that does."""
        return self.objective.own


@dataclass(frozen=True, slots=True)
class Channel(Objective):
    """The mean over positions of the picture's own channel, or of `channel`."""

    channel: int | None = None

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """Activations."""
        return _own(maps, channels, self.channel).mean(1)

    @property
    def own(self) -> bool:
        """Unless another is named."""
        return self.channel is None


@dataclass(frozen=True, slots=True)
class Neuron(Objective):
    """One position of the picture's own channel, or of `channel`: the centre, or the one with row-major index `position`."""

    channel: int | None = None
    position: int | None = None

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """Activations."""
        return _own(maps, channels, self.channel)[:, centre(shape) if self.position is None else self.position]

    @property
    def own(self) -> bool:
        """Unless another is named."""
        return self.channel is None


@dataclass(frozen=True, slots=True, eq=False)
class Direction(Objective):
    """Along a direction in the space of channels: dot product times cosine, at least 0.1, to a `power`; mean over positions.

    Carter et al. 2019, Activation Atlas, uses the power 2.
    """

    direction: Float[Tensor, " channel"]
    power: float = 2.0

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """Activation times length of the direction, damped where it points elsewhere."""
        along = self.direction.to(maps)[None, :, None]
        dot = (maps * along).sum(1)
        cosine = dot / (maps.norm(dim=1) * along.norm()).clamp(min=LEAST_NORM)
        damped: Tensor = dot * cosine.clamp(min=LEAST_COSINE) ** self.power
        return damped.mean(1)


@dataclass(frozen=True, slots=True)
class Energy(Objective):
    """Whatever the layer shows already, more of it: the mean square of all its activations (DeepDream)."""

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """Squares of activations."""
        return maps.square().mean((1, 2))


@dataclass(frozen=True, slots=True)
class Diversity(Objective):
    """How unlike the others of the batch each picture is: minus its mean cosine with them, of Gram matrices at the layer.

    Olah et al. 2017, "Diversity". Pictures run in one batch only where they are variants of one unit.
    """

    def values(self, maps: Maps, channels: Int[Tensor, " picture"], shape: tuple[int, ...]) -> Values:
        """From -1, all alike, to 0 for non-negative activations; 0 for a single picture."""
        grams = (maps @ maps.transpose(1, 2)).flatten(1)
        unit = grams / grams.norm(dim=1, keepdim=True).clamp(min=LEAST_NORM)
        alike = unit @ unit.T
        others: Tensor = alike.sum(1) - alike.diagonal()
        return -others / max(len(maps) - 1, 1)


def centre(shape: tuple[int, ...]) -> int:
    """The row-major index of the middle position of a map."""
    flat = 0
    for extent in shape:
        flat = flat * extent + extent // 2
    return flat


def _own(maps: Maps, channels: Int[Tensor, " picture"], channel: int | None) -> Float[Tensor, "picture position"]:
    if channel is not None:
        return maps[:, channel]
    return maps[torch.arange(len(maps), device=maps.device), channels]
