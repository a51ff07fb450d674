"""What the scan found of the units of a layer, as rows of tables, and back."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from jaxtyping import Float32

from torchlurk.records import LayerScan
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.connections import size_of
from torchlurk.store.statistics import of_units, store_more


def store_scan(db: sqlite3.Connection, layer: str, id: int, scan: LayerScan, examples: int | None) -> None:
    """Replaces everything known of the units of the layer with this id; `examples` as in `Writer.write_scan`."""
    channels = db.execute("SELECT channels FROM layer WHERE id = ?", (id,)).fetchone()[0]
    _check_axes(db, layer, scan, channels)
    for table in ("unit_statistic", "trace", "exemplar", "response", "class_profile", "unit"):
        db.execute(f"DELETE FROM {table} WHERE layer = ?", (id,))
    db.executemany(rows.insert("unit", 8), of_units(id, scan.statistics))
    store_more(db, id, scan.statistics)
    maxima, means = columns.narrow_rows(scan.class_max), columns.narrow_rows(scan.class_mean)
    db.executemany(rows.insert("class_profile", 4), zip(repeat(id), range(channels), maxima, means, strict=False))
    samples = columns.narrow_rows(scan.sample)
    db.executemany(rows.insert("response", 3), zip(repeat(id), range(channels), samples, strict=False))
    db.executemany(rows.insert("exemplar", 12), rows.of_exemplars(id, scan))
    db.execute("DELETE FROM provisional WHERE layer = ?", (id,))
    if examples is not None:
        db.execute("INSERT INTO provisional VALUES (?, ?)", (id, examples))


def _check_axes(db: sqlite3.Connection, layer: str, scan: LayerScan, channels: int) -> None:
    classes = db.execute("SELECT count(*) FROM class").fetchone()[0]
    sample = db.execute("SELECT count(*) FROM sample").fetchone()[0]
    given = (scan.class_max.shape, scan.class_mean.shape, scan.sample.shape, scan.statistics.mean.shape)
    if given != ((channels, classes), (channels, classes), (channels, sample), (channels,)):
        raise ValueError(
            f"the scan of '{layer}' has shapes {given}; the study has {channels} units, {classes} classes and a"
            f" sample of {sample}"
        )


def load_matrices(
    db: sqlite3.Connection, layer: int, table: str, wanted: Sequence[str], shape: tuple[int, int]
) -> tuple[Float32[np.ndarray, "unit k"], ...]:
    """Blob columns of all units of the layer with this id, each a matrix of `shape`, a row a unit."""
    if len(wanted) * math.prod(shape) * columns.NARROW.itemsize > size_of(db):  # before memory is taken for it
        raise DamageError(f"{table} claims more than the file holds")
    found = tuple(np.empty(shape, np.float32) for _ in wanted)
    query = f"SELECT channel, {', '.join(wanted)} FROM {table} WHERE layer = ? ORDER BY channel"
    length = shape[1] * columns.NARROW.itemsize
    for channel, *blobs in db.execute(query, (layer,)):
        for matrix, blob, column in zip(found, blobs, wanted, strict=True):
            matrix[channel] = np.frombuffer(columns.raw(blob, length, f"{table}.{column}"), columns.NARROW)
    return found
