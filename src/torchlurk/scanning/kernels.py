"""The same as `reductions` and what follows it, in one pass over memory, compiled for the CPU by Numba.

A map is read once: its maximum, minimum, sums and count are taken together, and at once enter the running state. Only the
map of a newcomer among a unit's leaders is looked at again, for the position of its maximum. Sums run in float32 over
short stretches, which are added up in float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64, Shaped, UInt8
from numba import njit
from torch import Tensor

from torchlurk.scanning.exemplars import MAGNITUDE, MOST_EXAMPLES
from torchlurk.scanning.lanes import (
    WIDTH,
    add,
    add_square,
    any_equal,
    bits,
    count_of,
    count_positive,
    counted,
    everywhere,
    lane,
    larger,
    largest,
    load,
    number,
    only_last,
    smaller,
    smallest,
    subtract,
    total,
    uncounted,
)

STRETCH = 512
"""How many numbers of a row are summed in float32, 32 in each of 16 lanes, before float64 takes over."""

COLUMN_STRETCH = 32
"""The same for a column, where each unit has one lane."""

PAIR = 2 * WIDTH
"""Units whose columns are read together: one cache line of float32."""

WORTH_THREADS = 1 << 18
"""Fewer numbers than this are read by one thread: handing work over costs as much."""


class Running(NamedTuple):
    """The arrays of a layer's running state, written in place."""

    max_strengths: Int64[np.ndarray, "k unit"]
    max_positions: Int32[np.ndarray, "k unit"]
    mean_strengths: Int64[np.ndarray, "k unit"]
    mean_positions: Int32[np.ndarray, "k unit"]
    pivot: Float32[np.ndarray, " unit"]
    rows: Int64[np.ndarray, " unit"]
    broken: Int64[np.ndarray, " unit"]
    sum: Float64[np.ndarray, " unit"]
    squares: Float64[np.ndarray, " unit"]
    min: Float32[np.ndarray, " unit"]
    max: Float32[np.ndarray, " unit"]
    active: Int64[np.ndarray, " unit"]
    class_max: Float64[np.ndarray, "place unit"]
    class_mean: Float64[np.ndarray, "place unit"]
    sample: Float32[np.ndarray, "slot unit"]


class Batch(NamedTuple):
    """The examples of a batch, their places among the classes and slots in the sample (-1 for none); `lost` is written."""

    examples: Int64[np.ndarray, " batch"]
    places: Int64[np.ndarray, " batch"]
    slots: Int64[np.ndarray, " batch"]
    lost: UInt8[np.ndarray, "batch unit"]


def add_maps(maps: Float[Tensor, "batch unit position"], running: Running, batch: Batch, pool: Executor | None) -> None:
    """Take a batch of maps into the running state; rows that are not finite are marked in `batch.lost`.

    Maps with neighbouring positions or neighbouring units side by side in memory are read where they lie.
    """
    if maps.dtype not in (torch.float32, torch.bfloat16):
        maps = maps.float()
    if 1 not in maps.stride()[1:] and maps.shape[2] > 1:
        maps = maps.contiguous()
    by_example, by_unit, by_position = maps.stride()
    units, positions = maps.shape[1:]
    rows = by_position == 1 or positions == 1
    kernel, stride = (_add_rows, by_unit) if rows else (_add_columns, by_position)
    memory = _memory(maps)

    def run(first: int, last: int) -> None:
        kernel(memory, positions, by_example, stride, first, last, running, batch)

    threads = torch.get_num_threads() if pool is not None and maps.numel() >= WORTH_THREADS else 1
    edges = [units * index // threads for index in range(threads + 1)]
    if pool is None or threads == 1:
        run(0, units)
    else:
        list(pool.map(run, edges[:-1], edges[1:]))


def _memory(maps: Float[Tensor, "batch unit position"]) -> Shaped[np.ndarray, " number"]:
    """The stretch of memory that the maps lie in, from their first number to their last; bfloat16 as its bits."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(maps.shape, maps.stride(), strict=True))
    memory = torch.as_strided(maps, (extent,), (1,))
    if maps.dtype == torch.bfloat16:
        return memory.view(torch.int16).numpy().view(np.uint16)
    return memory.numpy()


def _compiled(function: Callable[..., Any]) -> Any:
    dispatcher = njit(nogil=True, error_model="numpy")(function)
    with contextlib.suppress(RuntimeError):  # nowhere to keep compiled code: it is compiled anew each time
        dispatcher.enable_caching()
    return dispatcher


@no_type_check
@_compiled
def _add_rows(memory, positions, by_example, by_unit, first, last, running, batch):
    """Maps whose positions lie side by side."""
    for row in range(len(batch.examples)):
        for unit in range(first, last):
            start = row * by_example + unit * by_unit
            pivot = _pivot(running, unit, number(memory, start))
            high, low, sums, active = _row(memory, start, positions, pivot)
            if _finite(running, batch, row, unit, sums[2]):
                _respond(running, batch, row, unit, positions, high, low, sums, active)
                strength = _strength(high, batch.examples[row])
                if strength > running.max_strengths[-1, unit]:
                    position = _first_equal(memory, start, positions, high)
                    _insert(running.max_strengths, running.max_positions, unit, strength, position)


@no_type_check
@_compiled
def _add_columns(memory, positions, by_example, by_position, first, last, running, batch):
    """Maps whose units lie side by side, sixteen at a time."""
    sums = np.empty((3, PAIR))
    pivots, highs, lows = np.empty(PAIR, np.float32), np.empty(PAIR, np.float32), np.empty(PAIR, np.float32)
    actives = np.empty(PAIR, np.int64)
    width = min(PAIR, last - first)
    for row in range(len(batch.examples)):
        for unit in range(first, last, width):
            left = min(unit, last - width)  # the last group overlaps the one before it
            start = row * by_example + left
            for index in range(width):
                pivots[index] = _pivot(running, left + index, number(memory, start + index))
            if width == PAIR:
                _columns(memory, start, positions, by_position, pivots, highs, lows, sums, actives)
            else:
                _few_columns(memory, start, positions, by_position, pivots, highs, lows, sums, actives, width)
            for index in range(unit - left, width):
                three = (sums[0, index], sums[1, index], sums[2, index])
                channel, high = left + index, highs[index]
                if _finite(running, batch, row, channel, three[2]):
                    _respond(running, batch, row, channel, positions, high, lows[index], three, actives[index])
                    strength = _strength(high, batch.examples[row])
                    if strength > running.max_strengths[-1, channel]:
                        position = _first_equal_below(memory, start + index, positions, by_position, high)
                        _insert(running.max_strengths, running.max_positions, channel, strength, position)


@no_type_check
@_compiled
def _row(memory, start, length, pivot):
    """Maximum, minimum, (sum, sum and sum of squares about the pivot), count of active of neighbours in memory."""
    if length < WIDTH:
        return _short_row(memory, start, length, pivot)
    about, zero = everywhere(pivot), everywhere(np.float32(0))
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
            a, b = subtract(a, about), subtract(b, about)
            offset_a, offset_b = add(offset_a, a), add(offset_b, b)
            spread_a, spread_b = add_square(spread_a, a), add_square(spread_b, b)
            at += PAIR
        if at < stop:
            a = load(memory, at)
            high, low, active = larger(a, high), smaller(a, low), count_positive(active, a)
            sum_a, a = add(sum_a, a), subtract(a, about)
            offset_a, spread_a = add(offset_a, a), add_square(spread_a, a)
            at += WIDTH
        if stop == end and length % WIDTH:  # the rest, as the end of a full load
            a = load(memory, start + length - WIDTH)
            high, low = larger(a, high), smaller(a, low)
            b = only_last(a, length % WIDTH)
            sum_b, active = add(sum_b, b), count_positive(active, b)
            b = only_last(subtract(a, about), length % WIDTH)
            offset_b, spread_b = add(offset_b, b), add_square(spread_b, b)
        whole += total(add(sum_a, sum_b))
        offset += total(add(offset_a, offset_b))
        spread += total(add(spread_a, spread_b))
    return largest(high), smallest(low), (whole, offset, spread), counted(active)


@no_type_check
@_compiled
def _short_row(memory, start, length, pivot):
    """`_row` of fewer numbers than a register has lanes."""
    high = low = number(memory, start)
    whole = offset = spread = 0.0
    active = 0
    for at in range(start, start + length):
        value = number(memory, at)
        high, low = max(value, high), min(value, low)
        active += value > 0
        away = np.float64(np.float32(value - pivot))
        whole, offset, spread = whole + value, offset + away, spread + np.float64(np.float32(away * away))
    return high, low, (whole, offset, spread), active


@no_type_check
@_compiled
def _columns(memory, start, length, step, pivots, highs, lows, sums, actives):
    """`_row` of sixteen units at once, whose positions are `step` apart."""
    about_a, about_b, zero = load(pivots, 0), load(pivots, WIDTH), everywhere(np.float32(0))
    high_a = low_a = load(memory, start)
    high_b = low_b = load(memory, start + WIDTH)
    active_a = active_b = uncounted()
    sums[:] = 0
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
        for index in range(WIDTH):
            sums[0, index] += lane(sum_a, index)
            sums[1, index] += lane(offset_a, index)
            sums[2, index] += lane(spread_a, index)
            sums[0, index + WIDTH] += lane(sum_b, index)
            sums[1, index + WIDTH] += lane(offset_b, index)
            sums[2, index + WIDTH] += lane(spread_b, index)
        position = stop
    for index in range(WIDTH):
        highs[index], lows[index], actives[index] = lane(high_a, index), lane(low_a, index), count_of(active_a, index)
        other = index + WIDTH
        highs[other], lows[other], actives[other] = lane(high_b, index), lane(low_b, index), count_of(active_b, index)


@no_type_check
@_compiled
def _few_columns(memory, start, length, step, pivots, highs, lows, sums, actives, width):
    """`_columns` of fewer units."""
    for index in range(width):
        first = start + index
        high = low = number(memory, first)
        whole = offset = spread = 0.0
        active = 0
        for at in range(first, first + length * step, step):
            value = number(memory, at)
            high, low = max(value, high), min(value, low)
            active += value > 0
            away = np.float64(np.float32(value - pivots[index]))
            whole, offset, spread = whole + value, offset + away, spread + np.float64(np.float32(away * away))
        highs[index], lows[index], actives[index] = high, low, active
        sums[0, index], sums[1, index], sums[2, index] = whole, offset, spread


@no_type_check
@_compiled
def _pivot(running, unit, first):
    """The unit's pivot; its first number becomes it."""
    if running.rows[unit] == 0:
        running.pivot[unit] = first if np.isfinite(first) else np.float32(0)
    return running.pivot[unit]


@no_type_check
@_compiled
def _finite(running, batch, row, unit, spread):
    """Whether the row may enter; one that may not is counted."""
    if np.isfinite(spread):
        return True
    running.broken[unit] += 1
    batch.lost[row, unit] = 1
    return False


@no_type_check
@_compiled
def _respond(running, batch, row, unit, positions, high, low, sums, active):
    """What one unit did on one example enters all but the ranking by max."""
    running.rows[unit] += 1
    running.active[unit] += active
    running.sum[unit] += sums[1]
    running.squares[unit] += sums[2]
    running.max[unit] = max(running.max[unit], high)
    running.min[unit] = min(running.min[unit], low)
    mean = np.float32(sums[0] / positions)
    place, slot = batch.places[row], batch.slots[row]
    if place >= 0:
        running.class_max[place, unit] += high
        running.class_mean[place, unit] += mean
    if slot >= 0:
        running.sample[slot, unit] = high
    strength = _strength(mean, batch.examples[row])
    if strength > running.mean_strengths[-1, unit]:
        _insert(running.mean_strengths, running.mean_positions, unit, strength, 0)


@no_type_check
@_compiled
def _strength(score, example):
    """`exemplars.strength` of one example."""
    ordered = bits(np.float32(score + np.float32(0)))
    if ordered < 0:
        ordered ^= MAGNITUDE
    return (ordered << 32) | (MOST_EXAMPLES - 1 - example)


@no_type_check
@_compiled
def _insert(strengths, positions, unit, strength, position):
    """Put a newcomer in its place; the weakest falls out."""
    rank = len(strengths) - 1
    while rank > 0 and strengths[rank - 1, unit] < strength:
        strengths[rank, unit] = strengths[rank - 1, unit]
        positions[rank, unit] = positions[rank - 1, unit]
        rank -= 1
    strengths[rank, unit] = strength
    positions[rank, unit] = position


@no_type_check
@_compiled
def _first_equal(memory, start, length, value):
    """The index of the first of `length` neighbours that equals a value that is among them."""
    wanted, index = everywhere(value), 0
    while index + WIDTH <= length and not any_equal(load(memory, start + index), wanted):
        index += WIDTH
    return index + _first_equal_below(memory, start + index, length - index, 1, value)


@no_type_check
@_compiled
def _first_equal_below(memory, start, length, step, value):
    """The same of numbers `step` apart."""
    index = 0
    while index < length and number(memory, start + index * step) != value:
        index += 1
    return index
