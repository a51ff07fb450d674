"""Network Dissection: which unit picks out which part, where it is known what each pixel shows.

Bau, Zhou, Khosla, Oliva, Torralba 2017 (arXiv 1704.05796), section 2.2. A unit's map is enlarged to the size of the
masks and cut at the unit's threshold T with P(activation > T) = 0.005; its score for a part is the intersection of
what is left with the part's mask over their union, both counted over the whole data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn

from torchlurk.errors import DataError, ModelError, OptionError
from torchlurk.inputs.feeding import feed, inputs_of
from torchlurk.inputs.items import Batch
from torchlurk.inputs.source import Source
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.modules import device_of
from torchlurk.models.taps.reading import maps, reading, rows_of
from torchlurk.records import Layer
from torchlurk.scanning.overlaps import Grid, Levels, Overlaps

SHARE = 0.005
"""How often an activation is above the threshold of its unit (section 2.2)."""
DETECTS = 0.04
"""A unit whose best IoU is above this counts as a detector (section 3)."""
BATCH_SIZE = 32


class MaskedSource(Source, Protocol):
    """A source that knows what each pixel shows. Masks cover the same frame as the inputs do, at any resolution."""

    @property
    def parts(self) -> Sequence[str]:
        """The names of all parts."""

    def masks(self, index: int) -> Mapping[str, Bool[np.ndarray, "height width"]]:
        """Where the parts that can be seen in example `index` are: at least one; all masks have one size."""


@dataclass(frozen=True, slots=True, eq=False)
class Dissection:
    """How well each unit of a layer picks out each part: `iou` is 0..1, and 0 for a part that is nowhere."""

    layer: str
    parts: tuple[str, ...]
    thresholds: Float32[np.ndarray, " unit"]
    iou: Float64[np.ndarray, "unit part"]

    def best(self) -> list[tuple[str, float]]:
        """For each unit the part with the highest IoU, and that IoU; equal ones go to the part named first."""
        return [(self.parts[part], float(row[part])) for row, part in zip(self.iou, self.iou.argmax(1), strict=True)]

    def detectors(self, least: float = DETECTS) -> Int64[np.ndarray, " found"]:
        """The units whose best IoU is above `least`, best first; equal ones in the order of their channels."""
        best = self.iou.max(1)
        order = np.argsort(-best, kind="stable")
        found: np.ndarray = order[best[order] > least].astype(np.int64)
        return found


def dissect(
    network: nn.Module,
    layers: Sequence[Layer],
    source: MaskedSource,
    *,
    share: float = SHARE,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
) -> dict[str, Dissection]:
    """Scores every unit of the spatial `layers` against every part of the source; by layer name.

    Two passes over the data: thresholds, then overlaps. Examples that cannot be read count in neither. Memory does
    not grow with the data: half a MiB a unit, and a batch. The network runs on the device it is on and is left as
    found. Raises `OptionError` for a share outside 0..1, `ModelError` for a layer without maps or an activation that
    is not a number, `DataError` where no example can be read.
    """
    if not 0 < share < 1:
        raise OptionError(f"the share of activations above the threshold is {share}", "give one between 0 and 1")
    for layer in layers:
        if layer.layout != "spatial":
            raise ModelError(f"layer '{layer.name}' has no maps, its layout is {layer.layout}", "choose spatial layers")
    levels, seen = {layer.name: Levels(layer.channels) for layer in layers}, 0
    batch_size = batch_size if all(layer.together for layer in layers) else 1

    def count(layer: Layer, activation: Tensor) -> None:
        _refuse_part(layer, activation, seen)
        levels[layer.name].add(maps(layer, activation))

    first: Tensor | None = None
    with as_found(network), torch.inference_mode(), reading(network, layers, count):
        for _, inputs in _batches(network, source, batch_size, workers):
            seen = len(inputs)
            first = inputs[:1] if first is None else first
            network(inputs)
    if first is None:
        raise DataError("no example of the data can be read", "give data that can be read")
    overlaps = _empty_overlaps(network, layers, first, levels, share, len(source.parts))

    def compare(layer: Layer, activation: Tensor) -> None:
        overlaps[layer.name].add(maps(layer, activation), masks)

    with as_found(network), torch.inference_mode(), reading(network, layers, compare):
        for batch, inputs in _batches(network, source, batch_size, workers):
            masks = _masks(source, batch.examples).to(inputs.device)
            network(inputs)
    parts = tuple(source.parts)
    return {name: Dissection(name, parts, one.thresholds.numpy(), one.iou()) for name, one in overlaps.items()}


def _refuse_part(layer: Layer, activation: Tensor, examples: int) -> None:
    """Raises `ModelError` where a layer does not see all examples of a batch at once."""
    if rows_of(layer, activation) != examples:
        raise ModelError(
            f"layer '{layer.name}' gave {tuple(activation.shape)} for {examples} examples at once", "set batch_size to 1"
        )


def _empty_overlaps(
    network: nn.Module, layers: Sequence[Layer], inputs: Tensor, levels: Mapping[str, Levels], share: float, parts: int
) -> dict[str, Overlaps]:
    fields, side = receptive_fields(network, inputs, layers), (inputs.shape[2], inputs.shape[3])
    return {
        layer.name: Overlaps(levels[layer.name].thresholds(share), parts, Grid.of(fields[layer.name], side)) for layer in layers
    }


def _batches(
    network: nn.Module, source: Source, batch_size: int, workers: int | None
) -> Iterator[tuple[Batch, Float[Tensor, "batch channel height width"]]]:
    """The source's examples as the network's inputs, on its device."""
    device = device_of(network)
    for batch in feed(source, range(len(source.examples)), batch_size, workers):
        if len(batch):
            yield batch, inputs_of(batch, source.preprocessing, device, torch.float32)


def _masks(source: MaskedSource, examples: Int64[np.ndarray, " example"]) -> Bool[Tensor, "example part height width"]:
    seen = [source.masks(int(index)) for index in examples]
    sizes = {mask.shape for masks in seen for mask in masks.values()}
    if len(sizes) != 1:
        raise DataError(f"the masks of examples {examples[0]} to {examples[-1]} have {len(sizes)} sizes", "give all one size")
    nowhere = np.zeros(sizes.pop(), bool)
    return torch.from_numpy(np.array([[masks.get(part, nowhere) for part in source.parts] for masks in seen]))
