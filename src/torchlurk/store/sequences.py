"""Examples that are not pictures, and what the network's inputs are, as rows of tables and back.

A text is its tokens with their offsets, a series its numbers; both are compressed, and what they unpack to is checked
against what their row says before it is believed.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any, get_args

import numpy as np
from jaxtyping import Float32, Int64

from torchlurk.allowance import spend
from torchlurk.errors import DataError
from torchlurk.input_records import InputAxes, InputDescription, KindName, Part, SeriesExample, TextExample
from torchlurk.records import Layer
from torchlurk.store import columns
from torchlurk.store.columns import DamageError

LONGEST, MOST_TOKENS = 1 << 24, 1 << 17
"""Steps of one example, or positions of a layer on it, and tokens of one that is a text; there are fewer."""

LONGEST_TOKEN = 1 << 10
"""Characters; of a longer token, such as a word of thousands of letters, the beginning is stored."""

LARGEST = 1 << 26
"""Bytes that one example unpacks to at most."""

MOST_BYTES_OF_TOKEN, MOST_BYTES_OF_STEP = 6 * LONGEST_TOKEN + 32, 1 << 18
"""Of a text's token with its offset as JSON, and of all channels of a series' step: what a row says of its steps bounds what
is unpacked for it.
"""

LONGEST_DESCRIPTION = 1 << 26
"""Characters: vocabularies of hundreds of thousands of tokens are in it."""

WIDEST = float(np.finfo(np.float32).max)
"""The largest magnitude of a value."""

KINDS: tuple[str, ...] = get_args(KindName)
AXES: tuple[str, ...] = get_args(InputAxes)
EXAMPLES: tuple[str, ...] = get_args(Part)


def store_description(db: sqlite3.Connection, description: InputDescription) -> None:
    """Replaces what is known of the inputs."""
    db.execute("INSERT OR REPLACE INTO input VALUES (0, ?)", (_whole_characters(columns.to_json(asdict(description))),))


def load_description(db: sqlite3.Connection) -> InputDescription | None:
    """What the network's inputs are; None in a study of the first format, which is of pictures."""
    if not has_sequences(db):
        return None
    found = db.execute("SELECT description FROM input").fetchone()
    return None if found is None else _description(found[0])


@lru_cache(maxsize=8)
def _description(cell: object) -> InputDescription:
    """What a cell says; known again, as every sequence that is read asks for it and a vocabulary is long."""
    what = "input.description"
    given = columns.from_json(cell, what, longest=LONGEST_DESCRIPTION)
    if not isinstance(given, dict) or {"called", "example", *given} != {one.name for one in fields(InputDescription)}:
        raise DamageError(f"{what} does not have the fields it must have")
    optional = {name: given[name] for name in ("vocabulary_size", "window", "burn_in") if given[name] is not None}
    vocabulary = given["vocabulary"]
    if given["kind"] not in KINDS:
        raise DamageError(f"{what} has the kind {_quoted(given['kind'])}, which is none of {', '.join(KINDS)}")
    return InputDescription(
        kind=given["kind"],
        dtype=columns.text(given["dtype"], what),
        vocabulary=None if vocabulary is None else _texts(vocabulary, what),
        axes=None if given["axes"] is None else columns.one_of(given["axes"], AXES, what),
        channels=_texts(given["channels"], what),
        called=columns.text(given.get("called", ""), what),
        example=columns.one_of(given.get("example", ""), EXAMPLES, what),
        **{name: columns.whole(value, what, least=0) for name, value in optional.items()},
    )


def _whole_characters(text: str) -> str:
    """The text as UTF-8 can hold it: a half of a character, as tokens that cut one have it, becomes a replacement sign."""
    return HALF.sub("\ufffd", text)


def _quoted(value: object) -> str:
    """Something that was read, short enough for a line."""
    return repr(value)[:MOST_QUOTED]


MOST_QUOTED = 40


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DamageError(f"{what} is not a list of texts")
    found = tuple(columns.text(one, what, longest=LONGEST_DESCRIPTION) for one in value)
    if any(HALF.search(one) for one in found):
        raise DamageError(f"{what} has half a character")
    return found


HALF = re.compile("[\ud800-\udfff]")
"""What JSON can hold and no UTF-8 can: one half of a pair."""


def store_sequences(db: sqlite3.Connection, examples: Iterable[tuple[int, TextExample | SeriesExample]]) -> None:
    """Adds examples or replaces them."""
    db.executemany("INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?, ?)", (_row(index, one) for index, one in examples))


def _row(index: int, example: TextExample | SeriesExample) -> tuple[Any, ...]:
    steps, content = content_of(example)
    return index, steps, *example.counted, zlib.compress(content)


def content_of(example: TextExample | SeriesExample) -> tuple[int, bytes]:
    """The steps of an example and what is stored of it; raises `DataError` where that is more than is read back."""
    if isinstance(example, TextExample):
        tokens = [one if len(one) <= LONGEST_TOKEN else f"{one[: LONGEST_TOKEN - 1]}…" for one in example.tokens]
        content = _whole_characters(columns.to_json({"tokens": tokens, "offsets": example.offsets})).encode()
        steps, longest, what, hint = len(example.tokens), MOST_TOKENS, "a text", "give a smaller --window, or shorter texts"
    else:
        content, steps = np.ascontiguousarray(example.values, columns.NARROW).tobytes(), len(example.values)
        channels = example.values.shape[1]
        if channels * columns.NARROW.itemsize > MOST_BYTES_OF_STEP:
            most = MOST_BYTES_OF_STEP // columns.NARROW.itemsize
            raise DataError(f"a series has {channels:,} channels", f"a study holds at most {most:,}: leave some out")
        longest, what, hint = LONGEST, "a series", "cut it into shorter ones"
    if steps >= longest or len(content) > LARGEST:
        raise DataError(
            f"{what} of {steps:,} steps has {len(content):,} bytes; a study holds fewer than {longest:,} steps and at most"
            f" {LARGEST:,} bytes of each",
            hint,
        )
    return steps, content


def load_sequence(db: sqlite3.Connection, example: int) -> TextExample | SeriesExample | None:
    """An example that is a text or a series; None where it is not stored."""
    description = load_description(db)
    if description is None or description.kind == "pictures":
        return None
    found = db.execute("SELECT steps, first, last, content FROM sequence WHERE example = ?", (example,)).fetchone()
    return None if found is None else _example(found, description)


def _example(row: tuple[Any, ...], description: InputDescription) -> TextExample | SeriesExample:
    steps = columns.whole(row[0], "sequence.steps", least=0, below=MOST_TOKENS if description.kind == "text" else LONGEST)
    first = columns.whole(row[1], "sequence.first", least=0, below=steps + 1)
    last = columns.whole(row[2], "sequence.last", least=first, below=steps + 1)
    a_step = MOST_BYTES_OF_TOKEN if description.kind == "text" else MOST_BYTES_OF_STEP
    content = unpacked(row[3], min(LARGEST + 1, (steps + 1) * a_step))
    if description.kind == "text":
        return _text(content, steps, (first, last))
    width = len(content) // (columns.NARROW.itemsize * max(1, steps))
    values = columns.narrow(content, steps * width, "sequence.content").reshape(steps, width)
    names = description.channels if len(description.channels) == width else ("",) * width
    return SeriesExample(values, names, (first, last))


def unpacked(cell: object, most: int, what: str = "sequence.content") -> bytes:
    """What a compressed cell holds, of at most so many bytes."""
    if not isinstance(cell, bytes):
        raise DamageError(f"{what} is not a blob")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(cell, most)
    except zlib.error:
        raise DamageError(f"{what} cannot be unpacked") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise DamageError(f"{what} is cut short or too large")
    spend(len(content), "bytes")
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
    low, high = (np.nan_to_num(find.reduce(values, axis=1)) for find in (np.fmin, np.fmax))
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
    query = f"SELECT example, {TRACE_COLUMNS} FROM trace WHERE layer = ? AND channel = ? ORDER BY example"
    return {
        columns.whole(example, "trace.example", least=0): to_trace(*cells)
        for example, *cells in db.execute(query, (layer, channel))
    }


def load_best_traces(db: sqlite3.Connection, layer: int) -> dict[int, tuple[int, Float32[np.ndarray, " time"]]]:
    """By channel, the strongest example of a layer's unit, and what the unit did at each of its steps."""
    if not has_sequences(db):
        return {}
    query = (
        f"SELECT trace.channel, trace.example, {TRACE_COLUMNS} FROM trace JOIN exemplar USING (layer, channel, example)"
        " WHERE layer = ? AND ranking = 'max' AND rank = 0"
    )
    return {
        columns.whole(channel, "trace.channel", least=0): (columns.whole(example, "trace.example"), to_trace(*cells))
        for channel, example, *cells in db.execute(query, (layer,))
    }


def load_positions(db: sqlite3.Connection, layer: int, channel: int) -> dict[int, int]:
    """By example, how many positions a unit has on its exemplars, as far as that is stored."""
    if not has_sequences(db):
        return {}
    query = "SELECT example, length(levels) FROM trace WHERE layer = ? AND channel = ?"
    return {
        columns.whole(example, "trace.example"): columns.whole(positions, "trace.levels", least=0)
        for example, positions in db.execute(query, (layer, channel))
    }


def load_best_positions(db: sqlite3.Connection, layer: int) -> dict[int, int]:
    """By channel, how many positions each unit of a layer has on its strongest example, as far as that is stored."""
    if not has_sequences(db):
        return {}
    query = (
        "SELECT trace.channel, length(levels) FROM trace JOIN exemplar USING (layer, channel, example)"
        " WHERE layer = ? AND ranking = 'max' AND rank = 0"
    )
    return {
        columns.whole(channel, "trace.channel", least=0): columns.whole(positions, "trace.levels", least=0)
        for channel, positions in db.execute(query, (layer,))
    }


TRACE_COLUMNS = "low, high, levels"


def to_trace(low: object, high: object, levels: object) -> Float32[np.ndarray, " time"]:
    """The values of a row of `trace`."""
    least, most = columns.real(low, "trace.low"), columns.real(high, "trace.high")
    if not -WIDEST <= least <= most <= WIDEST:
        raise DamageError("trace.low and trace.high are not the least and the largest of some numbers")
    if not isinstance(levels, bytes) or len(levels) > LONGEST:
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
