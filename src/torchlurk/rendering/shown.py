"""Exemplars among texts and series as they are drawn: with what the study holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from torchlurk.input_records import TextExample
from torchlurk.records import Exemplar, Layer, Ranking
from torchlurk.rendering.marks import Marks, marks_of
from torchlurk.rendering.steps import Content
from torchlurk.rendering.text import Steps


@dataclass(frozen=True, slots=True)
class Shown:
    """An exemplar with what the study holds of it; `marks` are None where it does not hold the example. `tints` are numbers by
    which a series' lines are coloured.
    """

    exemplar: Exemplar
    content: Content | None
    marks: Marks | None
    tints: Float32[np.ndarray, "time channel"] | None = None

    @property
    def step(self) -> str:
        """Where the unit is strongest, in words; empty where no step is."""
        return f"step {self.marks.strongest[0]}" if self.marks is not None and self.marks.strongest is not None else ""

    @property
    def place(self) -> str:
        """Where it is in the data: of a text the place of the strongest step, if it has one; by number without a path."""
        path, marks = self.exemplar.path, self.marks
        if isinstance(self.content, TextExample) and marks is not None and marks.strongest is not None:
            path = self.content.place(path, marks.strongest[0])
        return path or f"example {self.exemplar.example}"


def shown_of(exemplars: Sequence[Exemplar], steps: Steps) -> list[Shown]:
    """The exemplars with their examples and marks."""
    found = []
    for one in exemplars:
        content = steps.examples.get(one.example)
        marks = None if content is None else marks_of(one, content, steps.traces.get(one.example))
        found.append(Shown(one, content, marks))
    return found


def best_exemplar(layer: Layer, best: Ranking, unit: int) -> Exemplar:
    """A unit's strongest example as an exemplar; with the index -1 where it has none."""
    position = None if best.positions is None else int(best.positions[unit, 0])
    reach = None if best.boxes is None else (int(best.boxes[unit, 0, 0]), int(best.boxes[unit, 0, 2]))
    placed = None if position is None or position < 0 else layer.position(position)
    return Exemplar(0, int(best.examples[unit, 0]), "", None, float(best.scores[unit, 0]), placed, reach=reach)
