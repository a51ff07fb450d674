"""What a network's passes deliver, taken into the parts of layers: of each example once.

A layer need not see all examples of a batch at once. A forward may run its batch in chunks, or route each example to one of
several layers. What arrives is taken if it holds the units of every example of the pass; which examples a smaller tensor
holds cannot be known from it. They are known when each example has a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from torchlurk.errors import ModelError
from torchlurk.models.taps.reading import maps, rows_of
from torchlurk.records import Layer
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.kept_steps import StepsOfLayer
from torchlurk.scanning.over_time import OverTime
from torchlurk.scanning.steps import Seen, counted_steps, first_counted

NOTHING_SAID = Seen(None)


@runtime_checkable
class Takes(Protocol):
    """Takes the maps of one layer for some examples; with a ceiling it clamps them from zero to it, in place. Without `means`
    the examples are not ranked by mean.
    """

    def add(
        self,
        maps: Float[Tensor, "batch unit *positions"],
        arrivals: Arrivals,
        pool: Executor | None,
        ceiling: float | None = None,
        means: bool = True,
    ) -> None: ...


class Deliveries:
    """Given to `reading` as both `deliver` and `rectify`; `passes` says of which examples each pass is.

    `over_time` is what is counted, by layer, of all steps of texts and series beside the parts, `kept` are the layers of which
    steps are kept.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parts: Mapping[str, Takes],
        pool: Executor | None,
        over_time: Mapping[str, Mapping[str, OverTime]] | None = None,
        kept: Mapping[str, StepsOfLayer] | None = None,
    ) -> None:
        self._layers, self._parts, self._pool = layers, parts, pool
        self._over_time, self._kept = over_time or {}, kept or {}
        self._arrivals = Arrivals(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._seen = NOTHING_SAID
        self._awaited: set[str] = set()

    def passes(
        self,
        examples: Int64[np.ndarray, " batch"],
        classes: Int64[np.ndarray, " batch"],
        seen: Seen = NOTHING_SAID,
    ) -> Iterator[slice]:
        """The rows of a batch to run together, one pass after the other: all of it, and then, where a layer did not get all of
        it at once, each example by itself. Of texts and series only the steps that count, as `seen` says, enter the parts.
        """
        self._seen = seen
        self._awaited = {layer.name for layer in self._layers}
        self._arrivals = arrivals = Arrivals(examples, classes)
        yield slice(None)
        lacking = frozenset(self._awaited)
        for row in range(len(examples) if lacking and len(examples) > 1 else 0):
            self._awaited = set(lacking)
            one = slice(row, row + 1)
            self._arrivals = arrivals.of(one)
            self._seen = seen.of(row)
            yield one

    @property
    def complete(self) -> bool:
        """Whether every layer got all examples of the last pass at once."""
        return not self._awaited

    def __call__(self, layer: Layer, tensor: Tensor, ceiling: float | None = None) -> None:
        """Takes what arrives; with a ceiling it is clamped from zero to it, in place, whether it is taken or not."""
        count = len(self._arrivals)
        if ceiling is not None and layer.backward:  # its maps are a copy
            tensor.clamp_(0, ceiling)
            ceiling = None
        if layer.name in self._awaited and rows_of(layer, tensor, count) == count:
            found = maps(layer, tensor, count)
            counted = counted_steps(layer, found, self._seen.counted)
            means = self._seen.ranks_means(layer)
            self._parts[layer.name].add(counted, self._arrivals, self._pool, ceiling, means)
            for one in self._over_time.get(layer.name, {}).values():
                one.add(layer, found, self._seen)
            if layer.name in self._kept:
                self._kept[layer.name].add(counted, self._arrivals.examples, first_counted(found, self._seen.counted))
            self._awaited.discard(layer.name)
            return
        if ceiling is not None:
            tensor.clamp_(0, ceiling)
        if layer.name in self._awaited and len(self._arrivals) == 1 and tensor.numel():
            raise ModelError(
                f"layer '{layer.name}' gave {tuple(tensor.shape)} for example {self._arrivals.examples[0]}, where it has"
                f" {layer.channels} channels of {'×'.join(map(str, layer.shape)) or 'one number'} for others",
                "the size of a layer's output must not depend on the example: exclude the layer with --layers",
            )
