"""Random choices of one picture, all from one generator, so that a picture depends on its seed and index alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


class Dice:
    """Draws numbers and choices; the same (seed, index) always gives the same sequence."""

    def __init__(self, seed: int, index: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`, uniformly."""
        return low + (high - low) * float(self.generator.random())

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.generator.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return float(self.generator.random()) < probability

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices, all equally likely."""
        return choices[int(self.generator.random() * len(choices))]

    def weighted(self, weights: dict[Choice, float]) -> Choice:
        """One of the keys, each as likely as its weight."""
        level = float(self.generator.random()) * sum(weights.values())
        for choice, weight in weights.items():
            level -= weight
            if level < 0:
                return choice
        return choice
