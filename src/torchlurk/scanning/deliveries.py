"""What a network's passes deliver, taken into the parts of layers: of each example once.

A layer need not see all examples of a batch at once. A forward may run its batch in chunks, or route each example to one of
several layers. What arrives is taken if it holds the units of every example of the pass; which examples a smaller tensor
holds cannot be known from it. They are known when each example has a pass of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from torchlurk.errors import ModelError, is_out_of_memory
from torchlurk.models.taps.reading import maps, rows_of
from torchlurk.records import Layer
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.kept_steps import StepsOfLayer
from torchlurk.scanning.over_time import OverTime
from torchlurk.scanning.room import Room, undivided
from torchlurk.scanning.steps import Seen, counted_steps, first_counted, positions_held

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


def _cut(start: int, stop: int, most: int) -> list[slice]:
    """The rows in runs of at most so many; one run of none where there are none."""
    return [slice(first, min(first + most, stop)) for first in range(start, stop, most)] or [slice(start, stop)]


class Deliveries:
    """Given to `reading` as both `deliver` and `rectify`; `passes` says of which examples each pass is.

    `over_time` is what is counted, by layer, of all steps of texts and series beside the parts, `kept` are the layers of which
    steps are kept. `room` is what is known of the device's memory; `again` says that the examples of a pass have all been in
    one before. With `every_step` the parts get the steps that do not count, too.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parts: Mapping[str, Takes],
        pool: Executor | None,
        over_time: Mapping[str, Mapping[str, OverTime]] | None = None,
        kept: Mapping[str, StepsOfLayer] | None = None,
        room: Room | None = None,
        *,
        every_step: bool = False,
    ) -> None:
        self._layers, self._parts, self._pool = layers, parts, pool
        self._over_time, self._kept = over_time or {}, kept or {}
        self._arrivals = Arrivals(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._seen = NOTHING_SAID
        self._awaited: set[str] = set()
        self._room, self._ran_out = room or Room(), False
        self.again, self._every_step = False, every_step

    def passes(
        self,
        examples: Int64[np.ndarray, " batch"],
        classes: Int64[np.ndarray, " batch"],
        seen: Seen = NOTHING_SAID,
    ) -> Iterator[slice]:
        """The rows of a batch to run together, one pass after the other: all of it, and then, where a layer did not get all of
        it at once, each example by itself. Of texts and series only the steps that count, as `seen` says, enter the parts.

        A pass that ran out of memory, as `within_memory` found, is followed by two of half as many, for the layers that have
        not got their maps.
        """
        arrivals, every = Arrivals(examples, classes), frozenset(layer.name for layer in self._layers)
        count = len(examples)
        waiting = deque((rows, every, False) for rows in _cut(0, count, self._room.most or max(1, count)))
        while waiting:
            rows, awaited, self.again = waiting.popleft()
            whole = len(range(*rows.indices(count))) == count
            self._awaited, self._ran_out = set(awaited), False
            self._arrivals, self._seen = (arrivals, seen) if whole else (arrivals.of(rows), seen.of(rows))
            yield slice(None) if whole else rows
            lacking, tried = frozenset(self._awaited), len(self._arrivals)
            if self._ran_out:
                self._room.halve(tried)
                halves = _cut(rows.start, rows.stop, self._room.most or 1)
                waiting.extendleft(reversed([(half, lacking, self.again) for half in halves]))
            elif lacking and tried > 1:
                waiting.extendleft((slice(row, row + 1), lacking, True) for row in reversed(range(rows.start, rows.stop)))

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """A pass runs within it: where the device runs out of memory, fewer examples pass at a time."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._ran_out = True

    @property
    def complete(self) -> bool:
        """Whether every layer got all examples of the last pass at once."""
        return not self._awaited

    def _held(self, layer: Layer, found: Tensor) -> Float[Tensor, "batch unit *positions"]:
        """The maps with zeros for the steps that the model has left out as padding, which do not count."""
        if self._seen.counted is None or layer.layout != "sequence":
            return found
        lacking = positions_held(layer, int(found.shape[2]), self._seen.counted) - int(found.shape[2])
        return torch.nn.functional.pad(found, (0, lacking)) if lacking else found

    def __call__(self, layer: Layer, tensor: Tensor, ceiling: float | None = None) -> None:
        """Takes what arrives; with a ceiling it is clamped from zero to it, in place, whether it is taken or not."""
        count = len(self._arrivals)
        if ceiling is not None and layer.backward:  # its maps are a copy
            tensor.clamp_(0, ceiling)
            ceiling = None
        if layer.name in self._awaited and rows_of(layer, tensor, count) == count:
            found = self._held(layer, maps(layer, tensor, count))
            counted = found if self._every_step else counted_steps(layer, found, self._seen.counted)
            means = self._seen.ranks_means(layer)
            self._parts[layer.name].add(counted, self._arrivals, self._pool, ceiling, means)
            with undivided(f"counting over the steps of layer '{layer.name}'"):
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
