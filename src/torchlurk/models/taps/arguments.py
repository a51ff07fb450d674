"""How a network is called on sequences: its own order of axes, lengths, masks, first states, constants.

Everywhere else inputs are batch first and the network takes them alone. Within `called_with` its forward takes such inputs
and is given what it wants beside them; it is left as found.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.input_records import InputAxes
from torchlurk.models.taps.forward_override import ForwardOverride

LENGTHS = frozenset({"lengths", "length", "lens", "seq_lengths", "seq_lens", "sequence_lengths", "input_lengths", "x_lengths"})
"""Parameters of a forward that are given the steps of each example, as an int64 tensor on the CPU."""

MASKS = frozenset({"attention_mask"})
"""Parameters that are given ones where an example has a step: int64 (batch, time)."""

STATES = frozenset({"hidden", "hx", "hidden_state", "state", "states", "h0", "h_0", "hc"})
"""Parameters that are given the states before the first step: the model's own `init_hidden(batch)`, or None."""

BATCH_FIRST: Mapping[InputAxes, tuple[int, ...]] = {
    "bt": (0, 1),
    "tb": (1, 0),
    "btc": (0, 1, 2),
    "tbc": (1, 0, 2),
    "bct": (0, 2, 1),
}
"""By the network's axes, how a batch-first input (batch, time[, channel]) is permuted for it."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a network is called with: its `axes` (None: as pictures are), which parameters of its forward get lengths, a mask
    and first states, and `constants`, which are the same for every example.
    """

    axes: InputAxes | None = None
    lengths: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, module: nn.Module, axes: InputAxes | None, constants: Mapping[str, Any]) -> Arguments:
        """Those of a network, by the names of the parameters of its forward.

        Raises `ModelError` for a parameter that has no default and is none of those known here, or a constant that the
        forward does not take.
        """
        first, *others = _parameters(module)
        names = {one.name for one in others}
        unknown = set(constants) - names - {first.name}
        keywords = any(one.kind is one.VAR_KEYWORD for one in others)
        if unknown and not keywords:
            raise ModelError(
                f"the forward of {type(module).__name__} has no parameter '{min(unknown)}'",
                f"available for constants: {', '.join(sorted(names)) or 'none'}",
            )
        asked = [one for one in others if one.name not in constants and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        required = [one.name for one in asked if one.default is one.empty]
        known = (LENGTHS | MASKS | STATES) if axes is not None else frozenset()
        if lacking := [name for name in required if name not in known]:
            raise ModelError(
                f"the forward of {type(module).__name__} needs {', '.join(lacking)} in addition to its input",
                "pass values that all examples share as constants={…}, or wrap the model in a module with one input",
            )
        given = {one.name for one in asked} if axes is not None else set()
        return cls(
            axes,
            tuple(sorted(given & LENGTHS)),
            tuple(sorted(given & MASKS)),
            tuple(sorted(set(required) & STATES)),
            dict(constants),
        )

    @property
    def plain(self) -> bool:
        """Whether the network takes inputs alone and as they are."""
        return not (self.constants or self.lengths or self.masks or self.states) and self.axes in (None, "bt", "btc")

    def arranged(self, inputs: Tensor) -> Tensor:
        """Inputs as the network has its axes."""
        return inputs if self.axes is None else inputs.permute(BATCH_FIRST[self.axes])

    def others(self, module: nn.Module, inputs: Tensor) -> dict[str, Any]:
        """What goes with so many inputs, by the names of the parameters."""
        batch, steps = inputs.shape[0], inputs.shape[1]
        found: dict[str, Any] = dict(self.constants)
        found |= {name: torch.full((batch,), steps, dtype=torch.int64) for name in self.lengths}
        found |= {name: torch.ones(batch, steps, dtype=torch.int64, device=inputs.device) for name in self.masks}
        first = getattr(module, "init_hidden", None)
        return found | {name: first(batch) if callable(first) else None for name in self.states}


@contextmanager
def called_with(module: nn.Module, arguments: Arguments) -> Iterator[None]:
    """Within it, `module(inputs)` takes batch-first inputs alone, whatever its forward is given beside them."""
    if arguments.plain:
        yield
        return
    usual = module.forward

    def forward(inputs: Tensor) -> Any:
        return usual(arguments.arranged(inputs), **arguments.others(module, inputs))

    override = ForwardOverride(module, forward)
    try:
        yield
    finally:
        override.remove()


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    found = list(inspect.signature(module.forward).parameters.values())
    if not found:
        raise ModelError(f"the forward of {type(module).__name__} takes no input", "give a module whose forward takes an input")
    return found
