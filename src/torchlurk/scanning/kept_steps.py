"""What units do at every step that counts, one byte a step and unit, gathered until it is written to the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, Shaped, UInt8
from torch import Tensor

from torchlurk.inputs.items import sent
from torchlurk.records import Layer
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.time_records import SIGNED, UNSIGNED, Levels, StepLevels

IN_AN_OCTAVE = 4
"""Ranges are rounded up to so many values between one power of two and the next: to at most 19 % more than was measured."""

NEVER_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softplus"})
"""Operations after which no value is below zero, as `Layer.read_after` names them."""

ROOM = 1.25
"""How much larger than on the sample values may become before they are clipped."""


@dataclass(slots=True)
class StepsOfLayer:
    """The steps of those examples that have not been written yet, by example."""

    meaning: Levels
    waiting: dict[int, StepLevels] = field(default_factory=dict)
    _scales: Float32[Tensor, " unit"] | None = field(default=None, repr=False, compare=False)

    def add(self, maps: Float[Tensor, "batch unit counted"], examples: Int64[np.ndarray, " batch"], first: int) -> None:
        """Takes the maps of some examples, of which the first position that counts is `first`."""
        values = maps.movedim(1, 2).float()
        levels, clipped = self.meaning.of(values.numpy()) if values.is_cpu else self._found_there(values)
        for row, example in enumerate(examples.tolist()):
            self.waiting[example] = StepLevels(levels[row], first, int(clipped[row]))

    def _found_there(
        self, values: Float32[Tensor, "batch time unit"]
    ) -> tuple[UInt8[np.ndarray, "batch time unit"], Int64[np.ndarray, " batch"]]:
        """`Levels.of` on a device: a byte a value comes from it, in one transfer with what is clipped."""
        if self._scales is None or self._scales.device != values.device:
            self._scales = sent(torch.from_numpy(self.meaning.scales), values.device)
        steps = (values / self._scales).round_()
        kept = steps.nan_to_num(0.0, math.inf, -math.inf).clamp_(*self.meaning.limits)
        clipped, levels = (kept != steps).sum((1, 2)), (kept + self.meaning.zero).to(torch.uint8)
        found = torch.cat([clipped.view(torch.uint8), levels.flatten()]).cpu().numpy()
        counts, bytes = np.split(found, [8 * len(clipped)])
        return bytes.reshape(levels.shape), counts.view(np.int64)

    def merge(self, other: StepsOfLayer) -> None:
        """Takes those of other examples."""
        self.waiting.update(other.waiting)

    @property
    def size(self) -> int:
        """Bytes that are waiting."""
        return sum(one.levels.size for one in self.waiting.values())

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays."""
        rows = [(example, one.first, one.clipped, len(one.levels)) for example, one in self.waiting.items()]
        return {
            "zero": np.array(self.meaning.zero),
            "scales": self.meaning.scales,
            "rows": np.array(rows, np.int64).reshape(-1, 4),
            "levels": np.concatenate([one.levels.ravel() for one in self.waiting.values()] or [np.zeros(0, np.uint8)]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> StepsOfLayer:
        """Those whose `arrays` these are."""
        meaning = Levels(int(arrays["zero"]), arrays["scales"].astype(np.float32))
        rows, levels = arrays["rows"], arrays["levels"].reshape(-1, len(meaning.scales))
        pieces = np.split(levels, np.cumsum(rows[:-1, 3])) if len(rows) else []
        found = zip(rows.tolist(), pieces, strict=True)
        return cls(meaning, {row[0]: StepLevels(piece, row[1], row[2]) for row, piece in found})


@dataclass(slots=True)
class Ranges:
    """The largest magnitude of each unit of a layer, and whether any was below zero."""

    most: Float32[Tensor, " unit"]
    negative: Bool[Tensor, ""]

    @classmethod
    def empty(cls, units: int) -> Ranges:
        """Those of no example."""
        return cls(torch.zeros(units), torch.zeros((), dtype=torch.bool))

    def add(
        self,
        maps: Float[Tensor, "batch unit counted"],
        arrivals: Arrivals,
        pool: Executor | None,
        ceiling: float | None = None,
        means: bool = True,
    ) -> None:
        """See `torchlurk.scanning.deliveries.Takes`."""
        if ceiling is not None:
            maps.clamp_(0, ceiling)
        known = torch.nan_to_num(maps.float(), 0.0, 0.0, 0.0)
        self.negative = self.negative.to(known.device) | (known < 0).any()
        self.most = torch.maximum(self.most.to(known.device), known.abs().amax((0, 2)))

    def levels(self, layer: Layer) -> Levels:
        """How the layer's values are kept: gates from 0 to 1, states and candidates that stay between −1 and 1 in that range,
        and everything else in the range of its unit, with some room.
        """
        if layer.opens:
            return _even(UNSIGNED, layer.channels)
        most: Float32[np.ndarray, " unit"] = self.most.cpu().numpy()
        if (layer.state or layer.gate) and bool((most <= 1).all()):
            return _even(SIGNED, layer.channels)
        never_negative = not bool(self.negative) and bool(NEVER_NEGATIVE.intersection(layer.read_after[-1:]))
        zero = UNSIGNED if never_negative else SIGNED
        return Levels(zero, (_rounded_up(most * ROOM) / _last(zero)).astype(np.float32))


def _even(zero: int, units: int) -> Levels:
    return Levels(zero, np.full(units, 1 / _last(zero), np.float32))


def _last(zero: int) -> int:
    """The level of the largest value, above that of 0."""
    return 255 - zero


def _rounded_up(most: Float32[np.ndarray, " unit"]) -> Float32[np.ndarray, " unit"]:
    """To a few values in each octave, so that rounding on another machine changes none; 1 for a unit that was always zero."""
    safe = np.where(most > 0, most, 1.0).astype(np.float64)
    exponents = np.ceil(np.log2(safe) * IN_AN_OCTAVE) / IN_AN_OCTAVE
    rounded: Float32[np.ndarray, " unit"] = np.exp2(np.clip(exponents, -100, 120)).astype(np.float32)
    return rounded
