"""What a program has added to tables, for workers in other processes: they must compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchlurk import unit_statistics
from torchlurk.tables import METHODS, PRESETS, STREAMS

Additions = dict[str, dict[Any, Any]]


def additions() -> Additions:
    """The entries of each table that are not the package's own; tables with none are left out."""
    found: Additions = {
        "STATISTICS": {name: unit_statistics.STATISTICS[name] for name in unit_statistics.added()},
        "METHODS": {name: METHODS[name] for name in METHODS if name not in METHODS.built_in},
        "PRESETS": {name: PRESETS[name] for name in PRESETS if name not in PRESETS.built_in},
        "STREAMS": {kind: way for kind, way in STREAMS.items() if isinstance(way, Mapping)},
    }
    return {table: entries for table, entries in found.items() if entries}


def take(added: Additions) -> None:
    """Adds them to the tables of this process."""
    tables: dict[str, Any] = {
        "STATISTICS": unit_statistics.STATISTICS,
        "METHODS": METHODS,
        "PRESETS": PRESETS,
        "STREAMS": STREAMS,
    }
    for table, entries in added.items():
        tables[table].update(entries)
