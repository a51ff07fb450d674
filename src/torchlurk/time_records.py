"""Plain, frozen values of a study that tell what units do over time and at which tokens; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64


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
