"""Attributions on texts and series, and what the nearest steps alone excite, as rows of tables and back."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from torchlurk.records import StepAttribution
from torchlurk.store import columns, rows
from torchlurk.store.results import ATTRIBUTED
from torchlurk.store.sequences import LARGEST, LONGEST, has_sequences, unpacked

STEP_TABLES = {"step_attribution": 10, "last_steps": 5}
"""With how many columns each has."""

ATTRIBUTIONS = "attribution"
"""Stands for the attributions of all kinds of input, in `table_of`."""


def table_of(db: sqlite3.Connection, table: str) -> str:
    """What to read a table's rows from; of `ATTRIBUTIONS` those of pictures, texts and series alike."""
    if table != ATTRIBUTIONS or not has_sequences(db):
        return table
    known = "layer, channel, ranking, rank, method"
    return f"(SELECT {known} FROM attribution UNION ALL SELECT {known} FROM step_attribution)"


def store_step_attributions(db: sqlite3.Connection, layer: int, channel: int, found: Iterable[StepAttribution]) -> None:
    """Adds attributions of a unit or replaces those of the same exemplar and method."""
    db.executemany(
        rows.insert("step_attribution", STEP_TABLES["step_attribution"]).replace("INSERT", "INSERT OR REPLACE"),
        ((layer, channel, *_row(one)) for one in found),
    )


def _row(one: StepAttribution) -> tuple[Any, ...]:
    numbers = zlib.compress(np.ascontiguousarray(one.values, columns.NARROW).tobytes())
    return one.ranking, one.rank, one.method, *one.values.shape, one.kept, one.conserved, numbers


def load_step_attributions(db: sqlite3.Connection, layer: int, channel: int) -> tuple[StepAttribution, ...]:
    """All attributions of a unit, by ranking, rank and method."""
    if not has_sequences(db):
        return ()
    found = db.execute(
        "SELECT ranking, rank, method, steps, width, kept, conserved, numbers FROM step_attribution"
        " WHERE layer = ? AND channel = ? ORDER BY ranking, rank, method",
        (layer, channel),
    )
    return tuple(map(_attribution, found))


def _attribution(row: tuple[Any, ...]) -> StepAttribution:
    what = "step_attribution"
    ranking, rank, method, steps, width, kept, conserved, numbers = row
    shape = columns.whole(steps, f"{what}.steps", least=1, below=LONGEST), columns.whole(width, f"{what}.width", least=1)
    size = shape[0] * shape[1]
    if size * columns.NARROW.itemsize > LARGEST:
        raise columns.DamageError(f"{what}.width is too large")
    # One byte more than there must be tells what holds too much.
    content = unpacked(numbers, size * columns.NARROW.itemsize + 1, f"{what}.numbers")
    return StepAttribution(
        ranking=columns.one_of(ranking, ATTRIBUTED, f"{what}.ranking"),
        rank=columns.whole(rank, f"{what}.rank", least=0),
        method=columns.word(method, f"{what}.method"),
        values=columns.narrow(content, size, f"{what}.numbers").reshape(shape),
        kept=columns.real(kept, f"{what}.kept"),
        conserved=columns.real(conserved, f"{what}.conserved"),
    )


def store_last_steps(
    db: sqlite3.Connection, layer: int, channel: int, shares: Mapping[int, Iterable[tuple[int, float]]]
) -> None:
    """Adds or replaces, by the rank of exemplars by max, how many nearest steps alone give which share of the activation."""
    db.executemany(
        rows.insert("last_steps", STEP_TABLES["last_steps"]).replace("INSERT", "INSERT OR REPLACE"),
        ((layer, channel, rank, steps, share) for rank, known in shares.items() for steps, share in known),
    )


def load_last_steps(db: sqlite3.Connection, layer: int, channel: int) -> dict[int, tuple[tuple[int, float], ...]]:
    """By the rank of exemplars by max, how many nearest steps alone give which share of the activation."""
    if not has_sequences(db):
        return {}
    found: dict[int, list[tuple[int, float]]] = {}
    query = "SELECT rank, steps, share FROM last_steps WHERE layer = ? AND channel = ? ORDER BY rank, steps"
    for rank, steps, share in db.execute(query, (layer, channel)):
        known = columns.whole(steps, "last_steps.steps", least=1), columns.finite(share, "last_steps.share")
        found.setdefault(columns.whole(rank, "last_steps.rank", least=0), []).append(known)
    return {rank: tuple(known) for rank, known in found.items()}
