"""Whether what a study holds of texts and series is whole: each part of `check` that is about them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from torchlurk.input_records import SeriesExample
from torchlurk.records import Layer
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.kept_steps import examine_kept_steps
from torchlurk.store.kept_tokens import examine_kept_tokens
from torchlurk.store.remarks import REMARK_COLUMNS, to_remark
from torchlurk.store.sequences import (
    TRACE_COLUMNS,
    has_sequences,
    load_description,
    load_sequence,
    load_streams,
    to_trace,
)
from torchlurk.store.token_rankings import examine_tokens
from torchlurk.store.tracks import check_tracks

INDICES, SCORES = np.dtype("<i4"), np.dtype("<f4")
"""Of the outputs that a prediction names, and of what they reached."""

OF_A_MODULE = re.compile(r"l\d")
"""How a stream of a recurrent module begins; one of a cell that the model calls itself does not."""

Examine = Callable[[sqlite3.Connection], Iterator[str]]


def _inputs(db: sqlite3.Connection) -> Iterator[str]:
    """What the inputs are is known, and only a study of texts or series holds some."""
    description = load_description(db)
    if description is None or description.kind == "pictures":
        for table in ("sequence", "trace"):
            if count := _count(db, table):
                yield f"{count:,} rows of {table} in a study of pictures"
    elif description.vocabulary is not None and description.vocabulary_size != len(description.vocabulary):
        yield f"input.description has {len(description.vocabulary):,} tokens and a size of {description.vocabulary_size}"


def _streams(db: sqlite3.Connection) -> Iterator[str]:
    for layer, (module, _) in load_streams(db).items():  # the state of a cell that is called in a loop is its output: no stream
        if not module:
            yield f"stream of layer {layer}: its module is empty"


def _sequences(db: sqlite3.Connection) -> Iterator[str]:
    """Each is as its row says, those that are exemplars are there, and no exemplar lies outside its own."""
    if not _of_sequences(db):
        return
    for (example,) in db.execute("SELECT example FROM sequence ORDER BY example"):
        try:
            load_sequence(db, example)
        except DamageError as error:
            yield f"example {example}: {error}"
    if _scan_is_done(db):
        lacking = "SELECT DISTINCT example FROM exemplar WHERE example NOT IN (SELECT example FROM sequence) ORDER BY example"
        for (example,) in db.execute(lacking):
            yield f"example {example} is an exemplar, and neither text nor series of it is stored"
    outside = (
        "SELECT name, channel, ranking, rank, steps FROM exemplar JOIN sequence USING (example) JOIN layer ON layer.id = layer"
        " WHERE x0 < 0 OR x1 < x0 OR x1 > steps"
    )
    for name, channel, ranking, rank, steps in db.execute(outside):
        yield f"unit {name}:{channel}: the reach of exemplar {rank} by {ranking} lies outside its {steps} steps"


def _traces(db: sqlite3.Connection) -> Iterator[str]:
    """Each has as many positions as its layer has on its example, the exemplar's own among them; a cell that the model calls in
    a loop has one for each call, which may end early. Where the network takes several inputs, a layer may run over another.
    """
    if not _of_sequences(db):
        return
    longest = _longest(db)
    steps = dict(db.execute("SELECT example, steps FROM sequence"))
    layers = dict(map(rows.layer_of, db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer")))
    several = db.execute("SELECT count(*) FROM node WHERE kind = 'input'").fetchone()[0] > 1
    calls = {layer for layer, (_, stream) in load_streams(db).items() if not OF_A_MODULE.match(stream)}
    query = f"SELECT layer, channel, example, {TRACE_COLUMNS} FROM trace ORDER BY layer, channel, example"
    for id, channel, example, *cells in db.execute(query):
        layer = layers.get(id)
        where = f"unit {layer.name if layer else id}:{channel}: its trace on example {example}"
        try:
            positions = len(to_trace(*cells))
        except DamageError as error:
            yield f"{where}: {error}"
            continue
        if layer is None or layer.layout != "sequence" or example not in steps:
            yield f"{where} is of a layer without steps, or of an example that is not stored"
        elif id not in calls and not several and positions not in _possible(layer, steps[example], longest):
            yield f"{where} has {positions} positions, its example {steps[example]} steps"
    beyond = (
        "SELECT name, exemplar.channel, ranking, rank FROM exemplar JOIN trace USING (layer, channel, example)"
        " JOIN layer ON layer.id = layer WHERE position >= length(levels)"
    )
    for name, channel, ranking, rank in db.execute(beyond):
        yield f"unit {name}:{channel}: exemplar {rank} by {ranking} lies beyond its trace"


def _possible(layer: Layer, steps: int, longest: int | None) -> Collection[int]:
    """How many positions the layer may have on an example: where it has as many as the longest example has steps, as many as
    this one, unless it has the same number on all. A longest example that is padded may have given it fewer.
    """
    most = layer.shape[0] if layer.shape else 0
    return (steps, most) if most == longest else {steps, *range(1, most + 1)}


def _attributions(db: sqlite3.Connection) -> Iterator[str]:
    """Each has as many steps as its example, and only a study of texts or series has some."""
    if not has_sequences(db):
        return
    query = (
        "SELECT name, made.channel, made.ranking, made.rank, method, made.steps, sequence.steps FROM step_attribution AS made"
        " JOIN layer ON layer.id = made.layer JOIN exemplar USING (layer, channel, ranking, rank)"
        " LEFT JOIN sequence USING (example) WHERE made.steps IS NOT sequence.steps"
    )
    for name, channel, ranking, rank, method, steps, expected in db.execute(query):
        where = f"unit {name}:{channel}: the attribution by {method} of exemplar {rank} by {ranking}"
        yield f"{where} has {steps} steps, its example {'none' if expected is None else expected}"
    query = (
        "SELECT DISTINCT example, width FROM step_attribution JOIN exemplar USING (layer, channel, ranking, rank)"
        " WHERE example IN (SELECT example FROM sequence) ORDER BY 1, 2"
    )
    for example, width in db.execute(query):
        content = load_sequence(db, example)
        channels = content.values.shape[1] if isinstance(content, SeriesExample) else 1
        if width != channels:
            yield f"an attribution of example {example} is of {width:,} channels, the example has {channels:,}"


def _predictions(db: sqlite3.Connection) -> Iterator[str]:
    if not has_sequences(db):
        return
    for example, outputs, scores in db.execute("SELECT example, outputs, scores FROM prediction"):
        if not isinstance(outputs, bytes) or not isinstance(scores, bytes):
            yield f"the prediction of example {example} is not two blobs"
        elif len(outputs) % INDICES.itemsize or len(outputs) != len(scores):
            yield f"the prediction of example {example} has not as many scores as outputs"
        elif np.any(np.frombuffer(outputs, INDICES) < 0):
            yield f"the prediction of example {example} names an output below 0"
        elif np.any(np.diff(np.frombuffer(scores, SCORES).astype(np.float64)) > 0):
            yield f"the prediction of example {example} is not in the order of its scores"


def _tracks(db: sqlite3.Connection) -> Iterator[str]:
    """What units know is of tracks and of layers that are there."""
    yield from check_tracks(db, dict(map(rows.layer_of, db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer"))))


def _remarks(db: sqlite3.Connection) -> Iterator[str]:
    if not has_sequences(db):
        return
    for row in db.execute(f"SELECT {REMARK_COLUMNS} FROM remark"):
        try:
            to_remark(row)
        except DamageError as error:
            yield f"the remark on {str(row[0])[:MOST_NAMED]}:{row[1]}: {error}"


MOST_NAMED = 100
"""Characters of a layer's name in a line; of a damaged study it may be endless."""


SEQUENCE_EXAMINATIONS: Mapping[str, Examine] = {
    "inputs": _inputs,
    "streams": _streams,
    "texts and series": _sequences,
    "traces": _traces,
    "attributions on steps": _attributions,
    "predictions": _predictions,
    "tokens": examine_tokens,
    "all tokens": examine_kept_tokens,
    "kept steps": examine_kept_steps,
    "tracks": _tracks,
    "remarks": _remarks,
}


def _of_sequences(db: sqlite3.Connection) -> bool:
    """Whether the study is of texts or series."""
    description = load_description(db)
    return description is not None and description.kind != "pictures"


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) if has_sequences(db) else 0


def _scan_is_done(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM run WHERE stage = 'scan' AND finished IS NOT NULL").fetchone() is not None


def _longest(db: sqlite3.Connection) -> int | None:
    """The steps of the longest example known: the first of the input's extents."""
    found = db.execute("SELECT value FROM meta WHERE key = 'input_shape'").fetchone()
    shape = columns.whole_numbers(found[0], "meta.input_shape") if found else ()
    return shape[0] if shape else None
