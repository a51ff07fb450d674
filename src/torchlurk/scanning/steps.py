"""Steps of texts and series: which of a layer's positions count, and which are burn-in."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from torchlurk import compiled
from torchlurk.inputs.items import Batch, sent
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.records import Layer

MEASURED = 4096
"""Examples, evenly spread, that tell how many steps of an example count as a rule."""


class Counted(NamedTuple):
    """The steps of every example of a batch that count, half-open, and how many steps each has."""

    first: int
    last: int
    steps: int


class Seen(NamedTuple):
    """Of which steps a pass is: those that count, and of a text the place of each token among the frequent ones (`len` of them
    for all others). `brief` are examples of too few steps to be ranked by mean.
    """

    counted: Counted | None
    tokens: Int64[Tensor, "batch time"] | None = None
    brief: bool = False
    sent: dict[torch.device, Int64[Tensor, "batch time"]] | None = None
    """The tokens on devices, for all layers of a pass."""

    def tokens_on(self, device: torch.device) -> Int64[Tensor, "batch time"]:
        """The tokens there, in one transfer for all layers. There must be some."""
        assert self.tokens is not None
        if device.type == "cpu" or self.sent is None:
            return sent(self.tokens, device)
        if device not in self.sent:
            self.sent[device] = sent(self.tokens, device)
        return self.sent[device]

    def of(self, rows: slice) -> Seen:
        """The same of some examples of the batch."""
        return self if self.tokens is None else self._replace(tokens=self.tokens[rows], sent={})

    def ranks_means(self, layer: Layer) -> bool:
        """Whether the examples may be among the strongest by mean of a layer: brief ones only where its steps are its own."""
        return not self.brief or layer.layout != "sequence" or layer.apart


def least_for_means(source: Source, top: int) -> int:
    """How many steps of an example have to count for it to be ranked by mean: half of the median.

    The mean of a few steps is extreme by chance. 0 where examples have no steps, and where the rule would leave fewer than
    `top` of them. It follows from the data alone, so that all parts of a scan have the same.
    """
    examples = len(source.examples)
    if source.lengths is None or not examples:
        return 0
    steps = np.array([last - first for first, last in map(source.counted, spread(examples, MEASURED))])
    least = int(np.ceil(np.median(steps) / 2))
    return least if (steps >= least).sum() >= min(top, len(steps)) else 0


def least_padded(source: Source) -> tuple[int, int]:
    """One of the longest examples of texts or series, that with the least padding at its end, and where this begins."""
    assert source.lengths is not None
    longest = np.flatnonzero(source.lengths == source.lengths.max())[:MEASURED].tolist()
    chosen = max(longest, key=lambda index: source.counted(index)[1]) if isinstance(source, DatasetSource) else longest[0]
    return chosen, source.counted(chosen)[1] if isinstance(source, DatasetSource) else int(source.lengths[chosen])


def padded_examples(source: Source) -> str:
    """What to tell of the examples of a data set that end or begin in padding, of some spread over it; '' where none does."""
    if not isinstance(source, DatasetSource) or source.lengths is None:
        return ""
    lengths, looked_at = source.lengths, spread(len(source.examples), MEASURED)
    count = sum(int(lengths[index]) > last - first for index in looked_at for first, last in (source.counted(index),))
    return f"{count:,} of {len(looked_at):,} examples are padded; padding is read, and does not count" if count else ""


def step_kernels() -> ModuleType | None:
    """Sums over steps in one pass, where Numba is installed and may compile."""
    return compiled.module("torchlurk.scanning.step_kernels")


def counted_of(batch: Batch) -> Counted | None:
    """Those of a batch; None for pictures."""
    return None if batch.counted is None else Counted(*batch.counted, int(batch.values.shape[1]))


def extent_of(layer: Layer) -> int | None:
    """How many positions a map of a layer has; None where examples may differ in it."""
    return None if layer.layout == "sequence" else layer.positions


def counted_steps(
    layer: Layer, found: Float[Tensor, "batch channel *position"], counted: Counted | None
) -> Float[Tensor, "batch channel *counted"]:
    """The maps without burn-in."""
    if layer.layout != "sequence" or counted is None:
        return found
    first, last = counted_positions(counted, int(found.shape[2]))
    return found[..., first:last]


def first_counted(found: Float[Tensor, "batch channel *position"], counted: Counted | None) -> int:
    """The first position of a map of a layer with steps that counts."""
    return 0 if counted is None else counted_positions(counted, int(found.shape[2]))[0]


def positions_held(layer: Layer, positions: int, counted: Counted) -> int:
    """How many positions a map of a layer with steps would have with those that the model has left out: as many as steps where
    it has one for each that counts and goes on to the padding at the end no more. Its positions are then the first of these.
    """
    a_step_each = layer.stride is None or abs(layer.stride[1]) == 1
    cut = layer.layout == "sequence" and a_step_each and positions == counted.last < counted.steps and not counted.first
    return counted.steps if cut and layer.shape[0] >= positions else positions


def counted_positions(counted: Counted, positions: int) -> tuple[int, int]:
    """Those positions of a map that count, half-open, by the steps of its example that do: where a layer has fewer
    positions than steps (a stride), in proportion, and at least one.
    """
    first, last = (-(-step * positions // max(1, counted.steps)) for step in counted[:2])
    first = min(first, positions - 1)
    return first, max(last, first + 1)
