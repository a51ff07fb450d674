"""The sums of `gates` and `token_responses` in one pass over memory, compiled for the CPU by Numba.

Values are finite.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from torchlurk.compiled.functions import compiled

TOGETHER = 40
"""Factors of one product: as many of the least as stay above what float64 can hold."""


@no_type_check
@compiled
def _add_tokens(memory, by_example, by_step, units, at, next, sums):
    others = sums.shape[1] - 1
    for example in range(at.shape[0]):
        for step in range(at.shape[1]):
            start = example * by_example + step * by_step
            row = memory[start : start + units]
            if at[example, step] != others:
                onto = sums[0, at[example, step]]
                for unit in range(units):
                    onto[unit] += np.float64(row[unit])
            if next[example, step] != others:
                onto = sums[1, next[example, step]]
                for unit in range(units):
                    onto[unit] += np.float64(row[unit])


def add_tokens(
    values: Float32[Tensor, "batch time unit"],
    at: Int64[Tensor, "batch time"],
    next: Int64[Tensor, "batch time"],
    sums: Float64[Tensor, "2 token unit"],
) -> None:
    """Adds each step's values to row `at` of the first sums and row `next` of the second, except to their last rows."""
    memory, by_example, by_step = _memory(values)
    _add_tokens(memory, by_example, by_step, values.shape[2], at.contiguous().numpy(), next.contiguous().numpy(), sums.numpy())


@no_type_check
@compiled
def _add_gates(memory, by_example, by_step, examples, steps, bounds, least, counts, logarithm, keeps):
    units = len(logarithm)
    shut, open, product, factors = np.zeros(units, np.int32), np.zeros(units, np.int32), np.ones(units), 0
    for example in range(examples):
        for step in range(steps):
            start = example * by_example + step * by_step
            row = memory[start : start + units]
            for unit in range(units):
                shut[unit] += np.int32(row[unit] < bounds[0])
                open[unit] += np.int32(row[unit] > bounds[1])
            if keeps:
                for unit in range(units):
                    value = np.float64(row[unit])
                    value = least if value < least else value
                    product[unit] *= 1 - least if value > 1 - least else value
                factors += 1
                if factors == TOGETHER:
                    logarithm += np.log(product)
                    product[:] = 1
                    factors = 0
    logarithm += np.log(product)
    counts[0] += shut
    counts[1] += open


def add_gates(
    values: Float32[Tensor, "batch time unit"],
    bounds: tuple[float, float],
    least: float,
    counts: Int64[Tensor, "2 unit"],
    logarithm: Float64[Tensor, " unit"],
    keeps: bool,
) -> None:
    """Adds to `counts` how many values are below and above two bounds, and, where the gate keeps, to `logarithm` theirs, of
    values at least so far from 0 and 1.
    """
    memory, by_example, by_step = _memory(values)
    edges = np.array(bounds, np.float32)
    _add_gates(memory, by_example, by_step, *values.shape[:2], edges, least, counts.numpy(), logarithm.numpy(), keeps)


def _memory(values: Float32[Tensor, "batch time unit"]) -> tuple[Float32[np.ndarray, " number"], int, int]:
    """The numbers in one run, units side by side, and how far apart in it examples and steps are."""
    if values.stride(2) != 1:
        values = values.clone(memory_format=torch.contiguous_format)
    by_example, by_step, _ = values.stride()
    batch, steps, units = values.shape
    numbers = (batch - 1) * by_example + (steps - 1) * by_step + units
    return torch.as_strided(values, (numbers,), (1,)).numpy(), by_example, by_step
