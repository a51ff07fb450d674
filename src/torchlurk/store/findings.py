"""What stages from outside the package find of units, as JSON, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from torchlurk.store import columns
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import has_sequences


def store_finding(db: sqlite3.Connection, stage: str, layer: int, channel: int, content: Any) -> None:
    """Adds what a stage found of a unit, or replaces it; raises `ValueError` for what is not JSON or is too long."""
    text = columns.to_json(content)
    if len(text) > columns.LONGEST_JSON:
        raise ValueError(f"the stage '{stage}' found {len(text):,} characters of one unit; at most {columns.LONGEST_JSON:,}")
    db.execute(
        "INSERT OR REPLACE INTO finding VALUES (?, ?, ?, ?)",
        (stage, layer, channel, columns.writable(text, longest=columns.LONGEST_JSON)),
    )


def load_findings(db: sqlite3.Connection, layer: int, channel: int) -> dict[str, Any]:
    """What stages found of a unit, by the stage's name."""
    if not has_sequences(db):  # a study of the first format
        return {}
    found = db.execute("SELECT stage, content FROM finding WHERE layer = ? AND channel = ? ORDER BY stage", (layer, channel))
    return {columns.text(stage, "finding.stage"): columns.from_json(content, "finding.content") for stage, content in found}


def forget_findings(db: sqlite3.Connection, stage: str) -> None:
    """Drops all that a stage found."""
    db.execute("DELETE FROM finding WHERE stage = ?", (stage,))


def examine(db: sqlite3.Connection) -> Iterator[str]:
    """One line for each unit whose findings are not as they must be."""
    query = "SELECT DISTINCT layer, name, channel FROM finding JOIN layer ON layer.id = layer"
    for layer, name, channel in db.execute(query):
        try:
            load_findings(db, layer, channel)
        except DamageError as error:
            yield f"unit {name}:{channel}: {error}"
