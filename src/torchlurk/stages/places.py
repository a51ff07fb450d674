"""Where an exemplar looked: boxes in a picture, runs of steps in a text or series, which may each have their own length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int32, Int64, Shaped
from torch import nn

from torchlurk.errors import ModelError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.models.survey.axes import PICTURES, Axes
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.arguments import accompanied, companions_of
from torchlurk.models.taps.modules import dtype_of
from torchlurk.records import Layer
from torchlurk.scanning.part import Places
from torchlurk.scanning.steps import Counted, counted_positions

BY_KIND = {"pictures": PICTURES, "text": Axes.of("bt"), "series": Axes.of("btc")}
"""The axes of the inputs that a kind makes."""


Shapes = tuple[tuple[int, ...], ...]
"""Of an example: its steps, of a data set's also where its padding begins, and the shapes of its further inputs."""


class PlacesOfLayers:
    """By layer, from units, positions and examples to positions in the whole map, and boxes or reaches (of height one).

    The network is traced once for pictures, and once for each length of text or series that is asked for, with padding and
    without, with each shape of further inputs.
    """

    def __init__(
        self,
        network: nn.Module,
        source: Source,
        layers: Sequence[Layer],
        example: Shaped[torch.Tensor, "1 ..."],
        device: torch.device,
    ) -> None:
        self._network, self._source, self._layers, self._device = network, source, layers, device
        self._dtype = dtype_of(network)
        self._axes = BY_KIND[source.kind.name]
        self._accompanied = bool(companions_of(network))
        self._known_shapes: dict[int, Shapes] = {}
        self._by_shapes: dict[Shapes, Mapping[str, ReceptiveField]] = {}
        if source.kind.name == "pictures":
            self._whole = receptive_fields(network, example, layers)

    def of(self, layer: Layer) -> Places:
        """The places of one layer."""
        if self._source.kind.name == "pictures":
            field = self._whole[layer.name]
            return lambda units, positions, examples: (positions, field.boxes(units, positions))
        return lambda units, positions, examples: self._steps(layer, units, positions, examples)

    def _steps(
        self,
        layer: Layer,
        units: Int64[np.ndarray, " n"],
        positions: Int32[np.ndarray, " n"],
        examples: Int64[np.ndarray, " n"],
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, "n 4"]]:
        placed, boxes = positions.copy(), np.full((len(positions), 4), -1, np.int32)
        distinct, inverse = np.unique(examples, return_inverse=True)
        kinds: dict[Shapes, list[int]] = {}
        for at, example in enumerate(distinct.tolist()):
            kinds.setdefault(self._shapes(example), []).append(at)
        first = np.zeros(len(distinct), np.int32)
        for shapes, those in kinds.items():
            field = self._fields(shapes, int(distinct[those[0]])).get(layer.name)
            if field is None:
                continue
            if layer.layout == "sequence":
                for at in those:
                    counted = Counted(*self._source.counted(int(distinct[at])), shapes[0][0])
                    first[at] = counted_positions(counted, field.shape[0])[0]
            chosen = np.isin(inverse, those)
            placed[chosen] = positions[chosen] + first[inverse[chosen]]
            if placed[chosen].max() >= math.prod(field.shape):
                raise ModelError(
                    f"layer '{layer.name}' has {math.prod(field.shape)} steps on one example of {shapes[0][0]}, and more on"
                    " another, so they cannot be matched to its own",
                    "give the examples without padding, each of its own length, or their lengths beside them",
                )
            boxes[chosen] = field.boxes(units[chosen], placed[chosen])
        return placed, boxes

    def _shapes(self, example: int) -> Shapes:
        """The steps of an example, and the shapes of its further inputs, which only reading tells."""
        lengths = self._source.lengths
        ends = self._source.counted(example)[1:] if isinstance(self._source, DatasetSource) else ()
        if lengths is not None and not self._accompanied:
            return ((int(lengths[example]),), ends)
        if example not in self._known_shapes:
            item = self._source.read(example)
            shapes = (tuple(one.shape) for one in item.companions.values())
            self._known_shapes[example] = ((len(item.values),), ends, *shapes)
        return self._known_shapes[example]

    def _fields(self, shapes: Shapes, example: int) -> Mapping[str, ReceptiveField]:
        if shapes not in self._by_shapes:
            (batch,) = feed(self._source, [example], 1, 1)
            inputs = self._source.kind.inputs(batch, self._device, self._dtype)
            with accompanied(self._network, batch.companion_inputs(self._device, self._dtype)):
                self._by_shapes[shapes] = receptive_fields(self._network, inputs, self._layers, self._axes, unreached=True)
        return self._by_shapes[shapes]
