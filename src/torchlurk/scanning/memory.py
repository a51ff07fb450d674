"""How maps and a layer's running state lie in memory, as compiled functions are told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Layout(NamedTuple):
    """How many positions maps have, how far apart in memory neighbours along each axis are, and how many maps there are."""

    positions: int
    by_example: int
    by_unit: int
    by_position: int
    examples: int
    units: int


class Running(NamedTuple):
    """Where a layer's running state is in memory: its sizes, and the addresses of its tensors (0 for one not there).

    It is handed over as one array of integers (`packed`), which takes a tenth of the time that as many arguments take:
    the whole of a small layer takes some ten microseconds.
    """

    units: int
    top: int
    sample_size: int
    class_size: int
    max_strengths: int
    max_positions: int
    mean_strengths: int
    mean_positions: int
    pivot: int
    rows: int
    broken: int
    sum: int
    squares: int
    min: int
    max: int
    active: int
    class_places: int
    class_count: int
    class_max: int
    class_mean: int
    class_broken: int
    sample_examples: int
    sample_values: int
    class_rows: int


def packed(running: Running) -> Int64[np.ndarray, " field"]:
    """The fields one after the other, as `add_maps` wants them."""
    return np.array(running, np.int64)


def elsewhere(running: Int64[np.ndarray, " field"], **addresses: int) -> Int64[np.ndarray, " field"]:
    """A copy of packed fields, some of which are in another place."""
    moved = running.copy()
    for name, address in addresses.items():
        moved[Running._fields.index(name)] = address
    return moved
