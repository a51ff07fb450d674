"""What tables of many units need beside statistics and profiles, a layer at a time."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from torchlurk.store import columns
from torchlurk.store.reading import Reader
from torchlurk.store.sequences import has_sequences


class Strongest(NamedTuple):
    """The strongest example of a unit by max; `recall` is NaN where it was not measured."""

    example: int
    path: str
    class_label: str | None
    score: float
    recall: float


STRONGEST = (
    "SELECT e.channel, e.example, example.path, class.label, e.score, e.recall FROM exemplar AS e"
    " LEFT JOIN example ON example.id = e.example LEFT JOIN class ON class.id = example.class"
    " WHERE e.layer = ? AND e.ranking = 'max' AND e.rank = 0"
)
KEPT = "SELECT channel, method, kept FROM {} WHERE layer = ? AND ranking = 'max' AND rank = 0 ORDER BY method"


def strongest(reader: Reader, layer: int) -> dict[int, Strongest]:
    """By channel, the strongest example of the units of the layer of that number; units that have none are left out."""
    with reader.reading() as db:
        return {
            _channel(channel): Strongest(
                columns.whole(example, "exemplar.example", least=0),
                columns.text(path, "an exemplar's path"),
                columns.optional_text(label, "an exemplar's class"),
                columns.real(score, "exemplar.score"),
                columns.real(recall, "exemplar.recall"),
            )
            for channel, example, path, label, score, recall in db.execute(STRONGEST, (layer,))
        }


def kept(reader: Reader, layer: int) -> dict[str, dict[int, float]]:
    """By method and channel, what the largest tenth of the attribution of the strongest example alone excites."""
    found: dict[str, dict[int, float]] = {}
    with reader.reading() as db:
        for table in ("attribution", "step_attribution") if has_sequences(db) else ("attribution",):
            for channel, method, share in db.execute(KEPT.format(table), (layer,)):
                of = found.setdefault(columns.text(method, f"{table}.method"), {})
                of[_channel(channel)] = columns.real(share, f"{table}.kept")
    return found


def last_steps(reader: Reader, layer: int) -> dict[int, dict[int, float]]:
    """By number of steps and channel, the share of the strongest example's activation that so many last steps excite."""
    found: dict[int, dict[int, float]] = {}
    with reader.reading() as db:
        for channel, steps, share in _last_steps(db, layer):
            of = found.setdefault(columns.whole(steps, "last_steps.steps", least=1), {})
            of[_channel(channel)] = columns.real(share, "last_steps.share")
    return found


def _last_steps(db: sqlite3.Connection, layer: int) -> list[tuple[object, object, object]]:
    if not has_sequences(db):  # a study of the first format
        return []
    return db.execute(
        "SELECT channel, steps, share FROM last_steps WHERE layer = ? AND rank = 0 ORDER BY steps", (layer,)
    ).fetchall()


def _channel(value: object) -> int:
    return columns.whole(value, "a unit's channel", least=0)
