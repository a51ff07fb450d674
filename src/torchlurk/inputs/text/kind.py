"""Text as a kind of input: token ids, and tokens as they stand in their document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from torchlurk.input_records import InputAxes, InputDescription, Part, TextExample
from torchlurk.inputs.items import Batch, Item, sent
from torchlurk.inputs.text.vocabulary import Vocabulary
from torchlurk.records import Example


@dataclass(frozen=True, slots=True)
class Text:
    """Text of one source; see `Kind`.

    `show` gives example i as people see it, given its ids. `window` and `burn_in` are None where examples are whole texts.
    """

    vocabulary: Vocabulary | None
    show: Callable[[int, Int64[Tensor, " time"]], TextExample]
    window: int | None = None
    burn_in: int | None = None
    axes: InputAxes | None = None
    example: Part = ""

    @property
    def name(self) -> Literal["text"]:
        """See `Kind`."""
        return "text"

    @property
    def description(self) -> InputDescription:
        """See `Kind`."""
        known = self.vocabulary
        return InputDescription(
            kind="text",
            dtype="int64",
            vocabulary_size=len(known) if known else None,
            vocabulary=known.tokens if known else None,
            window=self.window,
            burn_in=self.burn_in,
            axes=self.axes,
            example=self.example,
        )

    def inputs(self, batch: Batch, device: torch.device, dtype: torch.dtype) -> Int64[Tensor, "batch time"]:
        """See `Kind`."""
        return sent(batch.values, device)

    def shown(self, item: Item, example: Example) -> TextExample:
        """See `Kind`."""
        return self.show(example.index, torch.as_tensor(item.values))

    def neutral(self, like: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        """See `Kind`."""
        return torch.full_like(like, self.vocabulary.padding if self.vocabulary else 0)
