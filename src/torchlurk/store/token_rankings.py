"""What units have to do with tokens, as rows of tables and back: which are frequent in the data, and by each measure those at
which a unit is highest and lowest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from torchlurk.store import columns, rows
from torchlurk.store.columns import DamageError
from torchlurk.store.sequences import has_sequences
from torchlurk.time_records import TOKEN_MEASURES, RankedTokens, TokenMeasure, TokenRanking

IDS, VALUES = np.dtype("<i4"), columns.NARROW

LONGEST = 1 << 10
"""Tokens of one list."""

COLUMNS = "measure, highest, highest_values, lowest, lowest_values"


def store_frequent(db: sqlite3.Connection, ids: Sequence[int], counts: Sequence[int]) -> None:
    """Replaces which tokens are frequent, most frequent first, and how often each stands at a step that counts."""
    db.execute("DELETE FROM token")
    db.executemany(rows.insert("token", 3), zip(range(len(ids)), ids, counts, strict=True))


def load_frequent(db: sqlite3.Connection) -> dict[int, int]:
    """How often each of the frequent tokens stands at a step that counts, most frequent first; empty where it is not known."""
    if not has_sequences(db):
        return {}
    found = db.execute("SELECT id, count FROM token ORDER BY rank")
    return {columns.whole(id, "token.id", least=0): columns.whole(count, "token.count", least=1) for id, count in found}


def store_rankings(db: sqlite3.Connection, layer: int, measure: TokenMeasure, rankings: Sequence[TokenRanking | None]) -> None:
    """Replaces the tokens of a layer's units, in order of channels, by one measure."""
    db.execute("DELETE FROM token_ranking WHERE layer = ? AND measure = ?", (layer, measure))
    db.executemany(
        rows.insert("token_ranking", 7),
        (
            (layer, channel, measure, *_blobs(one.highest), *_blobs(one.lowest))
            for channel, one in enumerate(rankings)
            if one is not None
        ),
    )


def _blobs(tokens: RankedTokens) -> tuple[bytes, bytes]:
    return np.array(tokens.ids, IDS).tobytes(), np.array(tokens.values, VALUES).tobytes()


def load_rankings(db: sqlite3.Connection, layer: str, channel: int) -> dict[TokenMeasure, TokenRanking]:
    """The tokens of a unit of the layer of that name, by measure; those measures that it has."""
    if not has_sequences(db):
        return {}
    of_unit = "layer = (SELECT id FROM layer WHERE name = ?) AND channel = ?"
    found = db.execute(f"SELECT {COLUMNS} FROM token_ranking WHERE {of_unit}", (layer, channel))
    by_measure = dict(to_ranking(*cells) for cells in found)
    return {measure: by_measure[measure] for measure in TOKEN_MEASURES if measure in by_measure}


def to_ranking(measure: object, *cells: object) -> tuple[TokenMeasure, TokenRanking]:
    """A row of `token_ranking`."""
    named = columns.one_of(measure, TOKEN_MEASURES, "token_ranking.measure")
    highest, lowest = _tokens(cells[0], cells[1]), _tokens(cells[2], cells[3])
    for tokens, sign in ((highest, -1), (lowest, 1)):
        if any(sign * after < sign * before for before, after in pairwise(tokens.values)):
            raise DamageError("token_ranking is not in the order of its values")
    return named, TokenRanking(highest, lowest)


def _tokens(ids: object, values: object) -> RankedTokens:
    if not isinstance(ids, bytes) or not isinstance(values, bytes) or len(ids) % IDS.itemsize or len(ids) != len(values):
        raise DamageError("token_ranking has not as many values as tokens")
    if len(ids) > LONGEST * IDS.itemsize:
        raise DamageError("token_ranking has too many tokens")
    found = RankedTokens(tuple(np.frombuffer(ids, IDS).tolist()), tuple(np.frombuffer(values, VALUES).tolist()))
    if any(id < 0 for id in found.ids) or not np.isfinite(found.values).all():
        raise DamageError("token_ranking has a token below 0, or a value that is no number")
    return found


def examine_tokens(db: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with these tables."""
    if not has_sequences(db):
        return
    frequent = load_frequent(db)
    ranks = [rank for (rank,) in db.execute("SELECT rank FROM token ORDER BY rank")]
    if ranks != list(range(len(ranks))):
        yield f"token is not numbered from 0 to {len(ranks) - 1}"
    if any(after > before for before, after in pairwise(frequent.values())):
        yield "token is not in the order of its counts"
    layers = dict(map(rows.layer_of, db.execute(f"SELECT {rows.LAYER_COLUMNS} FROM layer")))
    query = f"SELECT layer, channel, {COLUMNS} FROM token_ranking ORDER BY layer, channel, measure"
    for id, channel, *cells in db.execute(query):
        layer = layers.get(id)
        where = f"unit {layer.name if layer else id}:{channel}: its tokens by {cells[0]}"
        try:
            measure, ranking = to_ranking(*cells)
        except DamageError as error:
            yield f"{where}: {error}"
            continue
        if layer is None or not 0 <= channel < layer.channels:
            yield f"{where} are of no unit"
        elif measure != "next" and not {*ranking.highest.ids, *ranking.lowest.ids} <= frequent.keys():
            yield f"{where} are not among the frequent ones"
