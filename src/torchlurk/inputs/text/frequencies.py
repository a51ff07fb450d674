"""Which tokens are frequent in the data: those of which a scan tells what units do where they stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from torchlurk.errors import DataError
from torchlurk.inputs.source import Source
from torchlurk.inputs.text.source import TextSource

MOST_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class FrequentTokens:
    """The most frequent tokens of the data at the steps that count, most frequent first, equally frequent ones by id."""

    ids: Int64[np.ndarray, " token"]
    counts: Int64[np.ndarray, " token"]
    _places: Int64[Tensor, " id"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = torch.full((int(self.ids.max(initial=-1)) + 2,), len(self.ids))
        places[torch.from_numpy(self.ids)] = torch.arange(len(self.ids))
        object.__setattr__(self, "_places", places)

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        """The place of each token among the frequent ones; `len` of them for all others."""
        return self._places[tokens.cpu().clamp(max=len(self._places) - 1)]


def frequent_tokens(source: Source, most: int = MOST_TOKENS) -> FrequentTokens:
    """Those of a source of text; examples that cannot be read have none."""
    counts = source.token_counts() if isinstance(source, TextSource) else _counted_by_reading(source)
    order = np.lexsort((np.arange(len(counts)), -counts))[:most]
    ids = order[counts[order] > 0].astype(np.int64)
    return FrequentTokens(ids, counts[ids])


def _counted_by_reading(source: Source) -> Int64[np.ndarray, " id"]:
    counts = np.zeros(0, np.int64)
    for index in range(len(source.examples)):
        try:
            first, last = source.counted(index)
            found = np.bincount(np.asarray(source.read(index).values)[first:last])
        except DataError:
            continue
        if len(found) > len(counts):
            counts = np.concatenate([counts, np.zeros(len(found) - len(counts), np.int64)])
        counts[: len(found)] += found
    return counts
