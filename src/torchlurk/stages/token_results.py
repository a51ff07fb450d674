"""What a scan of text says of units and tokens, as it is written to the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int64
from torch import nn

from torchlurk.errors import DataError
from torchlurk.input_records import InputDescription
from torchlurk.inputs.source import Source, Windowed
from torchlurk.inputs.text.frequencies import FrequentTokens
from torchlurk.models.survey.layers import Survey
from torchlurk.records import Layer
from torchlurk.scanning.over_time import OverTime
from torchlurk.scanning.token_rankings import MOST, rank_tokens
from torchlurk.scanning.token_responses import TokenSums
from torchlurk.store.kept_tokens import store_tokens
from torchlurk.store.token_rankings import load_frequent, store_frequent, store_rankings
from torchlurk.store.writing import Writer

FEWEST = 5
"""A token that stands more rarely has a mean of chance: it is named only where hardly any tokens stand as often."""

NOT_LINEAR = (
    "what units predict next is not shown: the scores of the next token are not a linear function of the last layer's states,"
    " so units have no weights of their own in them"
)


def keep_tokens(writer: Writer, source: Source, tokens: FrequentTokens) -> None:
    """Writes all tokens of a text, and which are frequent."""
    with writer.writing() as db:
        store_frequent(db, tokens.ids.tolist(), tokens.counts.tolist())
        store_tokens(db, _all_tokens(source))


def _all_tokens(source: Source) -> Iterator[tuple[int, int, Int64[np.ndarray, " _"]]]:
    """Of each example its index, how many of its tokens the one before ends with, and all of them; of an example that cannot
    be read nothing.
    """
    for index in range(len(source.examples)):
        try:
            ids = np.asarray(source.read(index).values)
        except DataError:
            continue
        yield index, source.repeated(index) if isinstance(source, Windowed) else 0, ids


def keep_next_tokens(
    writer: Writer, network: nn.Module, found: Survey, layers: Sequence[Layer], inputs: InputDescription
) -> None:
    """Writes which tokens the units before a linear head make likelier and less likely as the next one; where the network gives
    a score for each token, but not in that way, a note says so.
    """
    sizes = outputs_of_tokens(network, inputs.vocabulary_size)
    weights = {name: one for name, one in found.head.items() if one.shape[0] in sizes}
    if not weights and sizes.intersection(found.graph.nodes[-1].shape):
        writer.add_note("next", NOT_LINEAR)
    for id, layer in enumerate(layers):
        if layer.name in weights:
            of_units = weights[layer.name].float().cpu().numpy().T
            with writer.writing() as db:
                store_rankings(db, id, "next", rank_tokens(of_units, np.arange(of_units.shape[1])))


def outputs_of_tokens(network: nn.Module, vocabulary: int | None) -> set[int]:
    """How many outputs stand for the tokens of a vocabulary of that size, None where it is not known.

    A network may have more rows than its tokenizer has tokens. One that reads letters and writes phonemes has a vocabulary of
    each, and its outputs are not of the first: embeddings of another size count only where none is of the vocabulary's.
    """
    embeddings = {one.num_embeddings for one in network.modules() if isinstance(one, nn.Embedding)}
    if vocabulary is None:
        return embeddings if len(embeddings) == 1 else set()
    return {vocabulary} | (set() if vocabulary in embeddings else {one for one in embeddings if one > vocabulary})


def keep_responses(writer: Writer, over_time: Mapping[str, Mapping[str, OverTime]], layers: Sequence[Layer]) -> None:
    """Writes to which tokens units respond; only where the study says which are frequent."""
    with writer.writing() as db:
        frequent = load_frequent(db)
        ids, enough = np.array(list(frequent), np.int64), np.array(list(frequent.values())) >= FEWEST
        some = enough.sum() >= 2 * MOST
        for id, layer in enumerate(layers):
            sums = over_time.get(layer.name, {}).get("tokens")
            means = sums.finish() if isinstance(sums, TokenSums) else None
            if means is not None:
                state, change = (np.where(enough, one, np.nan) if some else one for one in (means.state, means.change))
                store_rankings(db, id, "state", rank_tokens(state, ids))
                store_rankings(db, id, "change", rank_tokens(change, ids))
