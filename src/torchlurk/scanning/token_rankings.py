"""The tokens at which units are highest and lowest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from torchlurk.time_records import RankedTokens, TokenRanking

MOST = 10
"""Tokens named at each end."""


def rank_tokens(
    values: Float[np.ndarray, "unit token"], ids: Int64[np.ndarray, " token"], most: int = MOST
) -> list[TokenRanking | None]:
    """For each unit the tokens, called by their `ids`, with the highest and the lowest values; equal ones as in `ids`.

    Tokens whose value is not finite are left out; None for a unit for which none is left.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    highest, lowest = _lowest(-finite, most), _lowest(finite, most)
    return [
        TokenRanking(_named(row, ids, high), _named(row, ids, low)) if len(high) else None
        for row, high, low in zip(values, highest, lowest, strict=True)
    ]


def _lowest(values: Float[np.ndarray, "unit token"], most: int) -> list[Int64[np.ndarray, " _"]]:
    """The places of the lowest values of each row, lowest first, without NaN."""
    most = min(most, values.shape[1])
    if not most:
        return [np.zeros(0, np.int64)] * len(values)
    last = np.partition(values, most - 1, axis=1)[:, most - 1]  # NaN where there are fewer
    found = []
    for row, bound in zip(values, last, strict=True):
        places = np.flatnonzero(row <= bound) if bound == bound else np.flatnonzero(~np.isnan(row))
        found.append(places[np.argsort(row[places], kind="stable")][:most])
    return found


def _named(row: Float[np.ndarray, " token"], ids: Int64[np.ndarray, " token"], places: Int64[np.ndarray, " _"]) -> RankedTokens:
    return RankedTokens(tuple(ids[places].tolist()), tuple(row[places].tolist()))
