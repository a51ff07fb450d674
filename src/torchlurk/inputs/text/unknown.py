"""How many tokens of a text the vocabulary does not have: many where tokenizer and vocabulary are not those of the model."""

from __future__ import annotations

import numpy as np
import torch

from torchlurk.errors import DataError
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.inputs.text.kind import Text
from torchlurk.inputs.text.vocabulary import UNKNOWN

LOOKED_AT = 256
"""Examples, spread over the data."""

MANY = 0.1
"""The share of tokens from which on it is said."""


def unknown_tokens(source: Source) -> str:
    """What to tell the user where many tokens stand for unknown ones; '' where few do, and where there is no vocabulary."""
    kind = source.kind
    if not isinstance(kind, Text) or kind.vocabulary is None:
        return ""
    vocabulary = kind.vocabulary
    stand_in = vocabulary.tokens[vocabulary.unknown]
    if isinstance(source, DatasetSource) and stand_in not in UNKNOWN:
        return ""
    unknown = total = 0
    for index in spread(len(source.examples), LOOKED_AT):
        try:
            item = source.read(index)
        except DataError:
            continue
        first, last = source.counted(index)
        places = np.flatnonzero(np.asarray(item.values)[first:last] == vocabulary.unknown) + first
        total += last - first
        if stand_in in UNKNOWN or not len(places):
            unknown += len(places)
        else:
            tokens = kind.show(index, torch.as_tensor(item.values)).tokens
            unknown += sum(tokens[place].lower() != stand_in.lower() for place in places)
    if not total or unknown / total < MANY:
        return ""
    given = repr(stand_in) if stand_in else f"index {vocabulary.unknown}"
    return (
        f"{100 * unknown / total:.0f} % of the tokens are not in the vocabulary, and are replaced by {given}: do the"
        " tokenizer, the vocabulary and lowercasing match those used in training?"
    )
