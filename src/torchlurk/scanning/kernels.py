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

from torchlurk.compiled.functions import compiled
from torchlurk.compiled.lanes import WIDTH, brain_floats, everywhere, floats
from torchlurk.scanning.memory import Layout
from torchlurk.scanning.row_reductions import (
    PAIR,
    columns,
    layout_of,
    pivot_of,
    plain_row,
    rectified_row,
    rectify,
    room_for,
    short_row,
)
from torchlurk.scanning.running_state import all_known, count_classes, enter, fits, running_of, slots_of

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
def _float_rows(address, layout, first, last, running, examples, classes, most):
    return _add_rows(floats(address), layout_of(layout), first, last, running_of(running), examples, classes, most)


@no_type_check
@compiled
def _float_columns(address, layout, first, last, running, examples, classes, most):
    return _add_columns(floats(address), layout_of(layout), first, last, running_of(running), examples, classes)


@no_type_check
@compiled
def _brain_float_rows(address, layout, first, last, running, examples, classes, most):
    return _add_rows(brain_floats(address), layout_of(layout), first, last, running_of(running), examples, classes, None)


@no_type_check
@compiled
def _brain_float_columns(address, layout, first, last, running, examples, classes, most):
    return _add_columns(brain_floats(address), layout_of(layout), first, last, running_of(running), examples, classes)


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
    if not fits(layout, first, last, running, examples, classes):
        return REFUSED
    if not all_known(running, classes):
        return NEW_CLASS
    lost, slots, (high, low, sums, active) = 0, slots_of(running, examples), room_for(len(examples))
    pivots = floats(running.pivot)
    clamped = most is not None and most >= 0
    for unit in range(first, last):
        start = unit * layout.by_unit
        if np.isnan(pivots[unit]):
            if clamped:
                rectify(memory, start, layout.positions, most)
            pivots[unit] = pivot_of(memory, start, layout.positions, layout.by_position)
        pivot = pivots[unit]
        for row in range(len(examples)):
            at = start + row * layout.by_example
            if clamped and (pivot != 0 or layout.positions < WIDTH):
                rectify(memory, at, layout.positions, most)
            if layout.positions < WIDTH:
                found = short_row(memory, at, layout.positions, 1, pivot)
            elif pivot != 0:
                found = plain_row(memory, at, layout.positions, everywhere(pivot))
            elif clamped:
                found = rectified_row(memory, at, layout.positions, everywhere(most))
            else:
                found = plain_row(memory, at, layout.positions, None)
            high[row], low[row], active[row] = found[0], found[1], found[3]
            sums[0, row], sums[1, row], sums[2, row] = found[2]
        lost += enter(memory, start, layout, unit, running, examples, classes, slots, high, low, sums, active)
    count_classes(first, running, classes)
    return lost


@no_type_check
@compiled
def _add_columns(memory, layout, first, last, running, examples, classes):
    """Maps whose units lie side by side, sixteen at a time."""
    if not fits(layout, first, last, running, examples, classes):
        return REFUSED
    if not all_known(running, classes):
        return NEW_CLASS
    lost, slots = 0, slots_of(running, examples)
    pivots, count = floats(running.pivot), len(examples)
    high, low, sums, active = room_for(count * PAIR)
    for unit in range(first, last):
        if np.isnan(pivots[unit]):
            pivots[unit] = pivot_of(memory, unit, layout.positions, layout.by_position)
    for left in range(first, last, PAIR):
        together = min(PAIR, last - left)
        base = min(left, running.units - PAIR) if running.units >= PAIR else left  # the last sixteen overlap those before
        for row in range(count):
            start, at = base + row * layout.by_example, row * PAIR
            if running.units >= PAIR:
                columns(memory, start, layout.positions, layout.by_position, pivots, base, high, low, sums, active, at)
            else:
                for unit in range(together):
                    found = short_row(memory, start + unit, layout.positions, layout.by_position, pivots[base + unit])
                    high[at + unit], low[at + unit], active[at + unit] = found[0], found[1], found[3]
                    sums[0, at + unit], sums[1, at + unit], sums[2, at + unit] = found[2]
        for unit in range(left, left + together):
            ones = slice(unit - base, count * PAIR, PAIR)
            responses = high[ones], low[ones], sums[:, ones], active[ones]
            lost += enter(memory, unit, layout, unit, running, examples, classes, slots, *responses)
    count_classes(first, running, classes)
    return lost
