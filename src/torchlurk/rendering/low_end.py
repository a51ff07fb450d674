"""The other end of units that are negative, too: where they are lowest, in the texts or series that are their exemplars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Exemplar, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.steps import Content, counted_positions

PLACES = 6
"""So many are shown."""
AS_FAR = 0.5
"""The minimum of a unit is told of where it is at least this share of the maximum away from zero, on the other side."""

LOWEST = "Lowest in these examples"


def beside_lowest(record: UnitRecord) -> str:
    """What the places are of, beside their title."""
    return f"among all exemplars of the unit; its minimum on the data is {labels.number(record.statistics['min'])}"


def lowest_places(
    record: UnitRecord, examples: Mapping[int, Content], traces: Mapping[int, Float32[np.ndarray, " time"]]
) -> tuple[Exemplar, ...]:
    """Of the exemplars of a unit, by max, by mean and across its range, those where it is lowest at a step that
    counts, lowest first (equal values by example index); `score` is its value there, `position` the first such place.

    None where the unit is not about as far below zero as it is above, or nothing is known of its steps; without the examples
    in which it is nowhere below zero.
    """
    low, high = record.statistics["min"], record.statistics["max"]
    if not (low < 0 and -low >= AS_FAR * high):
        return ()
    shown = {one.example: one for ranked in record.exemplars.values() for one in ranked}
    found = []
    for example, trace in traces.items():
        content, known = examples.get(example), shown.get(example)
        if content is None or known is None:
            continue
        within = counted_positions(content, len(trace))
        counting = np.where(np.isfinite(trace[within]), trace[within], np.inf)
        if len(counting) and counting.min() < 0:
            value = max(low, float(counting.min()))  # values at steps are rounded
            found.append((value, example, within.start + int(counting.argmin())))
    return tuple(
        Exemplar(rank, example, shown[example].path, shown[example].class_label, value, (position,))
        for rank, (value, example, position) in enumerate(sorted(found)[:PLACES])
    )
