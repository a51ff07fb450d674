"""The strongest examples of units, as rows of a table, read back; those of a text with what stands around them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from torchlurk.input_records import TextExample, step_at
from torchlurk.records import Exemplar, Layer, Ranking
from torchlurk.store import columns
from torchlurk.store.schema import RANKINGS
from torchlurk.store.sequences import load_description, load_positions, load_sequence
from torchlurk.store.step_attributions import load_last_steps
from torchlurk.unit_statistics import faint

CONTEXT = 16
"""Tokens before and after an exemplar's own that are told with it."""

VARIES = "NOT EXISTS (SELECT 1 FROM unit WHERE unit.layer = e.layer AND unit.channel = e.channel AND min = max)"
"""Whether an exemplar `e` is of a unit that has more than one value: else no example is its strongest."""
BEST = (
    "SELECT channel, example, score, position, x0, y0, x1, y1 FROM exemplar AS e"
    f" WHERE layer = ? AND ranking = 'max' AND rank = 0 AND x0 IS NOT NULL AND {VARIES} ORDER BY channel"
)
EXEMPLARS = (
    "SELECT e.ranking, e.rank, e.example, example.path, class.label, e.score, e.position, e.x0, e.y0, e.x1, e.y1, e.recall"
    " FROM exemplar AS e LEFT JOIN example ON example.id = e.example LEFT JOIN class ON class.id = example.class"
    " WHERE e.layer = ? AND e.channel = ? ORDER BY e.ranking, e.rank"
)


def load_exemplars(
    db: sqlite3.Connection, where: tuple[int, int], layer: Layer, statistics: Mapping[str, float]
) -> dict[str, tuple[Exemplar, ...]]:
    """The exemplars of a unit that has these statistics; those of a text with the token and what stands around it."""
    found = _ranked(db.execute(EXEMPLARS, where), layer)
    for name in ("max", "mean"):
        found[name] = tuple(replace(one, faint=faint(one.score, found[name][0].score, statistics)) for one in found[name])
    description = load_description(db)
    if description is None or description.kind == "pictures":
        return found
    if layer.apart:
        found = {name: tuple(map(_of_its_own, ranked)) for name, ranked in found.items()}
    positions = load_positions(db, *where)
    placed = {name: tuple(_in_steps(db, one, positions.get(one.example)) for one in ranked) for name, ranked in found.items()}
    last = load_last_steps(db, *where)
    return placed | {"max": tuple(replace(one, last_steps=last.get(one.rank, ())) for one in placed["max"])}


def _of_its_own(exemplar: Exemplar) -> Exemplar:
    """An exemplar whose position is no step of its text or series."""
    return replace(exemplar, position=(), own_step=exemplar.position[0]) if exemplar.position else exemplar


def _in_steps(db: sqlite3.Connection, exemplar: Exemplar, positions: int | None) -> Exemplar:
    reach = None if exemplar.box is None else (exemplar.box[0], exemplar.box[2])
    exemplar = replace(exemplar, box=None, reach=reach)
    sequence = load_sequence(db, exemplar.example)
    if not isinstance(sequence, TextExample) or not exemplar.position:
        return exemplar
    tokens = sequence.tokens
    step = step_at(exemplar.position[0], positions or len(tokens), len(tokens))
    if step >= len(tokens):
        return exemplar
    return replace(exemplar, token=tokens[step], context=sequence.around(step, CONTEXT))


def load_best(db: sqlite3.Connection, id: int, layer: Layer, units: int) -> Ranking:
    """For each unit of a layer its one strongest example by max, with position and box."""
    examples, scores = np.full((units, 1), -1, np.int64), np.full((units, 1), np.nan, np.float32)
    positions, boxes = np.full((units, 1), -1, np.int32), np.full((units, 1, 4), -1, np.int32)
    for channel, example, score, position, *box in db.execute(BEST, (id,)):
        unit = columns.whole(channel, "exemplar.channel", least=0, below=units)
        examples[unit] = columns.whole(example, "exemplar.example", least=0)
        scores[unit] = columns.real(score, "exemplar.score")
        positions[unit] = -1 if layer.apart else _flat(position, layer)
        boxes[unit] = _box(box)
    return Ranking(scores, examples, positions, boxes)


def _ranked(found: Iterable[tuple[Any, ...]], layer: Layer) -> dict[str, tuple[Exemplar, ...]]:
    exemplars: dict[str, list[Exemplar]] = {ranking: [] for ranking in RANKINGS}
    for ranking, rank, example, path, label, score, position, *box, recall in found:
        name = columns.one_of(ranking, RANKINGS, "exemplar.ranking")
        exemplars[name].append(
            Exemplar(
                rank=columns.whole(rank, "exemplar.rank", least=0),
                example=columns.whole(example, "exemplar.example", least=0),
                path=columns.text(path, "an exemplar's path"),
                class_label=columns.optional_text(label, "an exemplar's class"),
                score=columns.real(score, "exemplar.score"),
                position=None if position is None else layer.position(_flat(position, layer)),
                box=None if box[0] is None else _box(box),
                recall=None if recall is None else columns.real(recall, "exemplar.recall"),
            )
        )
    return {name: tuple(ranked) for name, ranked in exemplars.items()}


def _flat(position: object, layer: Layer) -> int:
    return columns.whole(
        position, "exemplar.position", least=0, below=2**31 if layer.layout == "sequence" else max(layer.positions, 1)
    )


def _box(sides: list[Any]) -> tuple[int, int, int, int]:
    return columns.box(sides, "an exemplar's box")
