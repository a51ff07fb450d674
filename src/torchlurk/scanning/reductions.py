"""From activation maps to what is kept of each: its maximum, mean, spread, minimum and how much of it is active.

This is the reference in plain torch, for any device and number format; `kernels` does the same in one pass over memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

CACHED = 1 << 17
"""How many numbers a CPU takes at a time: they stay in its cache from one operation to the next."""


WITHOUT_FLOAT64 = frozenset({"mps"})
"""Devices on which sums cannot be kept as exactly as they are: they are kept by the host."""

FAR = 4.0
"""A mean of more than this many standard deviations is far from zero: there, squares about zero lose digits."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one unit did on one example, for each of them: statistics over the positions of its map.

    `offset` is the mean, and `spread` the sum of squares, of (activation - the unit's pivot): taken about a typical
    activation, they do not lose the variance of units whose mean is large against it. `active` counts activations
    above zero. Where `finite` is false the map holds NaN or infinity (or a number so large that its square is), and
    nothing else is meaningful.
    """

    max: Float32[Tensor, "batch unit"]
    min: Float32[Tensor, "batch unit"]
    mean: Float32[Tensor, "batch unit"]
    offset: Float32[Tensor, "batch unit"]
    spread: Float32[Tensor, "batch unit"]
    active: Float32[Tensor, "batch unit"]
    finite: Bool[Tensor, "batch unit"]

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        return Rows(*(getattr(self, name).to(device) for name in Rows.__slots__))


def kept_on(device: torch.device) -> torch.device:
    """Where the sums of what is on a device are kept."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def exact(values: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """Float numbers in float64, on a device that has it."""
    return values.to(kept_on(values.device)).double()


def flat(maps: Float[Tensor, "batch unit *positions"]) -> Float[Tensor, "batch unit position"]:
    """Maps with their positions in one axis, row-major; a vector's units have one position each."""
    return maps.detach().reshape(*maps.shape[:2], -1)


def reduce(maps: Float[Tensor, "batch unit position"], pivot: Float32[Tensor, " unit"]) -> Rows:
    """The statistics of each row, with spread taken about `pivot`."""
    pieces = torch.split(maps, max(1, CACHED * len(maps) // max(1, maps.numel()))) if maps.is_cpu else (maps,)
    return _joined(_reduce(piece.float(), pivot[:, None]) for piece in pieces)


def _reduce(maps: Float32[Tensor, "batch unit position"], pivot: Float32[Tensor, "unit 1"]) -> Rows:
    scratch = maps - pivot
    offset, spread = scratch.mean(-1), torch.linalg.vector_norm(scratch, dim=-1).square_()
    lowest = maps.amin(-1)
    torch.clamp(maps, min=0, out=scratch).sign_()
    return Rows(maps.amax(-1), lowest, maps.mean(-1), offset, spread, scratch.sum(-1), spread.isfinite())


def finite(maps: Float[Tensor, "batch unit position"], pivot: Float32[Tensor, " unit"]) -> Bool[Tensor, "batch unit"]:
    """Of each row what `Rows` calls so."""
    norms: Tensor = torch.linalg.vector_norm(maps.float() - pivot[:, None], dim=-1)
    return norms.square().isfinite()


def _joined(pieces: Iterable[Rows]) -> Rows:
    parts = list(pieces)
    return Rows(*(torch.cat([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def pivots(maps: Float[Tensor, "batch unit position"]) -> Float32[Tensor, " unit"]:
    """A pivot for each unit from its map on the first example: one activation where the mean is far from zero, against the
    spread; zero where it is not, or the activation is not finite.
    """
    values = maps[0].float().double()
    spread, mean = torch.var_mean(values, -1, correction=0)
    first = values[:, 0].float()
    return first.where((mean.square() > FAR**2 * spread) & first.isfinite(), 0.0)


def locate(maps: Float[Tensor, "batch unit position"], wanted: Bool[Tensor, "batch unit"]) -> Int32[Tensor, "batch unit"]:
    """The row-major first position of the maximum of each wanted row; anything elsewhere."""
    if maps.device.type != "cpu":  # choosing rows would make the device wait for the host
        return maps.argmax(-1).to(torch.int32)
    positions = torch.zeros(wanted.shape, dtype=torch.int32)
    rows: tuple[Int64[Tensor, " row"], ...] = wanted.nonzero(as_tuple=True)
    if len(rows[0]):
        positions[rows] = maps[rows].argmax(-1).to(torch.int32)
    return positions
