"""Statistics of units as rows of tables, and back: those of every study in columns of `unit`, others in `unit_statistic`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from jaxtyping import Float64

from torchlurk.records import UnitStatistics
from torchlurk.store import columns
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import has_sequences
from torchlurk.unit_statistics import COLUMNS, NAME, listed

SELECTED = ", ".join(COLUMNS)

MOST_STATISTICS = 1000
"""Of one layer, beside those in columns."""


def of_units(layer: int, statistics: UnitStatistics) -> Iterator[tuple[Any, ...]]:
    """Rows of `unit`; SQLite stores NaN as NULL."""
    columns = [getattr(statistics, name).tolist() for name in COLUMNS]
    for channel, values in enumerate(zip(*columns, strict=True)):
        yield (layer, channel, *values)


def store_more(db: sqlite3.Connection, layer: int, statistics: UnitStatistics) -> None:
    """Adds the rows of `unit_statistic` of a layer that has none."""
    db.executemany(
        "INSERT INTO unit_statistic VALUES (?, ?, ?)",
        ((layer, name, np.ascontiguousarray(one, columns.WIDE).tobytes()) for name, one in statistics.more.items()),
    )


def of_unit(db: sqlite3.Connection, layer: int, channel: int, units: int) -> dict[str, float] | None:
    """The statistics of one unit of a layer of so many, in the order in which they are listed; None where it is not scanned."""
    found = db.execute(f"SELECT {SELECTED} FROM unit WHERE layer = ? AND channel = ?", (layer, channel)).fetchone()
    if found is None:
        return None
    own = {name: columns.real(value, f"unit.{name}") for name, value in zip(COLUMNS, found, strict=True)}
    more = {name: float(values[channel]) for name, values in _more(db, layer, units).items()}
    return {name: (own | more)[name] for name in listed([*own, *more])}


def of_layer(db: sqlite3.Connection, layer: int, found: Sequence[Sequence[Any]]) -> UnitStatistics:
    """The statistics of all units of a layer; `found` are their rows of `SELECTED`, by channel."""
    columns.all_of(list(chain.from_iterable(found)), columns.NUMBERS, "unit's statistics")
    values = np.array(found, np.float64)  # NULL becomes NaN
    by_name = values.reshape(len(found), len(COLUMNS)).T
    own = {name: np.ascontiguousarray(column) for name, column in zip(COLUMNS, by_name, strict=True)}
    return UnitStatistics(**own, more=_more(db, layer, len(found)))


def _more(db: sqlite3.Connection, layer: int, units: int) -> dict[str, Float64[np.ndarray, " unit"]]:
    if not has_sequences(db):  # a study of the first format
        return {}
    query = "SELECT name, numbers FROM unit_statistic WHERE layer = ? ORDER BY name"
    rows = islice(db.execute(query, (layer,)), MOST_STATISTICS)
    found = {columns.text(name, "unit_statistic.name"): cell for name, cell in rows}
    for name in found:
        if name in COLUMNS or not NAME.fullmatch(name):
            raise DamageError("unit_statistic.name is no name of a further statistic")
    return {name: columns.wide(found[name], (units,), "unit_statistic.numbers") for name in listed(list(found))}


def examine(db: sqlite3.Connection) -> Iterator[str]:
    """One line for each layer whose further statistics are not as they must be."""
    query = "SELECT id, name, (SELECT count(*) FROM unit WHERE unit.layer = layer.id) FROM layer ORDER BY id"
    for layer, name, units in db.execute(query):
        try:
            _more(db, layer, units)
        except DamageError as error:
            yield f"layer '{name}': {error}"
