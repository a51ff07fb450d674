"""Plain, frozen values of a study that tell what units do over time and at which tokens; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8


@dataclass(frozen=True, slots=True)
class TokenMeans:
    """Of each unit, over all counted steps where a token stands, the mean of its value there and of how much that differs from
    its value one step earlier; NaN where the token never stood.
    """

    state: Float64[np.ndarray, "unit token"]
    change: Float64[np.ndarray, "unit token"]


TokenMeasure = Literal["state", "change", "next"]
"""By what tokens are ranked: a unit's mean value where a token stands, the mean change that reading it brings, and the weight
of the unit in the score of a token as the next one.
"""

TOKEN_MEASURES: tuple[TokenMeasure, ...] = get_args(TokenMeasure)


@dataclass(frozen=True, slots=True)
class RankedTokens:
    """Some tokens, by their ids, and the value of each."""

    ids: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TokenRanking:
    """The tokens with the highest values, highest first, and those with the lowest, lowest first; of few, some are both."""

    highest: RankedTokens
    lowest: RankedTokens


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token as people read it, `#17` where only its id is known, with its value by a measure; `count` is how often it stands
    at a step that counts, None where that is not of interest.
    """

    id: int
    token: str
    value: float
    count: int | None = None


@dataclass(frozen=True, slots=True)
class NamedRanking:
    """A `TokenRanking` with its tokens named; of scores of the next token, `at` is the unit's value for which they are told."""

    highest: tuple[NamedToken, ...]
    lowest: tuple[NamedToken, ...]
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Levels:
    """How values of a layer's units are kept in one byte: level `zero` is 0, and a level more is `scales` of the unit more.

    With `zero` 128 values of both signs are kept, in levels 1 to 255; with `zero` 0 those from 0 on, in all 256.
    """

    zero: int
    scales: Float32[np.ndarray, " unit"]

    def of(
        self, values: Float32[np.ndarray, "example time unit"]
    ) -> tuple[UInt8[np.ndarray, "example time unit"], Int64[np.ndarray, " example"]]:
        """The levels nearest to values, and of each example how many values are beyond the last level, which they then get, or
        no numbers, which are kept as 0.
        """
        steps = np.rint(values / self.scales)
        kept = np.clip(np.nan_to_num(steps, posinf=np.inf, neginf=-np.inf), *self.limits)
        return (kept + self.zero).astype(np.uint8), np.count_nonzero(kept != steps, axis=(1, 2))

    def values(self, levels: UInt8[np.ndarray, "time unit"]) -> Float32[np.ndarray, "time unit"]:
        """The values that levels stand for."""
        found: Float32[np.ndarray, "time unit"] = (levels.astype(np.float32) - np.float32(self.zero)) * self.scales
        return found

    @property
    def limits(self) -> tuple[int, int]:
        """How many levels below and above that of 0 there are."""
        return (-127, 127) if self.zero else (0, 255)


SIGNED, UNSIGNED = 128, 0
"""The levels that may stand for 0."""


@dataclass(frozen=True, slots=True)
class StepLevels:
    """What the units of a layer did at the steps of one example that count, one byte a step and unit.

    `first` is the layer's position of the first of them, `clipped` how many of the values are beyond what their unit's levels
    reach, or no numbers.
    """

    levels: UInt8[np.ndarray, "time unit"]
    first: int
    clipped: int


@dataclass(frozen=True, slots=True)
class KeptSteps(StepLevels):
    """The same, with what the levels stand for."""

    meaning: Levels

    @property
    def values(self) -> Float32[np.ndarray, "time unit"]:
        """The units' values: right to half a level, `meaning.scales / 2`, where none is clipped."""
        return self.meaning.values(self.levels)
