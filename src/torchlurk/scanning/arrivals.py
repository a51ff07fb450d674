"""Which examples the maps of a pass are of, for all layers: here, and on the device where the maps are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from torchlurk.inputs.items import sent
from torchlurk.scanning.statistics import Sample


class There(NamedTuple):
    """On a device: the examples of a pass, those of them that have a class and those in the sample, as rows of the maps."""

    examples: Int64[Tensor, " batch"]
    with_class: Int64[Tensor, " known"]
    classes: Int64[Tensor, " known"]
    sampled: Int64[Tensor, " drawn"]
    slots: Int64[Tensor, " drawn"]


class Arrivals:
    """The examples of a pass, by row of the maps, and the class of each, -1 for one that has none.

    Raises `ValueError` where there is not one class for each example.
    """

    def __init__(self, examples: Int64[np.ndarray, " batch"], classes: Int64[np.ndarray, " batch"]) -> None:
        if len(examples) != len(classes):
            raise ValueError(f"{len(classes)} classes came for {len(examples)} examples")
        self.examples, self.classes = examples, classes
        self._there: dict[torch.device, tuple[Int64[np.ndarray, " example"], There]] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def of(self, rows: slice) -> Arrivals:
        """Some of them."""
        return Arrivals(self.examples[rows], self.classes[rows])

    def on(self, device: torch.device, sample: Sample) -> There:
        """All that a part needs of them there, in one transfer for all layers, which have the same sample."""
        known = self._there.get(device)
        if known is None or not (known[0] is sample.examples or np.array_equal(known[0], sample.examples)):
            known = self._there[device] = sample.examples, self._sent(device, sample)
        return known[1]

    def _sent(self, device: torch.device, sample: Sample) -> There:
        slots = sample.slots(self.examples)
        with_class, sampled = np.flatnonzero(self.classes >= 0), np.flatnonzero(slots >= 0)
        parts = self.examples, with_class, self.classes[with_class], sampled, slots[sampled]
        together = torch.from_numpy(np.concatenate(parts).astype(np.int64, copy=False))
        return There(*torch.split(sent(together, device), [len(part) for part in parts]))
