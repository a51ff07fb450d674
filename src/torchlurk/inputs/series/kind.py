"""Series as a kind of input: channels of numbers over time, given to the network as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.input_records import InputAxes, InputDescription, SeriesExample
from torchlurk.inputs.items import Batch, Item, sent
from torchlurk.records import Example


@dataclass(frozen=True, slots=True)
class Series:
    """Series of one source; see `Kind`.

    `channels` are their names, '' where unknown, and empty where even their number is. `means` gives the mean of each channel
    over the data, None where it is not known. `counted` gives the steps of example i that count; without it all do.
    """

    channels: tuple[str, ...] = ()
    means: Callable[[], tuple[float, ...]] | None = None
    axes: InputAxes | None = None
    counted: Callable[[int], tuple[int, int]] | None = None

    @property
    def name(self) -> Literal["series"]:
        """See `Kind`."""
        return "series"

    @property
    def description(self) -> InputDescription:
        """See `Kind`."""
        return InputDescription("series", "float32", axes=self.axes, channels=self.channels)

    def inputs(self, batch: Batch, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "batch time channel"]:
        """See `Kind`."""
        return sent(batch.values, device).to(dtype)

    def shown(self, item: Item, example: Example) -> SeriesExample:
        """See `Kind`."""
        values = torch.as_tensor(item.values).numpy().copy()
        counted = (0, len(values)) if self.counted is None else self.counted(example.index)
        return SeriesExample(values, self.channels or ("",) * values.shape[1], counted)

    def neutral(self, like: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch time channel"]:
        """See `Kind`."""
        if self.means is None:
            return torch.zeros_like(like)
        return torch.tensor(self.means(), dtype=like.dtype, device=like.device).expand_as(like).clone()
