"""The strongest examples of every unit, kept while the data streams by.

An example's place is decided by one integer, its strength: a higher score is stronger, and of equal scores that of the
lower example index. As strengths of different examples are never equal, what is kept does not depend on the order in
which examples are offered, nor on how the data was cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64, Shaped
from torch import Tensor

from torchlurk.records import Ranking

NOTHING = torch.iinfo(torch.int64).min
"""The strength of a place that no example has taken."""

UNBEATEN = torch.iinfo(torch.int64).max
"""A strength that no score has."""

MOST_EXAMPLES = 2**32
"""Example indices are below this: they share an integer with the bits of the score."""

MAGNITUDE = 0x7FFFFFFF
"""The bits of a float32 without its sign."""


def strength(scores: Float32[Tensor, "*axes"], examples: Int64[Tensor, "*#axes"]) -> Int64[Tensor, "*axes"]:
    """Score and example index as one integer that is greater for what is stronger; undefined for NaN.

    The bits of a float32, those of negative numbers turned around, order as the numbers do; they are followed by the
    32 bits of the inverted example index. Zero has one sign.
    """
    bits = (scores + 0.0).view(torch.int32).to(torch.int64)
    return (torch.where(bits < 0, bits ^ MAGNITUDE, bits) << 32) | (MOST_EXAMPLES - 1 - examples)


def scores_of(strengths: Int64[Tensor, "*axes"]) -> Float32[Tensor, "*axes"]:
    """The scores in strengths; NaN where there is nothing."""
    bits = strengths >> 32
    scores = torch.where(bits < 0, bits ^ MAGNITUDE, bits).to(torch.int32).view(torch.float32)
    return scores.masked_fill(strengths == NOTHING, torch.nan)


def examples_of(strengths: Int64[Tensor, "*axes"]) -> Int64[Tensor, "*axes"]:
    """The example indices in strengths; -1 where there is nothing."""
    examples = MOST_EXAMPLES - 1 - (strengths & (MOST_EXAMPLES - 1))
    return examples.masked_fill(strengths == NOTHING, -1)


@dataclass(slots=True)
class Leaders:
    """The k strongest examples of each unit so far, strongest first, and where each was strongest.

    Ranks are the first axis, so that the gate, the strength that a newcomer must beat, is one contiguous row.
    `positions` are row-major indices into the unit's map, -1 where there is nothing.
    """

    strengths: Int64[Tensor, "k unit"]
    positions: Int32[Tensor, "k unit"]

    @classmethod
    def empty(cls, units: int, top: int) -> Leaders:
        """Places for the `top` strongest of `units` units, none taken."""
        return cls(torch.full((top, units), NOTHING), torch.full((top, units), -1, dtype=torch.int32))

    @classmethod
    def closed(cls, units: int, top: int) -> Leaders:
        """Places that nothing can take."""
        return cls(torch.full((top, units), UNBEATEN), torch.full((top, units), -1, dtype=torch.int32))

    def entering(self, strengths: Int64[Tensor, "batch unit"]) -> Bool[Tensor, "batch unit"]:
        """Which newcomers beat the weakest place: all others can be forgotten without a look."""
        return strengths > self.strengths[-1]

    def insert(self, strengths: Int64[Tensor, "batch unit"], positions: Int32[Tensor, "batch unit"]) -> None:
        """Let newcomers take their places; positions of those that are not `entering` are never looked at."""
        top = len(self.strengths)
        if self.strengths.device.type == "cpu":
            moved = self.entering(strengths).any(0).nonzero()[:, 0]
            if not len(moved):
                return
            merged, origin = torch.cat([self.strengths[:, moved], strengths[:, moved]]).topk(top, 0)
            self.strengths[:, moved] = merged
            self.positions[:, moved] = torch.cat([self.positions[:, moved], positions[:, moved]]).gather(0, origin)
        else:  # choosing units would make the device wait for the host
            merged, origin = torch.cat([self.strengths, strengths]).topk(top, 0)
            self.positions.copy_(torch.cat([self.positions, positions]).gather(0, origin))
            self.strengths.copy_(merged)

    def merge(self, other: Leaders) -> None:
        """Take in the leaders of other examples."""
        self.insert(other.strengths, other.positions)

    def arrays(self) -> dict[str, Shaped[np.ndarray, ...]]:
        """Everything, as plain arrays."""
        return {"strengths": self.strengths.numpy(), "positions": self.positions.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> Leaders:
        """The leaders whose `arrays` these are."""
        return cls(torch.tensor(arrays["strengths"]), torch.tensor(arrays["positions"]))

    def ranking(self) -> Ranking:
        """The leaders by unit, without positions."""
        strengths = self.strengths.T.contiguous().cpu()
        return Ranking(scores_of(strengths).numpy(), examples_of(strengths).numpy())

    def positions_by_unit(self) -> Int32[np.ndarray, "unit k"]:
        """The position of each leader, in the order of `ranking`."""
        return np.ascontiguousarray(self.positions.T.cpu().numpy())
