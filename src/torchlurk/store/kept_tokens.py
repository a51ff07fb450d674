"""All tokens of a text, as rows of a table and back: each once, though windows over a document share their burn-in.

A row has the ids that an example has beyond the one before it, in the smallest of 1, 2, 4 and 8 bytes that holds each of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int64

from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import LONGEST, has_sequences, load_description

WIDTHS = (1, 2, 4, 8)
"""Bytes that an id may have."""


def store_tokens(db: sqlite3.Connection, examples: Iterable[tuple[int, int, Int64[np.ndarray, " _"]]]) -> None:
    """Replaces the tokens: of each example its index, how many of its first tokens are the last of the example before, and the
    ids of all.
    """
    db.execute("DELETE FROM example_tokens")
    db.executemany(rows.insert("example_tokens", 4), (_row(*one) for one in examples))


def _row(example: int, repeated: int, ids: Int64[np.ndarray, " time"]) -> tuple[int, int, int, bytes]:
    own = ids[repeated:]
    width = np.min_scalar_type(int(own.max(initial=0))).itemsize
    return example, repeated, width, own.astype(f"<u{width}").tobytes()


def load_tokens(db: sqlite3.Connection, example: int) -> Int64[np.ndarray, " time"] | None:
    """The ids of an example's tokens, burn-in included; None where they are not stored."""
    if not has_sequences(db):
        return None
    found = _own(db, example)
    if found is None:
        return None
    wanted, ids = found
    pieces = [ids]
    while wanted > 0:
        example -= 1
        before = _own(db, example)
        if before is None:
            raise DamageError(f"example_tokens repeats tokens of example {example}, which it does not have")
        further, ids = before
        own = ids[max(0, len(ids) - wanted) :]
        pieces.append(own)
        wanted -= len(own)
        if wanted > further:
            raise DamageError(f"example_tokens repeats more tokens than example {example} has")
    return np.concatenate(pieces[::-1])


def _own(db: sqlite3.Connection, example: int) -> tuple[int, Int64[np.ndarray, " time"]] | None:
    """How many tokens an example repeats of the one before it, and the ids of its own."""
    found = db.execute("SELECT repeated, width, ids FROM example_tokens WHERE example = ?", (example,)).fetchone()
    return None if found is None else _to_own(*found)


def _to_own(repeated: object, width: object, ids: object) -> tuple[int, Int64[np.ndarray, " time"]]:
    if width not in WIDTHS or not isinstance(ids, bytes) or len(ids) % width or len(ids) > LONGEST * width:
        raise DamageError("example_tokens.ids is not a blob of ids of the width that its row says")
    found = np.frombuffer(ids, f"<u{width}")
    if width == max(WIDTHS) and len(found) and int(found.max()) >= 2**63:
        raise DamageError("example_tokens.ids has an id beyond all vocabularies")
    return columns.whole(repeated, "example_tokens.repeated", least=0, below=LONGEST), found.astype(np.int64)


def examine_kept_tokens(db: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with this table: every example that could be read has its tokens, as many as the text that is shown of it,
    and each is in the vocabulary.
    """
    description = load_description(db)
    if description is None or not db.execute("SELECT 1 FROM example_tokens").fetchone():
        return
    if description.kind != "text":
        yield f"example_tokens has rows in a study of {description.kind}"
        return
    most = len(description.vocabulary) if description.vocabulary is not None else None
    steps = dict(db.execute("SELECT example, steps FROM sequence"))
    before: dict[int, int] = {}
    for example, *cells in db.execute("SELECT example, repeated, width, ids FROM example_tokens ORDER BY example"):
        try:
            repeated, ids = _to_own(*cells)
            if repeated and example - 1 not in before:
                raise DamageError(f"example_tokens repeats tokens of example {example - 1}, which it does not have")
            if repeated > before.get(example - 1, 0):
                raise DamageError(f"example_tokens repeats more tokens than example {example - 1} has")
        except DamageError as error:
            yield f"example {example}: {error}"
            continue
        count = repeated + len(ids)
        before = {example: count}
        if count != steps.get(example, count):
            yield f"example {example} has {count} tokens in example_tokens, {steps[example]} in sequence"
        if most is not None and len(ids) and int(ids.max()) >= most:
            yield f"example {example} has the token {int(ids.max())}, the vocabulary {most} tokens"
    lacking = [id for (id,) in db.execute("SELECT id FROM example WHERE id NOT IN (SELECT example FROM example_tokens)")]
    if len(lacking) > db.execute("SELECT count(*) FROM skip").fetchone()[0]:
        yield f"example {lacking[0]} has no tokens, and was not passed over"
