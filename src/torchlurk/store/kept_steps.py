"""What units of chosen layers did at every step of every example, as rows of tables and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import numpy as np

from torchlurk.errors import MismatchError
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import LONGEST, has_sequences
from torchlurk.time_records import SIGNED, UNSIGNED, KeptSteps, Levels, StepLevels


def store_levels(db: sqlite3.Connection, layer: str, meaning: Levels) -> None:
    """Records how the values of a layer are kept."""
    scales = np.ascontiguousarray(meaning.scales, columns.NARROW).tobytes()
    db.execute(f"INSERT OR REPLACE INTO kept_layer SELECT id, ?, ? FROM layer {NAMED}", (meaning.zero, scales, layer))


def load_levels(db: sqlite3.Connection) -> dict[str, Levels]:
    """How values are kept, by layer: of those of which they are."""
    if not has_sequences(db):
        return {}
    query = "SELECT name, channels, zero, scales FROM kept_layer JOIN layer ON id = layer ORDER BY id"
    return {columns.text(name, "layer.name"): _to_levels(*cells) for name, *cells in db.execute(query)}


def _to_levels(channels: object, zero: object, scales: object) -> Levels:
    units = columns.whole(channels, "layer.channels", least=0, below=rows.MOST_CHANNELS)
    found = Levels(columns.whole(zero, "kept_layer.zero"), columns.narrow(scales, units, "kept_layer.scales"))
    if found.zero not in (SIGNED, UNSIGNED):
        raise DamageError(f"kept_layer.zero is neither {UNSIGNED} nor {SIGNED}")
    if not bool((np.isfinite(found.scales) & (found.scales > 0)).all()):
        raise DamageError("kept_layer.scales has one that is not above 0")
    return found


def store_steps(db: sqlite3.Connection, kept: Mapping[str, Mapping[int, StepLevels]]) -> None:
    """Adds steps by layer and example, or replaces them."""
    for layer, examples in kept.items():
        db.executemany(
            f"INSERT OR REPLACE INTO kept_steps SELECT id, ?, ?, ?, ? FROM layer {NAMED}",
            ((example, one.first, one.clipped, one.levels.tobytes(), layer) for example, one in examples.items()),
        )


NAMED = "WHERE name = ?"


def load_steps(db: sqlite3.Connection, layer: int, example: int) -> KeptSteps | None:
    """What the units of a layer did at the steps of an example; None where that is not kept."""
    if not has_sequences(db):
        return None
    query = (
        "SELECT channels, zero, scales, first, clipped, levels FROM kept_steps JOIN kept_layer USING (layer)"
        " JOIN layer ON id = layer WHERE layer = ? AND example = ?"
    )
    found = db.execute(query, (layer, example)).fetchone()
    return None if found is None else _to_steps(_to_levels(*found[:3]), *found[3:])


def _to_steps(meaning: Levels, first: object, clipped: object, levels: object) -> KeptSteps:
    units = len(meaning.scales)
    if not isinstance(levels, bytes) or not units or len(levels) % units or len(levels) > LONGEST * units:
        raise DamageError("kept_steps.levels is not a blob of one byte a step and unit")
    found = np.frombuffer(levels, np.uint8).reshape(-1, units)
    if meaning.zero == SIGNED and not bool(found.all()):
        raise DamageError("kept_steps.levels has a level that stands for nothing")
    return KeptSteps(
        found,
        columns.whole(first, "kept_steps.first", least=0, below=LONGEST),
        columns.whole(clipped, "kept_steps.clipped", least=0, below=found.size + 1),
        meaning,
    )


def clipped(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Of each layer of which steps are kept, how many values are clipped, and how many there are."""
    query = (
        "SELECT name, sum(clipped), sum(length(levels)) FROM kept_steps JOIN layer ON id = layer GROUP BY layer ORDER BY layer"
    )
    return {name: (beyond, of) for name, beyond, of in db.execute(query)}


def check_alike(left: Mapping[str, Levels], right: Mapping[str, Levels], words: tuple[str, str]) -> None:
    """Raises `MismatchError` where two parts keep values of a layer differently."""
    kinds = [{name: (one.zero, one.scales.tobytes()) for name, one in levels.items()} for levels in (left, right)]
    if kinds[0] != kinds[1]:
        differing = next(name for name in {**left, **right} if kinds[0].get(name) != kinds[1].get(name))
        raise MismatchError(
            f"{words[0]} and {words[1]} keep steps of {differing} at different scales: its values differ on the sample",
            "make all parts with the same model, data and options, on machines that compute alike",
        )


def examine_kept_steps(db: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with these tables: each row is as its layer says, has as many steps as its example, and none is missing."""
    if not has_sequences(db):
        return
    layers = dict(map(rows.layer_of, db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer")))
    load_levels(db)
    for (id,) in db.execute("SELECT DISTINCT layer FROM kept_steps WHERE layer NOT IN (SELECT layer FROM kept_layer)"):
        yield f"kept_steps has rows of layer {id}, and kept_layer does not say what they are"
    finished = db.execute("SELECT 1 FROM run WHERE stage = 'scan' AND finished IS NOT NULL").fetchone()
    skipped = db.execute("SELECT count(*) FROM skip").fetchone()[0]
    for (id,) in db.execute("SELECT layer FROM kept_layer ORDER BY layer"):
        layer = layers.get(id)
        if layer is None or layer.layout != "sequence":
            yield f"kept_layer has layer {id}, which has no steps"
            continue
        yield from (f"layer {layer.name}: its steps of example {line}" for line in _wrong_steps(db, id))
        lacking = "SELECT id FROM example WHERE id NOT IN (SELECT example FROM kept_steps WHERE layer = ?) ORDER BY id"
        missing = [example for (example,) in db.execute(lacking, (id,))] if finished else []
        if len(missing) > skipped:
            yield f"layer {layer.name}: its steps of example {missing[0]} are not there, and it was not passed over"


def _wrong_steps(db: sqlite3.Connection, layer: int) -> Iterator[str]:
    positions = dict(db.execute("SELECT example, length(levels) FROM trace WHERE layer = ?", (layer,)))
    for (example,) in db.execute("SELECT example FROM kept_steps WHERE layer = ? ORDER BY example", (layer,)):
        try:
            found = load_steps(db, layer, example)
        except DamageError as error:
            yield f"{example}: {error}"
            continue
        if found is not None and example in positions:
            last = found.first + len(found.levels)
            if last > positions[example]:
                yield f"{example} end at {last}, its traces at {positions[example]}"
