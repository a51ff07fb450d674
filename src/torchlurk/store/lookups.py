"""The layer or unit that a name or an address means in a study."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from torchlurk.errors import UnitError, nearest
from torchlurk.records import Layer
from torchlurk.store import rows
from torchlurk.units import Unit, aliased

NAMED = 5
"""Layers that an error lists."""


def find_layer(db: sqlite3.Connection, name: str, path: Path) -> tuple[int, Layer]:
    """The number and the record of a layer, which may be named as `units.aliased` has it; raises `UnitError` for another."""
    found = db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer WHERE name = ?", (name,)).fetchone()
    if found is None:
        names = [layer.name for layer in rows.layers(db)]
        meant = aliased(name, names)
        if meant != name:
            return find_layer(db, meant, path)
        raise UnitError(f"no layer '{name}' in '{path}'{nearest(name, names)}", f"it has {_some(names)}")
    return rows.layer_of(found)


def find_unit(db: sqlite3.Connection, unit: Unit, path: Path) -> tuple[int, Layer]:
    """The number and the record of a unit's layer; raises `UnitError` where the layer has no such channel."""
    id, layer = find_layer(db, unit.layer, path)
    if not 0 <= unit.channel < layer.channels:
        raise UnitError(f"layer '{layer.name}' has no channel {unit.channel}", f"it has channels 0 to {layer.channels - 1}")
    return id, layer


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "") if names else "no layers yet"
