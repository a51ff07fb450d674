"""What merging takes out of one study and puts into another. Layers have the same numbers in both."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64

from torchlurk.files import real
from torchlurk.records import Example
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.connections import translated
from torchlurk.store.folding import SIDE_FILES
from torchlurk.store.locking import Lock
from torchlurk.store.reading import Reader
from torchlurk.store.results import store_picture
from torchlurk.store.sequences import has_sequences
from torchlurk.store.step_attributions import STEP_TABLES
from torchlurk.store.writing import Writer

AT_ONCE = 500
"""Parameters of one query."""


@dataclass(frozen=True, slots=True)
class PlacedLeaders:
    """The exemplars by max of a layer's units, and where each looked, in the order of channels and examples."""

    channels: Int64[np.ndarray, " n"]
    examples: Int64[np.ndarray, " n"]
    positions: Int32[np.ndarray, " n"]
    boxes: Int32[np.ndarray, "n 4"]


def copy_study(reader: Reader, to: Path) -> None:
    """Copies one state of a study into a new file, without what people have noted in it."""
    with reader.reading() as db, closing(sqlite3.connect(to)) as copy:
        db.backup(copy)
        if has_sequences(copy):
            copy.execute("DELETE FROM remark")
            copy.commit()


@contextmanager
def new_study(out: Path) -> Iterator[Path]:
    """A place beside `out` for a study that is put there once it is complete; nobody else writes at `out` meanwhile."""
    with translated(out, writing=True):
        lock = Lock(real(out), out)
    place = out.with_name(f".torchlurk-{secrets.token_hex(8)}.lurk")
    try:
        yield place
        place.replace(out)
    finally:
        for ending in ("", *SIDE_FILES):
            with suppress(OSError):
                place.with_name(place.name + ending).unlink()
        lock.release()


def all_examples(reader: Reader) -> list[Example]:
    """Every example, by index."""
    with reader.reading() as db:
        found = db.execute("SELECT id, path, class FROM example ORDER BY id")
        return [
            Example(
                columns.whole(id, "example.id", least=0),
                columns.text(path, "example.path"),
                None if known is None else columns.whole(known, "example.class", least=0),
            )
            for id, path, known in found
        ]


def placed_leaders(reader: Reader, layer: str) -> PlacedLeaders:
    """Those of one layer."""
    with reader.reading() as db:
        found = db.execute(
            "SELECT channel, example, position, x0, y0, x1, y1 FROM exemplar"
            " WHERE layer = (SELECT id FROM layer WHERE name = ?) AND ranking = 'max' ORDER BY channel, example",
            (layer,),
        ).fetchall()
    if any(not isinstance(cell, int) for row in found for cell in row):
        raise DamageError("an exemplar of a part has no place")
    table = np.array(found, np.int64).reshape(len(found), 7)
    return PlacedLeaders(table[:, 0], table[:, 1], table[:, 2].astype(np.int32), table[:, 3:].astype(np.int32))


def take_examples(writer: Writer, reader: Reader) -> None:
    """Adds what the other study has of the pictures, texts and series that are lacking here."""
    lacking = writer.examples_without_picture()
    with reader.reading() as db, writer.writing() as own:
        for some in _chunks(lacking):
            which = f"example IN ({', '.join('?' * len(some))})"
            found = db.execute(
                f"SELECT example, media_type, data FROM example_picture JOIN picture ON sha256 = picture WHERE {which}", some
            )
            writer.write_pictures((example, media_type, data) for example, media_type, data in found)
            sequences = db.execute(f"SELECT example, steps, first, last, content FROM sequence WHERE {which}", some)
            own.executemany(rows.insert("sequence", 5), sequences)


def take_traces(writer: Writer, reader: Reader) -> None:
    """Adds what units did at each step of their exemplars, as far as the other study knows."""
    query = "SELECT layer, channel, example, low, high, levels FROM trace WHERE layer = (SELECT id FROM layer WHERE name = ?)"
    for layer in (one.name for one in reader.layers() if one.layout == "sequence"):
        units = {example: frozenset(channels) for example, channels in writer.exemplar_units(layer).items()}
        with reader.reading() as db, writer.writing() as own:
            found = (row for row in db.execute(query, (layer,)) if row[1] in units.get(row[2], frozenset()))
            own.executemany(rows.insert("trace", 6), found)


def take_steps(writer: Writer, reader: Reader) -> None:
    """Adds the steps that the other study keeps."""
    with reader.reading() as db, writer.writing() as own:
        if has_sequences(db):
            own.executemany("INSERT OR IGNORE INTO kept_steps VALUES (?, ?, ?, ?, ?)", db.execute("SELECT * FROM kept_steps"))


def take_attributions(writer: Writer, reader: Reader, stage: str) -> None:
    """Adds the attributions that are lacking here, and what boxes or the nearest steps alone excite."""
    columns = "layer, channel, ranking, rank, method, x0, y0, x1, y1, scale, kept, picture"
    _take_pictured(writer, reader, "attribution", columns)
    recalls = "SELECT recall, layer, channel, rank FROM exemplar WHERE ranking = 'max' AND recall IS NOT NULL"
    with reader.reading() as db, writer.writing() as own:
        own.executemany(
            "UPDATE exemplar SET recall = ? WHERE layer = ? AND channel = ? AND ranking = 'max' AND rank = ?",
            db.execute(recalls),
        )
        for table, width in STEP_TABLES.items():
            statement = rows.insert(table, width).replace("INSERT", "INSERT OR IGNORE")
            own.executemany(statement, db.execute(f"SELECT * FROM {table}"))


def take_syntheses(writer: Writer, reader: Reader, stage: str) -> None:
    """Adds the syntheses that are lacking here."""
    columns = "layer, channel, preset, activation, ratio, percentile, robustness, marked, seed, steps, picture"
    _take_pictured(writer, reader, "synthesis", columns)


def take_findings(writer: Writer, reader: Reader, stage: str) -> None:
    """Adds what a stage from outside the package found and is lacking here."""
    with reader.reading() as db, writer.writing() as own:
        found = db.execute("SELECT stage, layer, channel, content FROM finding WHERE stage = ?", (stage,))
        own.executemany("INSERT OR IGNORE INTO finding VALUES (?, ?, ?, ?)", found)


def _take_pictured(writer: Writer, reader: Reader, table: str, columns: str) -> None:
    """Adds rows of a table, of which `picture` is the last column, each with its picture."""
    values = ", ".join("?" * len(columns.split(", ")))
    with reader.reading() as db, writer.writing() as own:
        for row in db.execute(f"SELECT {columns} FROM {table}"):
            if not own.execute("SELECT 1 FROM picture WHERE sha256 = ?", row[-1:]).fetchone():
                media_type, data = db.execute("SELECT media_type, data FROM picture WHERE sha256 = ?", row[-1:]).fetchone()
                store_picture(own, media_type, data)
            own.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({values})", row)


def exemplars_up_to(reader: Reader, layer: str, most: int) -> dict[int, int]:
    """By channel, how many of its `most` strongest exemplars by max there are."""
    query = (
        "SELECT channel, count(*) FROM exemplar WHERE layer = (SELECT id FROM layer WHERE name = ?)"
        " AND ranking = 'max' AND rank < ? GROUP BY channel"
    )
    with reader.reading() as db:
        return dict(db.execute(query, (layer, most)).fetchall())


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
