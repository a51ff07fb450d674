"""Plain, frozen values of a study that tell what units know: tracks, and how each unit goes with them. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

Measure = Literal["auc", "r"]
"""How a unit is measured against a track: by the area under the ROC curve where it has two values, by Pearson's r otherwise."""

WORDS: Mapping[str, str] = {
    "quotes": "inside quotation marks",
    "brackets": "inside brackets, ( ) or [ ]",
    "address": "inside an http:// or https:// address",
    "capital": "a capital letter",
    "digit": "a digit",
    "depth": "how many ( and [ are open",
    "column": "characters since the line began",
    "indentation": "blanks that the line began with",
    "word": "position in the word, in letters",
}
"""What a track that a text tells by itself is, by its name."""


@dataclass(frozen=True, slots=True)
class Track:
    """A label at each step of a text, and the steps at which units are measured against it.

    `steps` is how many steps those are. `told` says that the last three tokens give the track away at (nearly) every step, so
    that it could only be measured at all of them: a unit then need not remember anything.
    """

    name: str
    measure: Measure
    told: bool
    steps: int

    @property
    def words(self) -> str:
        """What it is a label of; its name where a file gave it."""
        return WORDS.get(self.name, self.name)


@dataclass(frozen=True, slots=True)
class TrackScores:
    """How well the units of a layer tell a track, and how well those of the same network untrained do; NaN where undefined.

    An AUC is from 0 to 1, half where the unit tells nothing, less where it is lower inside; r is from -1 to 1.
    """

    track: Track
    trained: Float32[np.ndarray, " unit"]
    untrained: Float32[np.ndarray, " unit"]


@dataclass(frozen=True, slots=True)
class Known:
    """How well one unit tells a track: its score, and the strength of the best unit of its layer untrained."""

    track: Track
    score: float
    untrained: float

    @property
    def strength(self) -> float:
        """How well it tells the track, whichever way round."""
        return strength(self.track.measure, self.score)


def strength(measure: Measure, score: float) -> float:
    """An AUC from 0.5 to 1, or |r|: how well a score tells the track, whichever way round."""
    return max(score, 1 - score) if measure == "auc" else abs(score)


def strengths(measure: Measure, scores: Float32[np.ndarray, " unit"]) -> Float32[np.ndarray, " unit"]:
    """Of several units."""
    found: Float32[np.ndarray, " unit"] = np.maximum(scores, 1 - scores) if measure == "auc" else np.abs(scores)
    return found


def best_strength(measure: Measure, scores: Float32[np.ndarray, " unit"]) -> float:
    """Of the best of several units; NaN where none has a score."""
    found = strengths(measure, scores)
    return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")
