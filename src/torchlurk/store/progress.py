"""The progress of an unfinished stage: shards done and the state after them, in pieces of bounded size."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from torchlurk.jobs import Shard
from torchlurk.store import columns
from torchlurk.store.columns import DamageError

PIECE = 1 << 20
"""Bytes of a piece. One that has not changed since the last time is not written again."""


def store_progress(
    db: sqlite3.Connection, stage: str, done: Sequence[Shard], state: Mapping[str, Shaped[np.ndarray, ...]]
) -> None:
    """Replaces the progress of a stage, inside the caller's transaction."""
    _store_shards(db, stage, done)
    names = [name for (name,) in db.execute("SELECT name FROM progress_array WHERE stage = ?", (stage,))]
    for name in names:
        if name not in state:
            _drop_pieces(db, stage, name, 0)
            db.execute("DELETE FROM progress_array WHERE stage = ? AND name = ?", (stage, name))
    for name, values in state.items():
        _store_array(db, stage, name, values)


def _store_shards(db: sqlite3.Connection, stage: str, done: Sequence[Shard]) -> None:
    before = set(db.execute("SELECT start, stop FROM progress_shard WHERE stage = ?", (stage,)))
    now = {(shard.start, shard.stop) for shard in done}
    gone = ((stage, *one) for one in before - now)
    db.executemany("DELETE FROM progress_shard WHERE stage = ? AND start = ? AND stop = ?", gone)
    db.executemany("INSERT INTO progress_shard VALUES (?, ?, ?)", ((stage, *one) for one in sorted(now - before)))


def _store_array(db: sqlite3.Connection, stage: str, name: str, values: np.ndarray) -> None:
    if not columns.DTYPE.fullmatch(values.dtype.str):
        raise ValueError(f"the progress '{name}' holds {values.dtype}, not plain numbers")
    db.execute(
        "INSERT INTO progress_array VALUES (?, ?, ?, ?)"
        " ON CONFLICT (stage, name) DO UPDATE SET dtype = excluded.dtype, shape = excluded.shape",
        (stage, name, values.dtype.str, columns.to_json(values.shape)),
    )
    found = db.execute("SELECT piece, sha256 FROM progress_piece WHERE stage = ? AND name = ?", (stage, name))
    before = dict(found.fetchall())
    count = 0
    for piece, data in enumerate(_pieces(values)):
        count += 1
        digest = sha256(data.data).digest()
        if before.get(piece) != digest:
            db.execute(
                "INSERT INTO progress_piece VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (stage, name, piece) DO UPDATE SET sha256 = excluded.sha256, data = excluded.data",
                (stage, name, piece, digest, data),
            )
    _drop_pieces(db, stage, name, count)


def _pieces(values: np.ndarray) -> Iterator[UInt8[np.ndarray, " byte"]]:
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    for start in range(0, flat.size, PIECE):
        yield flat[start : start + PIECE]


def _drop_pieces(db: sqlite3.Connection, stage: str, name: str, first: int) -> None:
    db.execute("DELETE FROM progress_piece WHERE stage = ? AND name = ? AND piece >= ?", (stage, name, first))


def forget_progress(db: sqlite3.Connection, stage: str) -> None:
    """Drops the progress of a stage, inside the caller's transaction."""
    for table in ("progress_piece", "progress_array", "progress_shard", "progress_count"):
        db.execute(f"DELETE FROM {table} WHERE stage = ?", (stage,))


def load_progress(db: sqlite3.Connection, stage: str) -> tuple[list[Shard], dict[str, Shaped[np.ndarray, ...]]] | None:
    """The progress of a stage, None where there is none; raises `DamageError` where it is not as it was stored."""
    found = db.execute("SELECT start, stop FROM progress_shard WHERE stage = ? ORDER BY start, stop", (stage,))
    done = [Shard(columns.whole(start, "a shard"), columns.whole(stop, "a shard")) for start, stop in found]
    arrays = db.execute("SELECT name, dtype, shape FROM progress_array WHERE stage = ? ORDER BY name", (stage,)).fetchall()
    if not done and not arrays:
        return None
    return done, {name: _load_array(db, stage, name, dtype, shape) for name, dtype, shape in arrays}


def piece_sizes(db: sqlite3.Connection) -> Iterator[tuple[str, str, int, int]]:
    """For each array of any progress: stage, name, the bytes its shape demands, the bytes stored."""
    for stage, name, kind, shape in db.execute("SELECT stage, name, dtype, shape FROM progress_array"):
        what = f"the progress '{name}'"
        wanted = math.prod(columns.whole_numbers(shape, what)) * columns.dtype(kind, what).itemsize
        yield stage, name, wanted, _stored(db, stage, name)


def _stored(db: sqlite3.Connection, stage: str, name: str) -> int:
    query = "SELECT coalesce(sum(length(data)), 0) FROM progress_piece WHERE stage = ? AND name = ?"
    return int(db.execute(query, (stage, name)).fetchone()[0])


def _load_array(db: sqlite3.Connection, stage: str, name: str, dtype: Any, shape: Any) -> np.ndarray:
    what = f"the progress '{name}'"
    kind, extent = columns.dtype(dtype, what), columns.whole_numbers(shape, what)
    size = math.prod(extent) * kind.itemsize
    if _stored(db, stage, name) != size:  # before memory is taken for it
        raise DamageError(f"{what} is incomplete")
    values = np.empty(extent, kind)
    flat = values.reshape(-1).view(np.uint8)
    filled = 0
    query = "SELECT sha256, data FROM progress_piece WHERE stage = ? AND name = ? ORDER BY piece"
    for digest, data in db.execute(query, (stage, name)):
        if not isinstance(data, bytes) or sha256(data).digest() != digest:
            raise DamageError(f"{what} is not as it was written")
        flat[filled : filled + len(data)] = np.frombuffer(data, np.uint8)
        filled += len(data)
    return values
