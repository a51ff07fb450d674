"""Examples that are not pictures, and what the network's inputs are, as rows of tables and back.

A text is its tokens with their offsets, a series its numbers; both are compressed, and what they unpack to is checked
against what their row says before it is believed.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, get_args

import numpy as np
from jaxtyping import Float32, Int64

from torchlurk.records import InputAxes, InputDescription, KindName, Layer, SeriesExample, TextExample
from torchlurk.store import columns
from torchlurk.store.columns import DamageError

LONGEST = 1 << 24
"""Steps of one example."""

LONGEST_TOKEN = 1 << 10
"""Characters."""

LARGEST = 1 << 27
"""Bytes that one example may unpack to."""

KINDS: tuple[str, ...] = get_args(KindName)
AXES: tuple[str, ...] = get_args(InputAxes)


def store_description(db: sqlite3.Connection, description: InputDescription) -> None:
    """Replaces what is known of the inputs."""
    db.execute("INSERT OR REPLACE INTO input VALUES (0, ?)", (columns.to_json(asdict(description)),))


def load_description(db: sqlite3.Connection) -> InputDescription | None:
    """What the network's inputs are; None in a study of the first format, which is of pictures."""
    if not has_sequences(db):
        return None
    found = db.execute("SELECT description FROM input").fetchone()
    return None if found is None else _description(found[0])


def _description(cell: object) -> InputDescription:
    what = "input.description"
    given = columns.from_json(cell, what)
    if not isinstance(given, dict) or set(given) != {one.name for one in fields(InputDescription)}:
        raise DamageError(f"{what} has not the fields that it must have")
    optional = {name: given[name] for name in ("vocabulary_size", "window", "burn_in") if given[name] is not None}
    vocabulary = given["vocabulary"]
    return InputDescription(
        kind=columns.one_of(given["kind"], KINDS, what),
        dtype=columns.text(given["dtype"], what),
        vocabulary=None if vocabulary is None else _texts(vocabulary, what),
        axes=None if given["axes"] is None else columns.one_of(given["axes"], AXES, what),
        channels=_texts(given["channels"], what),
        **{name: columns.whole(value, what, least=0) for name, value in optional.items()},
    )


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DamageError(f"{what} has something else than a list of texts")
    return tuple(columns.text(one, what) for one in value)


def store_sequences(db: sqlite3.Connection, examples: Iterable[tuple[int, TextExample | SeriesExample]]) -> None:
    """Adds examples or replaces them."""
    db.executemany("INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?, ?)", (_row(index, one) for index, one in examples))


def _row(index: int, example: TextExample | SeriesExample) -> tuple[Any, ...]:
    if isinstance(example, TextExample):
        content = columns.to_json({"tokens": example.tokens, "offsets": example.offsets}).encode("utf-8", "backslashreplace")
        steps = len(example.tokens)
    else:
        content, steps = np.ascontiguousarray(example.values, columns.NARROW).tobytes(), len(example.values)
    return index, steps, *example.counted, zlib.compress(content)


def load_sequence(db: sqlite3.Connection, example: int) -> TextExample | SeriesExample | None:
    """An example that is a text or a series; None where it is not stored."""
    description = load_description(db)
    if description is None or description.kind == "pictures":
        return None
    found = db.execute("SELECT steps, first, last, content FROM sequence WHERE example = ?", (example,)).fetchone()
    return None if found is None else _example(found, description)


def _example(row: tuple[Any, ...], description: InputDescription) -> TextExample | SeriesExample:
    steps = columns.whole(row[0], "sequence.steps", least=0, below=LONGEST)
    first = columns.whole(row[1], "sequence.first", least=0, below=steps + 1)
    last = columns.whole(row[2], "sequence.last", least=first, below=steps + 1)
    content = _unpacked(row[3])
    if description.kind == "text":
        return _text(content, steps, (first, last))
    width = len(content) // (columns.NARROW.itemsize * max(1, steps))
    values = columns.narrow(content, steps * width, "sequence.content").reshape(steps, width)
    names = description.channels if len(description.channels) == width else ("",) * width
    return SeriesExample(values, names, (first, last))


def _unpacked(cell: object) -> bytes:
    if not isinstance(cell, bytes):
        raise DamageError("sequence.content is not a blob")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(cell, LARGEST)
    except zlib.error:
        raise DamageError("sequence.content cannot be unpacked") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise DamageError("sequence.content is cut short or too large")
    return content


def _text(content: bytes, steps: int, counted: tuple[int, int]) -> TextExample:
    what = "sequence.content"
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        raise DamageError(f"{what} is not JSON") from None
    if not isinstance(given, dict) or set(given) != {"tokens", "offsets"} or not isinstance(given["offsets"], list):
        raise DamageError(f"{what} is not tokens and offsets")
    tokens = _texts(given["tokens"], what)
    offsets = tuple(columns.whole(one, what, least=0) for one in given["offsets"])
    if len(tokens) != steps or len(offsets) not in (0, steps) or any(len(one) > LONGEST_TOKEN for one in tokens):
        raise DamageError(f"{what} has not as many tokens as its row says")
    return TextExample(tokens, offsets, counted)


def store_traces(
    db: sqlite3.Connection,
    layer: int,
    example: int,
    channels: Int64[np.ndarray, " unit"],
    values: Float32[np.ndarray, "unit time"],
) -> None:
    """Adds what units did at each step of an example, in `LEVELS` steps between the least and the most of each unit there.

    Values that are not finite count as the least.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    low, high = (np.nan_to_num(find(values, axis=1)) for find in (np.nanmin, np.nanmax))
    span = np.where(high > low, high - low, 1.0)[:, None]
    levels = np.nan_to_num(np.rint((values - low[:, None]) / span * LEVELS)).astype(np.uint8)
    rows = zip(channels.tolist(), low.tolist(), high.tolist(), levels, strict=True)
    db.executemany(
        "INSERT OR REPLACE INTO trace VALUES (?, ?, ?, ?, ?, ?)",
        ((layer, channel, example, least, most, levels.tobytes()) for channel, least, most, levels in rows),
    )


def load_traces(db: sqlite3.Connection, layer: int, channel: int) -> dict[int, Float32[np.ndarray, " time"]]:
    """What a unit did at each step of its exemplars, by example; to one of `LEVELS` steps of its range there."""
    if not has_sequences(db):
        return {}
    query = "SELECT example, low, high, levels FROM trace WHERE layer = ? AND channel = ? ORDER BY example"
    return {
        columns.whole(example, "trace.example", least=0): _trace(low, high, levels)
        for example, low, high, levels in db.execute(query, (layer, channel))
    }


def load_best_traces(db: sqlite3.Connection, layer: int) -> dict[int, tuple[int, Float32[np.ndarray, " time"]]]:
    """By channel, the strongest example of a layer's unit, and what the unit did at each of its steps."""
    if not has_sequences(db):
        return {}
    query = (
        "SELECT trace.channel, trace.example, low, high, levels FROM trace JOIN exemplar USING (layer, channel, example)"
        " WHERE layer = ? AND ranking = 'max' AND rank = 0"
    )
    return {
        columns.whole(channel, "trace.channel", least=0): (columns.whole(example, "trace.example"), _trace(low, high, levels))
        for channel, example, low, high, levels in db.execute(query, (layer,))
    }


def _trace(low: object, high: object, levels: object) -> Float32[np.ndarray, " time"]:
    least, most = columns.real(low, "trace.low"), columns.real(high, "trace.high")
    if not isinstance(levels, bytes) or len(levels) > LONGEST or not (np.isfinite(least) and np.isfinite(most)):
        raise DamageError("trace.levels is not a blob of steps")
    return (least + np.frombuffer(levels, np.uint8) * ((most - least) / LEVELS)).astype(np.float32)


LEVELS = 255


def store_streams(db: sqlite3.Connection, layers: Iterable[tuple[int, Layer]]) -> None:
    """Adds of which module and stream layers are read."""
    streams = ((id, one.module, one.stream) for id, one in layers if one.module)
    db.executemany("INSERT INTO stream VALUES (?, ?, ?)", streams)


def load_streams(db: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """The module and stream of each layer that is one, by the layer's id."""
    if not has_sequences(db):
        return {}
    return {
        columns.whole(id, "stream.layer"): (columns.text(module, "stream.module"), columns.text(stream, "stream.stream"))
        for id, module, stream in db.execute("SELECT layer, module, stream FROM stream")
    }


def has_sequences(db: sqlite3.Connection) -> bool:
    """Whether the study is of a format that has these tables."""
    return int(db.execute("PRAGMA user_version").fetchone()[0]) >= FIRST_FORMAT


FIRST_FORMAT = 2
"""The first format of studies that can hold sequences."""
