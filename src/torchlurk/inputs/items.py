"""One example as a source reads it, and several of them as a batch.

A network may take several inputs. One of them is shown, and positions, boxes and attributions are in it; the others, its
companions, travel with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch import Tensor

Values = (
    UInt8[np.ndarray, "height width channel"]
    | Float32[Tensor, "channel height width"]
    | Int64[Tensor, " time"]
    | Float32[Tensor, "time channel"]
)
"""One example: a picture before normalization (uint8) or as the network takes it (float32), token ids, or a series."""

BatchValues = (
    UInt8[Tensor, "batch height width channel"]
    | Float32[Tensor, "batch channel height width"]
    | Int64[Tensor, "batch time"]
    | Float32[Tensor, "batch time channel"]
)
"""Examples of one shape, stacked."""


@dataclass(frozen=True, slots=True)
class Item:
    """What reading one example gives: its values (a picture's resized and cropped), and its class, None where it has none.

    `companions` are the further inputs, by the parameters of the network's forward that they go to; `parameter` is the one
    that the values go to, '' for the first.
    """

    values: Values
    class_index: int | None
    companions: Mapping[str, Shaped[Tensor, ...]] = field(default_factory=dict)
    parameter: str = ""


def same(one: Item, other: Item) -> bool:
    """Whether two items are equal in every value (a NaN equals a NaN)."""
    alike = one.class_index == other.class_index and one.companions.keys() == other.companions.keys()
    pairs = [(one.values, other.values), *((one.companions[name], other.companions.get(name)) for name in one.companions)]
    return alike and all(_equal(np.asarray(first), np.asarray(second)) for first, second in pairs)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def sent(tensor: Shaped[Tensor, "*axes"], device: torch.device) -> Shaped[Tensor, "*axes"]:
    """The tensor on the device; its journey is not waited for, which a GPU allows from pinned memory."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, in the order in which they were asked for; -1 is the class of one that has none.

    `values` are pictures before normalization or as the network takes them, token ids, or series. `skipped` are those
    that could not be read, each with its reason; all of a batch may be, then its arrays have length 0. `counted` is the
    half-open range of steps that count, the same for all examples of the batch; None for pictures. `companions` and
    `parameter` are those of its items.
    """

    examples: Int64[np.ndarray, " batch"]
    classes: Int64[np.ndarray, " batch"]
    values: BatchValues
    skipped: tuple[tuple[int, str], ...] = ()
    counted: tuple[int, int] | None = None
    companions: Mapping[str, Shaped[Tensor, "batch ..."]] = field(default_factory=dict)
    parameter: str = ""

    def __len__(self) -> int:
        return len(self.examples)

    def companion_inputs(self, device: torch.device, dtype: torch.dtype) -> dict[str, Shaped[Tensor, "batch ..."]]:
        """The further inputs as the network takes them; whole numbers and truth values stay what they are."""
        return {
            name: sent(one, device).to(dtype) if one.is_floating_point() else sent(one, device)
            for name, one in self.companions.items()
        }
