"""What the stages after the scan found, as rows of tables, and back: attributions, checks of methods, syntheses."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Float32

from torchlurk.records import Attribution, MethodCheck, Synthesis
from torchlurk.run_records import StageCount
from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.schema import MEDIA_TYPES

ATTRIBUTED = ("max", "mean")
KERNEL_AXES = 4


def store_picture(db: sqlite3.Connection, media_type: str, data: bytes) -> bytes:
    """Stores a picture once and returns its SHA-256; raises `ValueError` for another media type."""
    if media_type not in MEDIA_TYPES:
        raise ValueError(f"a picture is {media_type!r}; use {', '.join(MEDIA_TYPES)}")
    name = sha256(data).digest()
    db.execute("INSERT OR IGNORE INTO picture VALUES (?, ?, ?)", (name, media_type, data))
    return name


def load_picture(db: sqlite3.Connection, name: str) -> tuple[str, bytes] | None:
    """A stored picture by its SHA-256 in hexadecimal, as (media type, bytes); None where there is none."""
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    found = db.execute("SELECT media_type, data FROM picture WHERE sha256 = ?", (digest,)).fetchone()
    if found is None:
        return None
    media_type, data = found
    if not isinstance(data, bytes):
        raise DamageError("picture.data is not a blob")
    return columns.one_of(media_type, MEDIA_TYPES, "picture.media_type"), data


def store_attributions(db: sqlite3.Connection, layer: int, channel: int, found: Iterable[Attribution]) -> None:
    """Adds attributions of a unit or replaces those of the same exemplar and method."""
    db.executemany(
        rows.insert("attribution", 12).replace("INSERT", "INSERT OR REPLACE"),
        (
            (layer, channel, one.ranking, one.rank, one.method, *one.box, one.scale, one.kept, bytes.fromhex(one.picture))
            for one in found
        ),
    )


def load_attributions(db: sqlite3.Connection, layer: int, channel: int) -> tuple[Attribution, ...]:
    """All attributions of a unit, by ranking, rank and method."""
    found = db.execute(
        "SELECT ranking, rank, method, x0, y0, x1, y1, picture, scale, kept FROM attribution"
        " WHERE layer = ? AND channel = ? ORDER BY ranking, rank, method",
        (layer, channel),
    )
    return tuple(map(_attribution, found))


def _attribution(row: tuple[Any, ...]) -> Attribution:
    ranking, rank, method, x0, y0, x1, y1, picture, scale, kept = row
    return Attribution(
        ranking=columns.one_of(ranking, ATTRIBUTED, "attribution.ranking"),
        rank=columns.whole(rank, "attribution.rank", least=0),
        method=columns.word(method, "attribution.method"),
        box=columns.box((x0, y0, x1, y1), "an attribution's box"),
        picture=columns.raw(picture, 32, "attribution.picture").hex(),
        scale=columns.real(scale, "attribution.scale"),
        kept=columns.real(kept, "attribution.kept"),
    )


def store_check(db: sqlite3.Connection, layer: int, check: MethodCheck) -> None:
    """Adds or replaces what is known of a method on a layer."""
    row = (layer, check.method, check.similarity, int(check.marked))
    db.execute("INSERT OR REPLACE INTO method_check VALUES (?, ?, ?, ?)", row)


def load_checks(db: sqlite3.Connection, layer: int) -> tuple[MethodCheck, ...]:
    """What is known of methods on a layer, by name."""
    found = db.execute("SELECT method, similarity, marked FROM method_check WHERE layer = ? ORDER BY method", (layer,))
    return tuple(
        MethodCheck(
            columns.word(method, "method_check.method"),
            columns.real(similarity, "method_check.similarity"),
            bool(columns.whole(marked, "method_check.marked", least=0, below=2)),
        )
        for method, similarity, marked in found
    )


def load_effective_field(db: sqlite3.Connection, layer: int) -> tuple[float, float] | None:
    """Height and width, in input pixels, of where the gradient's mass lies; None where it was not measured."""
    found = db.execute("SELECT height, width FROM effective_field WHERE layer = ?", (layer,)).fetchone()
    if found is None:
        return None
    return columns.finite(found[0], "effective_field.height"), columns.finite(found[1], "effective_field.width")


def load_kernels(db: sqlite3.Connection, layer: int) -> Float32[np.ndarray, "unit channel height width"] | None:
    """The weights of a convolution that reads the input directly; None for another layer."""
    found = db.execute("SELECT shape, weights FROM kernel WHERE layer = ?", (layer,)).fetchone()
    if found is None:
        return None
    shape = columns.whole_numbers(found[0], "kernel.shape")
    if len(shape) != KERNEL_AXES:
        raise DamageError("kernel.shape is not unit, channel, height, width")
    return columns.narrow(found[1], math.prod(shape), "kernel.weights").reshape(shape)


def store_synthesis(db: sqlite3.Connection, layer: int, channel: int, one: Synthesis) -> None:
    """Adds a synthesis of a unit or replaces that of the same preset."""
    db.execute(
        rows.insert("synthesis", 11).replace("INSERT", "INSERT OR REPLACE"),
        (
            layer,
            channel,
            one.preset,
            bytes.fromhex(one.picture),
            *(value if math.isfinite(value) else None for value in (one.activation, one.ratio, one.percentile, one.robustness)),
            one.marked,
            one.seed,
            one.steps,
        ),
    )


SYNTHESIS_COLUMNS = "preset, picture, activation, ratio, percentile, robustness, marked, seed, steps"


def load_syntheses(db: sqlite3.Connection, layer: int, channel: int) -> tuple[Synthesis, ...]:
    """All syntheses of a unit, by preset."""
    found = db.execute(
        f"SELECT {SYNTHESIS_COLUMNS} FROM synthesis WHERE layer = ? AND channel = ? ORDER BY preset", (layer, channel)
    )
    return tuple(map(synthesis_of, found))


def synthesis_of(row: tuple[Any, ...]) -> Synthesis:
    """A row of `SYNTHESIS_COLUMNS` as a record."""
    preset, picture, activation, ratio, percentile, robustness, marked, seed, steps = row
    return Synthesis(
        preset=columns.word(preset, "synthesis.preset"),
        picture=columns.raw(picture, 32, "synthesis.picture").hex(),
        activation=columns.real(activation, "synthesis.activation"),
        ratio=columns.real(ratio, "synthesis.ratio"),
        percentile=columns.real(percentile, "synthesis.percentile"),
        robustness=columns.real(robustness, "synthesis.robustness"),
        marked=columns.optional_text(marked, "synthesis.marked"),
        seed=columns.whole(seed, "synthesis.seed"),
        steps=columns.whole(steps, "synthesis.steps", least=0),
    )


def store_count(db: sqlite3.Connection, stage: str, count: StageCount) -> None:
    """Replaces how far a begun stage has come."""
    db.execute("INSERT OR REPLACE INTO progress_count VALUES (?, ?, ?)", (stage, count.done, count.total))


def load_counts(db: sqlite3.Connection) -> dict[str, StageCount]:
    """How far each unfinished stage has come."""
    found = db.execute("SELECT stage, done, total FROM progress_count")
    what = "progress_count"
    return {
        columns.text(stage, f"{what}.stage"): StageCount(
            columns.whole(done, f"{what}.done", least=0), columns.whole(total, f"{what}.total", least=0)
        )
        for stage, done, total in found
    }
