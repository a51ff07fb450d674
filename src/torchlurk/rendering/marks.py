"""What is marked on the steps of a text or series: a unit's value at each, its strongest step, and what it can have seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from torchlurk.input_records import step_at
from torchlurk.records import Exemplar
from torchlurk.rendering.colour import Colour, Theme, diverging, ink_on
from torchlurk.rendering.steps import Content


@dataclass(frozen=True, slots=True)
class Marks:
    """Of one example; all ranges are half-open, in steps.

    `values` are NaN where they are not known. `reach` is None where everything is in it, `strongest` where no step is.
    """

    values: Float32[np.ndarray, " time"]
    counted: tuple[int, int]
    reach: tuple[int, int] | None = None
    strongest: tuple[int, int] | None = None

    @property
    def centre(self) -> int:
        """The step that must be seen: the strongest, or the one with the largest value, or the first that counts."""
        if self.strongest is not None:
            return self.strongest[0]
        first, last = self.counted
        known = self.values[first:last]
        return first + int(np.nanargmax(known)) if np.isfinite(known).any() else min(first, max(0, len(self.values) - 1))

    def counts(self, step: int) -> bool:
        """Whether the step is not burn-in."""
        return self.counted[0] <= step < self.counted[1]

    def reached(self, step: int) -> bool:
        """Whether the unit can have seen the step where it is strongest."""
        return self.reach is None or self.reach[0] <= step < self.reach[1]

    def is_strongest(self, step: int) -> bool:
        """Whether the unit is strongest there."""
        return self.strongest is not None and self.strongest[0] <= step < self.strongest[1]


def marks_of(exemplar: Exemplar, content: Content, trace: Float32[np.ndarray, " time"] | None) -> Marks:
    """What is marked on an exemplar; a layer with fewer positions than steps has each of its values over several steps."""
    steps = content.steps
    positions = steps if trace is None or not len(trace) else len(trace)
    at = np.arange(steps) * positions // max(1, steps)
    values = np.full(steps, np.nan, np.float32) if trace is None or not len(trace) else trace[at]
    strongest = None
    if exemplar.position and 0 <= exemplar.position[0] < positions and steps:
        first, last = (step_at(position, positions, steps) for position in (exemplar.position[0], exemplar.position[0] + 1))
        strongest = (min(first, steps - 1), max(last, first + 1))
    return Marks(np.where(np.isfinite(values), values, np.float32(np.nan)), content.counted, exemplar.reach, strongest)


def scale_of(traces: Iterable[Float32[np.ndarray, " time"]]) -> float:
    """The largest magnitude among the values; 1 where all are zero or there are none."""
    largest = (float(np.abs(trace[np.isfinite(trace)]).max(initial=0.0)) for trace in traces)
    return max(largest, default=0.0) or 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """How a step is drawn: its ink, on which ground (None: the sheet's own), and a line of a colour beneath it."""

    ink: Colour
    ground: Colour | None = None
    line: Colour | None = None


def look(marks: Marks, step: int, scale: float, theme: Theme) -> Look:
    """A step that counts and was seen is on the colour of its value; one that was not seen has the colour in a line beneath
    it alone; burn-in is grey.
    """
    if not marks.counts(step):
        return Look(theme.muted, theme.panel)
    value = float(marks.values[step])
    colour = None if np.isnan(value) else diverging(value / scale, theme)
    if not marks.reached(step):
        return Look(theme.muted, None, colour)
    return Look(theme.ink) if colour is None else Look(ink_on(colour), colour)
