"""What every kind of input can do: pictures, text and series (docs/decisions/kinds-of-input.md)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from torchlurk.input_records import InputDescription, KindName, SeriesExample, TextExample
from torchlurk.inputs.items import Batch, Item
from torchlurk.records import Example

Shown = UInt8[np.ndarray, "height width shown"] | TextExample | SeriesExample
"""An example as people see it: a picture's pixels, a text's tokens, a series' channels."""

Inputs = Float[Tensor, "batch channel height width"] | Int64[Tensor, "batch time"] | Float[Tensor, "batch time channel"]
"""What a network gets, batch first, of whatever kind."""


@runtime_checkable
class Kind(Protocol):
    """What the examples of a source are; each source has its own instance."""

    @property
    def name(self) -> KindName:
        """The word for it."""

    @property
    def description(self) -> InputDescription:
        """What a study keeps of the inputs, so that they are understood without the data."""

    def inputs(self, batch: Batch, device: torch.device, dtype: torch.dtype) -> Inputs:
        """The batch as the network's input, batch first; token ids stay int64 whatever `dtype` is."""

    def shown(self, item: Item, example: Example) -> Shown:
        """The example as people see it; `item` is what its source read."""

    def neutral(self, like: Inputs) -> Inputs:
        """Inputs of the shape, type and device of `like` that say nothing.

        Every pixel the mean colour; every token `<pad>`, or index 0; every channel its mean, or 0.
        """
