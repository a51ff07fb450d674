"""What the axes of a network's input are: examples, channels, steps."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

from torchlurk.errors import OptionError


@dataclass(frozen=True, slots=True)
class Axes:
    """Where an input has its examples (`batch`), its channels and its steps; None for what it does not have.

    Pictures are examples, channels, height, width and have no steps. `hint` is what helps where a model cannot run on such
    inputs.
    """

    batch: int
    channel: int | None
    steps: int | None
    hint: str

    @classmethod
    def of(cls, text: str) -> Axes:
        """The axes of a sequence, a letter each: b for examples, t for steps, c for channels. Raises `OptionError`."""
        if text not in SEQUENCES:
            raise OptionError(f"--input-axes is '{text}'", f"available: {', '.join(SEQUENCES)}")
        channel = text.index("c") if "c" in text else None
        return cls(
            text.index("b"),
            channel,
            text.index("t"),
            "check that the data is what the network expects, and --input-axes if it was given",
        )

    def batch_first(self, inputs: Shaped[Tensor, ...]) -> Shaped[Tensor, "batch ..."]:
        """Inputs with these axes as batch, time and channel; pictures as they are."""
        if self.steps is None:
            return inputs
        return inputs.permute([axis for axis in (self.batch, self.steps, self.channel) if axis is not None])


SEQUENCES = ("bt", "tb", "btc", "tbc", "bct")

TENSORS = Axes(0, 1, None, "give inputs of the shape that it expects")
"""Pictures that a program gives as they are."""

PICTURES = Axes(0, 1, None, "set the input size that it expects with --resize and --crop, and its channels with --mean")
