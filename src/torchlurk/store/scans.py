"""What the scan found of the units of a layer, as rows of tables."""

from __future__ import annotations

import sqlite3
from itertools import repeat

from torchlurk.records import LayerScan
from torchlurk.store import columns, rows
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
