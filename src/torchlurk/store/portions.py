"""What a study is a part of, how many examples shared a pass, and which were ranked by mean: values of `meta`."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, fields

from torchlurk.run_records import Portion
from torchlurk.store import columns
from torchlurk.store.columns import DamageError

MOST_PARTS = 1 << 20
MOST_AT_ONCE = 1 << 31


def store_portion(db: sqlite3.Connection, portion: Portion | None) -> None:
    """Replaces what the study is a part of; None: it is whole."""
    _replace(db, "part", None if portion is None else columns.to_json(asdict(portion)))


def load_portion(db: sqlite3.Connection) -> Portion | None:
    """What the study is a part of; None where it is whole."""
    value = _value(db, "part")
    return None if value is None else to_portion(value)


def to_portion(value: object) -> Portion:
    """The portion of a value of `meta.part`."""
    what = "meta.part"
    given = columns.from_json(value, what)
    if not isinstance(given, dict) or set(given) != {one.name for one in fields(Portion)}:
        raise DamageError(f"{what} does not have the fields it must have")
    if not isinstance(given["asked"], dict) or not isinstance(given["finished"], bool):
        raise DamageError(f"{what} is not as it is written")
    of = columns.whole(given["of"], what, least=1, below=MOST_PARTS)
    return Portion(
        number=columns.whole(given["number"], what, least=1, below=of + 1),
        of=of,
        stages=columns.words(columns.to_json(given["stages"]), what),
        asked=given["asked"],
        finished=given["finished"],
    )


def store_batch_size(db: sqlite3.Connection, size: int) -> None:
    """Replaces how many examples share a pass of the scan."""
    _replace(db, "batch_size", columns.to_json(size))


def load_batch_size(db: sqlite3.Connection) -> int | None:
    """How many examples share a pass of the scan; None where that was not recorded."""
    value = _value(db, "batch_size")
    return None if value is None else to_batch_size(value)


def to_batch_size(value: object) -> int:
    """The number in a value of `meta.batch_size`."""
    return columns.whole(columns.from_json(value, "meta.batch_size"), "meta.batch_size", least=1, below=MOST_AT_ONCE)


def store_least_for_means(db: sqlite3.Connection, least: int) -> None:
    """Replaces how many steps of an example have to count for it to be ranked by mean; 0 where any number will do."""
    _replace(db, "least_for_means", columns.to_json(least) if least else None)


def load_least_for_means(db: sqlite3.Connection) -> int:
    """How many steps of an example have to count for it to be ranked by mean; 0 where any number will do."""
    value = _value(db, "least_for_means")
    return 0 if value is None else to_least_for_means(value)


def to_least_for_means(value: object) -> int:
    """The number in a value of `meta.least_for_means`."""
    what = "meta.least_for_means"
    return columns.whole(columns.from_json(value, what), what, least=1, below=MOST_AT_ONCE)


def _replace(db: sqlite3.Connection, key: str, value: str | None) -> None:
    if value is None:
        db.execute("DELETE FROM meta WHERE key = ?", (key,))
    else:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _value(db: sqlite3.Connection, key: str) -> object:
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else found[0]
