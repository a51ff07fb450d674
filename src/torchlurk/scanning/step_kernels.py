"""The sums of `gates` and `token_responses` in one pass over memory, compiled for the CPU by Numba.

Values are finite float32, units side by side.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from torchlurk.compiled.functions import compiled

TOGETHER = 40
"""Factors of one product: as many of the least as stay above what float64 can hold."""


@no_type_check
@compiled
def add_tokens(values, at, next, sums):
    """Adds each row of `values` [batch, time, unit] to rows `at` of `sums[0]` and `next` of `sums[1]`, except to their last."""
    others = sums.shape[1] - 1
    for example in range(values.shape[0]):
        for step in range(values.shape[1]):
            row = values[example, step]
            if at[example, step] != others:
                onto = sums[0, at[example, step]]
                for unit in range(len(row)):
                    onto[unit] += np.float64(row[unit])
            if next[example, step] != others:
                onto = sums[1, next[example, step]]
                for unit in range(len(row)):
                    onto[unit] += np.float64(row[unit])


@no_type_check
@compiled
def add_gates(values, bounds, least, counts, logarithm, keeps):
    """Adds to `counts` how many of `values` [batch, time, unit] are below and above two bounds, and, where the gate keeps, to
    `logarithm` theirs, of values at least so far from 0 and 1.
    """
    units = values.shape[2]
    shut, open, product, factors = np.zeros(units, np.int32), np.zeros(units, np.int32), np.ones(units), 0
    for example in range(values.shape[0]):
        for step in range(values.shape[1]):
            row = values[example, step]
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
