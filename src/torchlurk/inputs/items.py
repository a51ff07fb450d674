"""One example as a source reads it, and several of them as a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8
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
    """What reading one example gives: its values (a picture's resized and cropped), and its class, None where it has none."""

    values: Values
    class_index: int | None


def same(one: Item, other: Item) -> bool:
    """Whether two items are equal in every value (a NaN equals a NaN)."""
    values = np.asarray(one.values), np.asarray(other.values)
    alike = values[0].dtype == values[1].dtype and np.array_equal(*values, equal_nan=values[0].dtype.kind == "f")
    return alike and one.class_index == other.class_index


@dataclass(frozen=True, slots=True)
class Batch:
    """Some examples, in the order in which they were asked for; -1 is the class of one that has none.

    `values` are pictures before normalization or as the network takes them, token ids, or series. `skipped` are those
    that could not be read, each with its reason; all of a batch may be, then its arrays have length 0. `counted` is the
    half-open range of steps that count, the same for all examples of the batch; None for pictures.
    """

    examples: Int64[np.ndarray, " batch"]
    classes: Int64[np.ndarray, " batch"]
    values: BatchValues
    skipped: tuple[tuple[int, str], ...] = ()
    counted: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.examples)
