"""What a unit has to do with tokens, named as people read them, and as documents tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torchlurk.input_records import InputDescription
from torchlurk.records import UnitRecord
from torchlurk.resources.documents import number
from torchlurk.store.reading import Reader
from torchlurk.store.token_rankings import load_frequent, load_rankings
from torchlurk.time_records import TOKEN_MEASURES, NamedRanking, NamedToken, RankedTokens, TokenMeasure

UnitTokens = Mapping[TokenMeasure, NamedRanking]


def tokens_of(reader: Reader, record: UnitRecord) -> UnitTokens:
    """By each measure that the unit has, its tokens; none in a study of pictures or series.

    Scores of the next token are told at the unit's typical value, its root mean square: how much they rise, in logits, when
    the unit rises by that.
    """
    with reader.reading() as db:
        rankings, counts = load_rankings(db, record.layer.name, record.channel), load_frequent(db)
        inputs = reader.inputs()
    typical = math.hypot(record.statistics["mean"], record.statistics["std"])
    found = {}
    for measure, ranking in rankings.items():
        by = typical if measure == "next" else 1.0
        known = {} if measure == "next" else counts
        highest, lowest = (tuple(_named(one, inputs, known, by)) for one in (ranking.highest, ranking.lowest))
        found[measure] = NamedRanking(highest, lowest, typical if measure == "next" else None)
    return found


def _named(tokens: RankedTokens, inputs: InputDescription, counts: Mapping[int, int], by: float) -> tuple[NamedToken, ...]:
    names = inputs.vocabulary or ()
    return tuple(
        NamedToken(id, (names[id] if id < len(names) else "") or f"#{id}", value * by, counts.get(id))
        for id, value in zip(tokens.ids, tokens.values, strict=True)
    )


def tokens_document(reader: Reader, record: UnitRecord) -> dict[str, Any]:
    """`tokens`, in a study of text: by measure those with the highest and the lowest values; null for a measure that the unit
    does not have.
    """
    if reader.inputs().kind != "text":
        return {}
    tokens = tokens_of(reader, record)
    return {"tokens": {one: _ranking(tokens[one]) if one in tokens else None for one in TOKEN_MEASURES}}


def _ranking(ranking: NamedRanking) -> dict[str, Any]:
    at = {} if ranking.at is None else {"at": number(ranking.at)}
    return at | {"highest": [_entry(one) for one in ranking.highest], "lowest": [_entry(one) for one in ranking.lowest]}


def _entry(token: NamedToken) -> dict[str, Any]:
    count = {} if token.count is None else {"count": token.count}
    return {"id": token.id, "token": token.token, "value": number(token.value)} | count
