"""The same as `reductions` and what follows it, in one pass over memory, compiled for the CPU by Numba.

A map is read once: its maximum, minimum, sums and count are taken together, and at once enter the running state. Only the
map of a newcomer among a unit's leaders is looked at again, for the position of its maximum. Sums run in float32 over
short stretches, which are added up in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from torchlurk.compiled.functions import compiled, inlined
from torchlurk.compiled.lanes import (
    WIDTH,
    add,
    add_square,
    add_to,
    any_equal,
    bits,
    brain_floats,
    count_positive,
    counted,
    doubles,
    everywhere,
    floats,
    integers,
    larger,
    largest,
    load,
    number,
    only_last,
    set_number,
    small_integers,
    smaller,
    smallest,
    store,
    store_counts,
    subtract,
    total,
    uncounted,
)
from torchlurk.scanning.exemplars import MAGNITUDE, MOST_EXAMPLES
from torchlurk.scanning.reductions import FAR

STRETCH = 512
"""How many numbers of a row are summed in float32, 32 in each of 16 lanes, before float64 takes over."""

COLUMN_STRETCH = 32
"""The same for a column, where each unit has one lane."""

PAIR = 2 * WIDTH
"""Units whose columns are read together: one cache line of float32."""

WORTH_THREADS = 1 << 18
"""Fewer numbers than this are read by one thread: handing work over costs as much."""


LAYOUTS_KNOWN = 4096
"""How many shapes and strides of maps are remembered: a few a layer."""

AS_IT_IS = np.float32(-1)
"""The ceiling of maps that are not clamped."""

NEW_CLASS = -1
"""The answer of a kernel that has done nothing, because an example is of a class that has no place yet."""

REFUSED = -2
"""The answer of a kernel that has done nothing, because what it was given lies outside of the memory it was told of."""


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


class Layout(NamedTuple):
    """How many positions maps have, how far apart in memory neighbours along each axis are, and how many maps there are."""

    positions: int
    by_example: int
    by_unit: int
    by_position: int
    examples: int
    units: int


def packed(running: Running) -> Int64[np.ndarray, " field"]:
    """The fields one after the other, as `add_maps` wants them."""
    return np.array(running, np.int64)


def add_maps(
    maps: Float[Tensor, "batch unit *positions"],
    examples: Int64[np.ndarray, " batch"],
    classes: Int64[np.ndarray, " batch"],
    running: Int64[np.ndarray, " field"],
    pool: Executor | None,
    ready: Ready | None,
) -> int:
    """Take a batch of maps into the running state; returns how many rows were not finite, or `NEW_CLASS`.

    `ready` is how these maps are read where they lie; without, they are copied first. Raises `ValueError` where there is not
    one map of each of the running state's units for each example.
    """
    if ready is None:
        maps = maps.float().contiguous()
        ready = ready_for(maps.dtype, maps.shape, maps.stride(), None)
        assert ready is not None
    kernel, layout, units, most, wide = ready
    address = maps.data_ptr()
    threads = torch.get_num_threads() if wide and pool is not None else 1
    if pool is None or threads == 1:
        return _accepted(int(kernel(address, layout, 0, units, running, examples, classes, most)))
    edges = [units * index // threads for index in range(threads + 1)]
    lost = list(
        pool.map(lambda first, last: kernel(address, layout, first, last, running, examples, classes, most), edges, edges[1:])
    )
    return _accepted(min(lost) if min(lost) < 0 else sum(lost))


def _accepted(answer: int) -> int:
    if answer == REFUSED:
        raise ValueError("the maps are not one of each unit of the running state for each example and class given")
    return answer


class Ready(NamedTuple):
    """How maps of one kind are read where they lie."""

    kernel: Callable[..., int]
    layout: Int64[np.ndarray, " field"]
    units: int
    most: np.float32
    wide: bool


@lru_cache(maxsize=LAYOUTS_KNOWN)
def ready_for(dtype: torch.dtype, shape: tuple[int, ...], strides: tuple[int, ...], ceiling: float | None) -> Ready | None:
    """How maps [batch, unit, *positions] of this kind on a CPU are read; with a ceiling they are clamped on the way, from
    zero to it, where they lie.

    None where that cannot be: neighbouring positions or neighbouring units must be side by side in memory, and for clamping
    it must be positions, in float32.
    """
    layout = _layout(shape, strides)
    kernel = None if layout is None else _KERNELS.get((dtype, bool(layout[Layout._fields.index("by_position")] == 1)))
    if layout is None or kernel is None or (ceiling is not None and kernel is not _float_rows):
        return None
    most = AS_IT_IS if ceiling is None else np.float32(ceiling)
    return Ready(kernel, layout, shape[1], most, math.prod(shape) >= WORTH_THREADS)


def _layout(shape: tuple[int, ...], strides: tuple[int, ...]) -> Int64[np.ndarray, " field"] | None:
    """How maps lie in memory, the fields of `Layout`; None if neither positions nor units are side by side."""
    by_example, by_unit, *inner = strides
    positions, by_position = 1, 1
    for size, stride in zip(reversed(shape[2:]), reversed(inner), strict=True):
        if size == 1:
            continue
        if positions == 1:
            by_position = stride
        elif stride != positions * by_position:
            return None
        positions *= size
    if by_position != 1 and by_unit != 1:
        return None
    return np.array(Layout(positions, by_example, by_unit, by_position, *shape[:2]), np.int64)


@no_type_check
@compiled
def _layout_of(field):
    return Layout(field[0], field[1], field[2], field[3], field[4], field[5])


@no_type_check
@compiled
def _running_of(field):
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
def _float_rows(address, layout, first, last, running, examples, classes, most):
    return _add_rows(floats(address), _layout_of(layout), first, last, _running_of(running), examples, classes, most)


@no_type_check
@compiled
def _float_columns(address, layout, first, last, running, examples, classes, most):
    return _add_columns(floats(address), _layout_of(layout), first, last, _running_of(running), examples, classes)


@no_type_check
@compiled
def _brain_float_rows(address, layout, first, last, running, examples, classes, most):
    return _add_rows(brain_floats(address), _layout_of(layout), first, last, _running_of(running), examples, classes, None)


@no_type_check
@compiled
def _brain_float_columns(address, layout, first, last, running, examples, classes, most):
    return _add_columns(brain_floats(address), _layout_of(layout), first, last, _running_of(running), examples, classes)


_KERNELS = {
    (torch.float32, True): _float_rows,
    (torch.float32, False): _float_columns,
    (torch.bfloat16, True): _brain_float_rows,
    (torch.bfloat16, False): _brain_float_columns,
}
"""By number format, and whether positions (not units) are side by side; each is compiled when first needed."""


@no_type_check
@compiled
def _add_rows(memory, layout, first, last, running, examples, classes, most):
    """Maps whose positions lie side by side; clamped first from zero to `most`, if that is a number."""
    if not _fits(layout, first, last, running, examples, classes):
        return REFUSED
    if not _all_known(running, classes):
        return NEW_CLASS
    lost, slots, (high, low, sums, active) = 0, _slots(running, examples), _responses(len(examples))
    pivots = floats(running.pivot)
    clamped = most is not None and most >= 0
    for unit in range(first, last):
        start = unit * layout.by_unit
        if np.isnan(pivots[unit]):
            if clamped:
                _rectify(memory, start, layout.positions, most)
            pivots[unit] = _pivot(memory, start, layout.positions, layout.by_position)
        pivot = pivots[unit]
        for row in range(len(examples)):
            at = start + row * layout.by_example
            if clamped and (pivot != 0 or layout.positions < WIDTH):
                _rectify(memory, at, layout.positions, most)
            if layout.positions < WIDTH:
                found = _short_row(memory, at, layout.positions, 1, pivot)
            elif pivot != 0:
                found = _row(memory, at, layout.positions, everywhere(pivot))
            elif clamped:
                found = _rectified_row(memory, at, layout.positions, everywhere(most))
            else:
                found = _row(memory, at, layout.positions, None)
            high[row], low[row], active[row] = found[0], found[1], found[3]
            sums[0, row], sums[1, row], sums[2, row] = found[2]
        lost += _enter(memory, start, layout, unit, running, examples, classes, slots, high, low, sums, active)
    _count_classes(first, running, classes)
    return lost


@no_type_check
@inlined
def _rectify(memory, start, length, most):
    """Clamps a row from zero to `most`, as torch does: NaN stays."""
    least, ceiling, at = everywhere(np.float32(0)), everywhere(most), start
    while at + WIDTH <= start + length:
        store(memory, at, smaller(ceiling, larger(least, load(memory, at))))
        at += WIDTH
    while at < start + length:
        value = number(memory, at)
        set_number(memory, at, np.float32(0) if value < 0 else most if value > most else value)
        at += 1


@no_type_check
@compiled
def _add_columns(memory, layout, first, last, running, examples, classes):
    """Maps whose units lie side by side, sixteen at a time."""
    if not _fits(layout, first, last, running, examples, classes):
        return REFUSED
    if not _all_known(running, classes):
        return NEW_CLASS
    lost, slots = 0, _slots(running, examples)
    pivots, count = floats(running.pivot), len(examples)
    high, low, sums, active = _responses(count * PAIR)
    for unit in range(first, last):
        if np.isnan(pivots[unit]):
            pivots[unit] = _pivot(memory, unit, layout.positions, layout.by_position)
    for left in range(first, last, PAIR):
        together = min(PAIR, last - left)
        base = min(left, running.units - PAIR) if running.units >= PAIR else left  # the last sixteen overlap those before
        for row in range(count):
            start, at = base + row * layout.by_example, row * PAIR
            if running.units >= PAIR:
                _columns(memory, start, layout.positions, layout.by_position, pivots, base, high, low, sums, active, at)
            else:
                for unit in range(together):
                    found = _short_row(memory, start + unit, layout.positions, layout.by_position, pivots[base + unit])
                    high[at + unit], low[at + unit], active[at + unit] = found[0], found[1], found[3]
                    sums[0, at + unit], sums[1, at + unit], sums[2, at + unit] = found[2]
        for unit in range(left, left + together):
            ones = slice(unit - base, count * PAIR, PAIR)
            responses = high[ones], low[ones], sums[:, ones], active[ones]
            lost += _enter(memory, unit, layout, unit, running, examples, classes, slots, *responses)
    _count_classes(first, running, classes)
    return lost


@no_type_check
@compiled
def _fits(layout, first, last, running, examples, classes):
    """Whether the maps are those of the examples and of the running state's units, and none is empty."""
    rows, units = len(examples), running.units
    told = layout.examples == rows and len(classes) == rows and layout.units == units and running.top > 0
    return told and rows > 0 and layout.positions > 0 and 0 <= first <= last <= units


@no_type_check
@compiled
def _all_known(running, classes):
    """Whether each example's class, if it has one, has a place."""
    places = integers(running.class_places)
    for row in range(len(classes)):
        if classes[row] < 0:
            continue
        if classes[row] >= running.class_size or not 0 <= places[classes[row]] < running.class_rows:
            return False
    return True


@no_type_check
@compiled
def _responses(many):
    """Room for so many rows: maximum, minimum, the three sums of `_row`, count of active."""
    return np.empty(many, np.float32), np.empty(many, np.float32), np.empty((3, many)), np.empty(many, np.int64)


@no_type_check
@compiled
def _pivot(memory, start, length, step):
    """`reductions.pivots`, of one map."""
    value = number(memory, start)
    if not np.isfinite(value):
        return np.float32(0)
    offset, spread = _short_row(memory, start, length, step, value)[2][1:]
    mean, variance = value + offset / length, spread / length - (offset / length) ** 2
    return value if mean * mean > FAR * FAR * variance else np.float32(0)


@no_type_check
@inlined
def _enter(memory, start, layout, unit, running, examples, classes, slots, high, low, sums, active):
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
        position = _first_equal(memory, start, layout, high)
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
def _count_classes(first, running, classes):
    """The examples of each class, with the first unit, as threads share the units."""
    if first == 0:
        places, counts = integers(running.class_places), integers(running.class_count)
        for index in classes:
            if index >= 0:
                counts[places[index]] += 1


@no_type_check
@compiled
def _slots(running, examples):
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
@inlined
def _row(memory, start, length, about):
    """Maximum, minimum, (sum, sum and sum of squares about the pivot) and count of active, of eight or more neighbours.

    `about` holds the pivot in all lanes; it is None for a pivot of zero, which saves a third of the work.
    """
    zero = everywhere(np.float32(0))
    high = low = load(memory, start)
    active = uncounted()
    whole = offset = spread = 0.0
    at, end = start, start + length - length % WIDTH
    while at < end:
        stop = min(at + STRETCH, end)
        sum_a = sum_b = offset_a = offset_b = spread_a = spread_b = zero
        while at + PAIR <= stop:
            a, b = load(memory, at), load(memory, at + WIDTH)
            high, low, active = larger(a, high), smaller(a, low), count_positive(active, a)
            high, low, active = larger(b, high), smaller(b, low), count_positive(active, b)
            sum_a, sum_b = add(sum_a, a), add(sum_b, b)
            if about is not None:
                a, b = subtract(a, about), subtract(b, about)
                offset_a, offset_b = add(offset_a, a), add(offset_b, b)
            spread_a, spread_b = add_square(spread_a, a), add_square(spread_b, b)
            at += PAIR
        if at < stop:
            a = load(memory, at)
            high, low, active = larger(a, high), smaller(a, low), count_positive(active, a)
            sum_a = add(sum_a, a)
            if about is not None:
                a = subtract(a, about)
                offset_a = add(offset_a, a)
            spread_a = add_square(spread_a, a)
            at += WIDTH
        if stop == end and length % WIDTH:  # the rest, as the end of a full load
            a = load(memory, start + length - WIDTH)
            high, low = larger(a, high), smaller(a, low)
            b = only_last(a, length % WIDTH)
            sum_b, active = add(sum_b, b), count_positive(active, b)
            if about is not None:
                b = only_last(subtract(a, about), length % WIDTH)
                offset_b = add(offset_b, b)
            spread_b = add_square(spread_b, b)
        whole += total(add(sum_a, sum_b))
        if about is not None:
            offset += total(add(offset_a, offset_b))
        spread += total(add(spread_a, spread_b))
    if about is None:
        offset = whole
    return largest(high), smallest(low), (whole, offset, spread), counted(active)


@no_type_check
@inlined
def _rectified_row(memory, start, length, most):
    """`_rectify` and then `_row` about zero, in one journey; `most` is the ceiling in all lanes."""
    zero = everywhere(np.float32(0))
    high, active = zero, uncounted()
    whole = spread = 0.0
    at, end = start, start + length - length % WIDTH
    while at < end:
        stop = min(at + STRETCH, end)
        sum_a = sum_b = spread_a = spread_b = zero
        while at + PAIR <= stop:
            a = smaller(most, larger(zero, load(memory, at)))
            b = smaller(most, larger(zero, load(memory, at + WIDTH)))
            store(memory, at, a)
            store(memory, at + WIDTH, b)
            high, active = larger(a, high), count_positive(active, a)
            high, active = larger(b, high), count_positive(active, b)
            sum_a, sum_b = add(sum_a, a), add(sum_b, b)
            spread_a, spread_b = add_square(spread_a, a), add_square(spread_b, b)
            at += PAIR
        if at < stop:
            a = smaller(most, larger(zero, load(memory, at)))
            store(memory, at, a)
            high, active = larger(a, high), count_positive(active, a)
            sum_a, spread_a = add(sum_a, a), add_square(spread_a, a)
            at += WIDTH
        if stop == end and length % WIDTH:  # the rest, as the end of a full load
            a = smaller(most, larger(zero, load(memory, start + length - WIDTH)))
            store(memory, start + length - WIDTH, a)
            high = larger(a, high)
            b = only_last(a, length % WIDTH)
            active, sum_b, spread_b = count_positive(active, b), add(sum_b, b), add_square(spread_b, b)
        whole += total(add(sum_a, sum_b))
        spread += total(add(spread_a, spread_b))
    low = np.float32(0)
    if counted(active) == length:  # else there is a zero
        lows = load(memory, start)
        for at in range(start, start + length - WIDTH, WIDTH):
            lows = smaller(load(memory, at), lows)
        low = smallest(smaller(load(memory, start + length - WIDTH), lows))
    return largest(high), low, (whole, whole, spread), counted(active)


@no_type_check
@inlined
def _short_row(memory, start, length, step, pivot):
    """`_row` of any numbers `step` apart, one after another."""
    high = low = number(memory, start)
    whole = offset = spread = 0.0
    active = 0
    for index in range(length):
        value = number(memory, start + index * step)
        high, low = max(value, high), min(value, low)
        active += value > 0
        away = np.float32(value - pivot)
        whole, offset, spread = whole + value, offset + away, spread + np.float32(away * away)
    return high, low, (whole, offset, spread), active


@no_type_check
@compiled
def _columns(memory, start, length, step, pivots, left, high, low, sums, active, to):
    """`_row` of sixteen units at once, whose positions are `step` apart, into the places from `to` on."""
    about_a, about_b, zero = load(pivots, left), load(pivots, left + WIDTH), everywhere(np.float32(0))
    high_a = low_a = load(memory, start)
    high_b = low_b = load(memory, start + WIDTH)
    active_a = active_b = uncounted()
    sums[:, to : to + PAIR] = 0
    position = 0
    while position < length:
        stop = min(position + COLUMN_STRETCH, length)
        sum_a = sum_b = offset_a = offset_b = spread_a = spread_b = zero
        for at in range(start + position * step, start + stop * step, step):
            a, b = load(memory, at), load(memory, at + WIDTH)
            high_a, low_a, active_a = larger(a, high_a), smaller(a, low_a), count_positive(active_a, a)
            high_b, low_b, active_b = larger(b, high_b), smaller(b, low_b), count_positive(active_b, b)
            sum_a, sum_b = add(sum_a, a), add(sum_b, b)
            a, b = subtract(a, about_a), subtract(b, about_b)
            offset_a, offset_b = add(offset_a, a), add(offset_b, b)
            spread_a, spread_b = add_square(spread_a, a), add_square(spread_b, b)
        for row, a, b in ((0, sum_a, sum_b), (1, offset_a, offset_b), (2, spread_a, spread_b)):
            add_to(doubles(sums[row].ctypes.data), to, a)
            add_to(doubles(sums[row].ctypes.data), to + WIDTH, b)
        position = stop
    for at, highs, lows, actives in ((to, high_a, low_a, active_a), (to + WIDTH, high_b, low_b, active_b)):
        store(floats(high.ctypes.data), at, highs)
        store(floats(low.ctypes.data), at, lows)
        store_counts(integers(active.ctypes.data), at, actives)


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


@no_type_check
@compiled
def _first_equal(memory, start, layout, value):
    """The first position of a map that has a value that is known to be there."""
    wanted, index = everywhere(value), 0
    if layout.by_position == 1:
        while index + WIDTH <= layout.positions and not any_equal(load(memory, start + index), wanted):
            index += WIDTH
    while index < layout.positions and number(memory, start + index * layout.by_position) != value:
        index += 1
    return index
