"""The running state of a layer in memory, and how one unit's responses on a batch enter it; compiled for the CPU by Numba."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from torchlurk.compiled.functions import compiled, inlined
from torchlurk.compiled.lanes import bits, doubles, floats, integers, small_integers
from torchlurk.scanning.exemplars import MAGNITUDE, MOST_EXAMPLES
from torchlurk.scanning.memory import Running
from torchlurk.scanning.row_reductions import first_equal


@no_type_check
@compiled
def running_of(field):
    """`Running(*field)`, which the compiler cannot do with an array."""
    return Running(
        field[0],
        field[1],
        field[2],
        field[3],
        field[4],
        field[5],
        field[6],
        field[7],
        field[8],
        field[9],
        field[10],
        field[11],
        field[12],
        field[13],
        field[14],
        field[15],
        field[16],
        field[17],
        field[18],
        field[19],
        field[20],
        field[21],
        field[22],
        field[23],
    )


@no_type_check
@compiled
def fits(layout, first, last, running, examples, classes):
    """Whether the maps are those of the examples and of the running state's units, and none is empty."""
    rows, units = len(examples), running.units
    told = layout.examples == rows and len(classes) == rows and layout.units == units and running.top > 0
    return told and rows > 0 and layout.positions > 0 and 0 <= first <= last <= units


@no_type_check
@compiled
def all_known(running, classes):
    """Whether each example's class, if it has one, has a place."""
    places = integers(running.class_places)
    for row in range(len(classes)):
        if classes[row] < 0:
            continue
        if classes[row] >= running.class_size or not 0 <= places[classes[row]] < running.class_rows:
            return False
    return True


@no_type_check
@inlined
def enter(memory, start, layout, unit, running, examples, classes, slots, high, low, sums, active):
    """What a unit did on a batch enters the running state; returns how many of its rows were not finite.

    Everything that is kept of the unit is read and written once, however many examples there are.
    """
    lost = place = 0
    class_high = class_mean = offset = spread = 0.0
    actives, highest, lowest = 0, np.float32(-np.inf), np.float32(np.inf)
    places, values = integers(running.class_places), floats(running.sample_values)
    for row in range(len(examples)):
        known = classes[row] >= 0
        if known and places[classes[row]] != place:
            _enter_class(running, place, unit, class_high, class_mean)
            place, class_high, class_mean = places[classes[row]], 0.0, 0.0
        response = high[row]
        if np.isfinite(sums[2, row]):
            mean = np.float32(sums[0, row] / layout.positions)
            _enter_leaders(memory, start + row * layout.by_example, layout, running, unit, examples[row], response, mean)
            offset, spread, actives = offset + sums[1, row], spread + sums[2, row], actives + active[row]
            highest, lowest = max(highest, response), min(lowest, low[row])
            if known:
                class_high, class_mean = class_high + response, class_mean + mean
        else:
            lost += 1
            response = np.float32(np.nan)
            if known and running.class_broken != 0:
                small_integers(running.class_broken)[place * running.units + unit] += np.int32(1)
        if slots[row] >= 0:
            values[slots[row] * running.units + unit] = response
    _enter_class(running, place, unit, class_high, class_mean)
    _enter_moments(running, unit, len(examples) - lost, lost, offset, spread, actives, highest, lowest)
    return lost


@no_type_check
@inlined
def _enter_leaders(memory, start, layout, running, unit, example, high, mean):
    """An example that is stronger than the weakest leader takes its place."""
    max_strengths, mean_strengths = integers(running.max_strengths), integers(running.mean_strengths)
    units, weakest = running.units, (running.top - 1) * running.units + unit
    strength = _strength(mean, example)
    if strength > mean_strengths[weakest]:
        _insert(mean_strengths, small_integers(running.mean_positions), units, running.top, unit, strength, 0)
    strength = _strength(high, example)
    if strength > max_strengths[weakest]:
        position = first_equal(memory, start, layout, high)
        _insert(max_strengths, small_integers(running.max_positions), units, running.top, unit, strength, position)


@no_type_check
@inlined
def _enter_moments(running, unit, finite, lost, offset, spread, actives, high, low):
    """The counts and sums of the rows of a batch."""
    integers(running.rows)[unit] += finite
    doubles(running.sum)[unit] += offset
    doubles(running.squares)[unit] += spread
    integers(running.active)[unit] += actives
    highest, lowest = floats(running.max), floats(running.min)
    highest[unit], lowest[unit] = max(highest[unit], high), min(lowest[unit], low)
    if lost:
        integers(running.broken)[unit] += lost


@no_type_check
@inlined
def _enter_class(running, place, unit, high, mean):
    """The sums of some examples of one class."""
    if high != 0 or mean != 0:
        at = place * running.units + unit
        doubles(running.class_max)[at] += high
        doubles(running.class_mean)[at] += mean


@no_type_check
@compiled
def count_classes(first, running, classes):
    """The examples of each class, with the first unit, as threads share the units."""
    if first == 0:
        places, counts = integers(running.class_places), integers(running.class_count)
        for index in classes:
            if index >= 0:
                counts[places[index]] += 1


@no_type_check
@compiled
def slots_of(running, examples):
    """Where in the sorted sample each example is; -1 for those not in it."""
    slots = np.empty(len(examples), np.int64)
    for row in range(len(examples)):
        slots[row] = _slot(running, examples[row])
    return slots


@no_type_check
@compiled
def _slot(running, example):
    """Where in the sorted sample an example is; -1 if it is not in it."""
    examples, low, high = integers(running.sample_examples), 0, running.sample_size
    while low < high:
        middle = (low + high) // 2
        if examples[middle] < example:
            low = middle + 1
        else:
            high = middle
    return low if low < running.sample_size and examples[low] == example else -1


@no_type_check
@compiled
def _strength(score, example):
    """`exemplars.strength` of one example."""
    ordered = bits(np.float32(score + np.float32(0)))
    if ordered < 0:
        ordered ^= MAGNITUDE
    return (ordered << 32) | (MOST_EXAMPLES - 1 - example)


@no_type_check
@compiled
def _insert(strengths, positions, units, top, unit, strength, position):
    """Put a newcomer in its place; the weakest falls out."""
    rank = top - 1
    while rank > 0 and strengths[(rank - 1) * units + unit] < strength:
        strengths[rank * units + unit] = strengths[(rank - 1) * units + unit]
        positions[rank * units + unit] = positions[(rank - 1) * units + unit]
        rank -= 1
    strengths[rank * units + unit] = strength
    positions[rank * units + unit] = np.int32(position)
