"""Pictures as a kind of input: their preprocessing stands between the data and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from torchlurk.input_records import InputDescription
from torchlurk.inputs.items import Batch, Item, sent
from torchlurk.inputs.pictures.preprocessing import display, normalize
from torchlurk.records import Example, Preprocessing


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures that become inputs by `preprocessing`; see `Kind`.

    `colour` is the data's mean colour, in the 0..1 range, where it is known; otherwise `preprocessing.mean` stands for it.
    """

    preprocessing: Preprocessing
    colour: tuple[float, ...] | None = None

    @property
    def name(self) -> Literal["pictures"]:
        """See `Kind`."""
        return "pictures"

    @property
    def description(self) -> InputDescription:
        """See `Kind`."""
        return InputDescription(self.name, "float32")

    def inputs(self, batch: Batch, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "batch channel height width"]:
        """See `Kind`. Pictures travel as bytes and are normalized on the device, in float32."""
        values = sent(batch.values, device)
        return (normalize(values, self.preprocessing) if values.dtype == torch.uint8 else values).to(dtype)

    def shown(self, item: Item, example: Example) -> UInt8[np.ndarray, "height width shown"]:
        """See `Kind`."""
        pixels: UInt8[np.ndarray, "height width shown"] = display(torch.as_tensor(item.values)[None], self.preprocessing)[0]
        return pixels

    def neutral(self, like: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        """See `Kind`."""
        way = self.preprocessing
        colours = self.colour if self.colour is not None else way.mean
        values = [(colour - mean) / std for colour, mean, std in zip(colours, way.mean, way.std, strict=True)]
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1).expand_as(like).clone()
