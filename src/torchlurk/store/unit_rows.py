"""What tables of many units need beside statistics and profiles, a layer at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from torchlurk.store import columns
from torchlurk.store.exemplars import VARIES
from torchlurk.store.reading import Reader
from torchlurk.store.sequences import has_sequences


class Strongest(NamedTuple):
    """The strongest examples of units by max, a column each: None for a unit that has none, and what was not measured.

    `position` is a row-major index into the unit's map, and the four sides its receptive field, None where the example counts
    as a whole.
    """

    example: Sequence[int | None]
    path: Sequence[str | None]
    class_label: Sequence[str | None]
    score: Sequence[float | None]
    recall: Sequence[float | None]
    position: Sequence[int | None]
    x0: Sequence[int | None]
    y0: Sequence[int | None]
    x1: Sequence[int | None]
    y1: Sequence[int | None]


KINDS = (columns.WHOLE_NUMBERS, columns.TEXTS, columns.TEXTS, columns.NUMBERS, columns.NUMBERS, *[columns.WHOLE_NUMBERS] * 5)
NO_EXAMPLE = (None,) * len(KINDS)

STRONGEST = (
    "SELECT e.channel, e.example, example.path, class.label, e.score, e.recall, e.position, e.x0, e.y0, e.x1, e.y1"
    " FROM exemplar AS e"
    " LEFT JOIN example ON example.id = e.example LEFT JOIN class ON class.id = example.class"
    f" WHERE e.layer = ? AND e.ranking = 'max' AND e.rank = 0 AND {VARIES}"
)
KEPT = "SELECT channel, method, kept FROM {} WHERE layer = ? AND ranking = 'max' AND rank = 0 ORDER BY method"


def strongest(reader: Reader, layer: int, units: int) -> Strongest:
    """Those of the layer of that number, which has so many units."""
    with reader.reading() as db:
        found = {channel: cells for channel, *cells in db.execute(STRONGEST, (layer,))}
        by_unit = list(zip(*(found.get(channel, NO_EXAMPLE) for channel in range(units)), strict=True)) or [()] * len(KINDS)
        return Strongest(
            *(columns.all_of(cells, kind, "a cell of exemplar") for cells, kind in zip(by_unit, KINDS, strict=True))
        )


def kept(reader: Reader, layer: int) -> dict[str, dict[int, float]]:
    """By method and channel, what the largest tenth of the attribution of the strongest example alone excites."""
    found: dict[str, dict[int, float]] = {}
    with reader.reading() as db:
        for table in ("attribution", "step_attribution") if has_sequences(db) else ("attribution",):
            for channel, method, share in db.execute(KEPT.format(table), (layer,)):
                of = found.setdefault(columns.word(method, f"{table}.method"), {})
                of[_channel(channel)] = columns.real(share, f"{table}.kept")
    return found


def last_steps(reader: Reader, layer: int) -> dict[int, dict[int, float]]:
    """By number of steps and channel, the share of the strongest example's activation that the nearest so many excite."""
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
