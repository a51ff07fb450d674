"""Maximum, minimum, sums and count of rows of numbers in memory, read once; compiled for the CPU by Numba.

Sums run in float32 over short stretches, which are added up in float64.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from torchlurk.compiled.functions import compiled, inlined
from torchlurk.compiled.lanes import (
    WIDTH,
    add,
    add_square,
    add_to,
    any_equal,
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
    smaller,
    smallest,
    store,
    store_counts,
    subtract,
    total,
    uncounted,
)
from torchlurk.scanning.memory import Layout
from torchlurk.scanning.reductions import FAR

STRETCH = 512
"""How many numbers of a row are summed in float32, 32 in each of 16 lanes, before float64 takes over."""

COLUMN_STRETCH = 32
"""The same for a column, where each unit has one lane."""

PAIR = 2 * WIDTH
"""Units whose columns are read together: one cache line of float32."""


@no_type_check
@compiled
def layout_of(field):
    return Layout(field[0], field[1], field[2], field[3], field[4], field[5])


@no_type_check
@inlined
def rectify(memory, start, length, most):
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
def room_for(many):
    """Room for so many rows: maximum, minimum, the three sums of `plain_row`, count of active."""
    return np.empty(many, np.float32), np.empty(many, np.float32), np.empty((3, many)), np.empty(many, np.int64)


@no_type_check
@compiled
def pivot_of(memory, start, length, step):
    """`reductions.pivots`, of one map."""
    value = number(memory, start)
    if not np.isfinite(value):
        return np.float32(0)
    offset, spread = short_row(memory, start, length, step, value)[2][1:]
    mean, variance = value + offset / length, spread / length - (offset / length) ** 2
    return value if mean * mean > FAR * FAR * variance else np.float32(0)


@no_type_check
@inlined
def plain_row(memory, start, length, about):
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
def rectified_row(memory, start, length, most):
    """`rectify` and then `plain_row` about zero, in one journey; `most` is the ceiling in all lanes."""
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
def short_row(memory, start, length, step, pivot):
    """`plain_row` of any numbers `step` apart, one after another."""
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
def columns(memory, start, length, step, pivots, left, high, low, sums, active, to):
    """`plain_row` of sixteen units at once, whose positions are `step` apart, into the places from `to` on."""
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
def first_equal(memory, start, layout, value):
    """The first position of a map that has a value that is known to be there."""
    wanted, index = everywhere(value), 0
    if layout.by_position == 1:
        while index + WIDTH <= layout.positions and not any_equal(load(memory, start + index), wanted):
            index += WIDTH
    while index < layout.positions and number(memory, start + index * layout.by_position) != value:
        index += 1
    return index
