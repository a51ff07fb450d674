"""What Network Dissection counts: the levels of each unit's activations, and where units and parts are above one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64
from torch import Tensor

from torchlurk.errors import ModelError
from torchlurk.models.survey.receptive_field import ReceptiveField

Maps = Float[Tensor, "example unit height width"]

_LEVELS = 1 << 16
_ZERO = _LEVELS // 2
"""Where zero is among the bfloat16 numbers in order."""
_INFINITY = 0x7F80
"""How far infinity is from zero; beyond it are bits of no number."""


class Levels:
    """How often each unit of a layer was at each level; levels are the bfloat16 numbers. Sums of counts merge.

    An activation is counted at the lowest level that is not below it: how many exceed a level is then exact.
    """

    def __init__(self, units: int) -> None:
        self.counts: Int64[Tensor, "unit bin"] = torch.zeros(units, _LEVELS, dtype=torch.int64)

    def add(self, activation: Maps) -> None:
        """Counts every position of every example."""
        values = activation.detach().to("cpu", torch.float32).transpose(0, 1).flatten(1).contiguous()
        bits = values.view(torch.int32).long()
        size = bits & 0x7FFFFFFF
        level = torch.where(bits >= 0, _ZERO + (size + 0xFFFF >> 16), _ZERO - (size >> 16))
        self.counts.scatter_add_(1, level, torch.ones_like(level))

    def thresholds(self, share: float) -> Float32[Tensor, " unit"]:
        """Of each unit the least bfloat16 number that at most this share of its activations exceeds.

        Raises `ModelError` where an activation was not a number.
        """
        odd = self.counts[:, : _ZERO - _INFINITY].any(1) | self.counts[:, _ZERO + _INFINITY + 1 :].any(1)
        if odd.any():
            raise ModelError(f"channel {int(odd.nonzero()[0])} has activations that are not numbers", "look for an overflow")
        exceeding = self.counts.flip(1).cumsum(1).flip(1)[:, 1:]
        level = (exceeding > share * self.counts.sum(1, keepdim=True).double()).sum(1)
        bits = torch.where(level >= _ZERO, level - _ZERO, (_ZERO - level) | 0x8000)
        return (bits << 16).to(torch.int32).view(torch.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where a map's positions are in the input: the centres of their receptive fields, as shares of its sides."""

    rows: Float64[np.ndarray, " height"]
    columns: Float64[np.ndarray, " width"]

    @classmethod
    def of(cls, field: ReceptiveField, side: tuple[int, int]) -> Grid:
        """The grid of a layer, by the receptive field of its first channel, on inputs of (height, width) `side`."""
        rows, columns = field.rows[:, 0, :, 0], field.columns[:, 0, 0, :]
        steps = field.stride or (None, None)
        return cls(centres(rows, field.shape[0], steps[0], side[0]), centres(columns, field.shape[1], steps[1], side[1]))

    def enlarged(
        self, unit_maps: Float[Tensor, "unit height width"], side: Sequence[int]
    ) -> Float[Tensor, "unit height2 width2"]:
        """The maps bilinearly between the centres, at the middle of each pixel; beyond the outermost centres constant."""
        vertical, horizontal = blend(self.rows, side[0]), blend(self.columns, side[1])
        return vertical.to(unit_maps) @ unit_maps @ horizontal.to(unit_maps).T


def centres(
    ends: Int32[np.ndarray, "2 *#position"], count: int, step: int | None, length: int
) -> Float64[np.ndarray, " position"]:
    """The middles of `count` intervals, `step` apart, of which `ends` are known clipped to 0..length; as shares of it.

    The unclipped ends tell where they begin and stop. Where all of one side are clipped, or there is no one step, the
    positions are taken to divide the length evenly.
    """
    place = np.arange(count)
    first, last = np.broadcast_to(ends, (2, count))
    known = (first > 0, last < length)
    if step is None or not (known[0].any() and known[1].any()):
        return (place + 0.5) / count
    begin, stop = (float(np.median((end - step * place)[inside])) for end, inside in zip((first, last), known, strict=True))
    middles: np.ndarray = (step * place + (begin + stop) / 2) / length
    return middles


def blend(shares: Float64[np.ndarray, " position"], length: int) -> Float64[Tensor, "pixel position"]:
    """How much each position counts at the middle of each of `length` pixels, in linear interpolation."""
    pixels = (np.arange(length) + 0.5) / length
    ascending = np.argsort(shares)  # those of a mirrored map fall
    return torch.from_numpy(np.stack([np.interp(pixels, shares[ascending], one[ascending]) for one in np.eye(len(shares))], 1))


class Overlaps:
    """Counts the pixels where a unit is above its threshold, where a part is, and where both are. Sums merge."""

    def __init__(self, thresholds: Float32[Tensor, " unit"], parts: int, grid: Grid) -> None:
        self.thresholds, self.grid = thresholds, grid
        self.both: Int64[Tensor, "unit part"] = torch.zeros(len(thresholds), parts, dtype=torch.int64)
        self.units: Int64[Tensor, " unit"] = torch.zeros(len(thresholds), dtype=torch.int64)
        self.parts: Int64[Tensor, " part"] = torch.zeros(parts, dtype=torch.int64)

    def add(self, activation: Maps, masks: Bool[Tensor, "example part height2 width2"]) -> None:
        """Counts these examples; one after the other, since enlarged maps are large."""
        levels = self.thresholds.to(activation.device)[:, None, None]
        for unit_maps, mask in zip(activation.float(), masks, strict=True):
            above = (self.grid.enlarged(unit_maps, mask.shape[1:]) > levels).flatten(1).float()
            there = mask.flatten(1).float()
            self.both += (above @ there.T).long().cpu()
            self.units += above.sum(1).long().cpu()
            self.parts += there.sum(1).long().cpu()

    def iou(self) -> Float64[np.ndarray, "unit part"]:
        """Intersection over union; 0 where there is neither the unit nor the part."""
        union = self.units[:, None] + self.parts - self.both
        iou: np.ndarray = (self.both.double() / union.clamp(min=1)).numpy()
        return iou
