"""A network of several inputs asked about one of them: the others, and constants, are given with every pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.errors import OptionError, a_type
from torchlurk.input_records import InputAxes
from torchlurk.models.taps.arguments import Arguments, Companions, accompanied, called_so, called_with

FurtherInputs = Mapping[str, Shaped[Tensor, "example ..."]]
"""Inputs beside the one asked about, by the parameters of the forward that get them: a row for each example, or one for all."""

ROWS = "give a tensor with a row for each input, or one for all"
HOW = "give it in Python: further_inputs={…} has a row for each input, or one for all; constants={…} are given as they are"


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a network is called: what goes to which parameters, and the further inputs themselves."""

    arguments: Arguments = field(default_factory=Arguments)
    companions: Companions = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        module: nn.Module,
        constants: Mapping[str, Any] | None,
        further_inputs: Mapping[str, Any] | None,
        axes_of: Callable[[Companions], InputAxes] | None = None,
    ) -> Invocation:
        """That of a network, its further inputs on its device; `axes_of` tells its axes, if it does not take pictures.

        Raises `OptionError` for a further input that is no batch, or is a constant too, and `ModelError` for a parameter that
        the forward does not have, or that nothing is given for.
        """
        constants, further_inputs = constants or {}, further_inputs or {}
        for name, one in further_inputs.items():
            if not isinstance(one, Tensor) or one.ndim == 0:
                told = "a tensor without axes" if isinstance(one, Tensor) else f"{a_type(one)}"
                raise OptionError(f"further_inputs['{name}'] is {told}", ROWS)
            if name in constants:
                raise OptionError(f"'{name}' is in constants and in further_inputs", "give it once")
        device = next((one.device for one in module.parameters()), None)
        companions = {name: one.detach().to(device) for name, one in further_inputs.items()}
        # Which axes a sequence has decides nothing else, and what is lacking is told before they are tried.
        arguments = Arguments.of(module, None if axes_of is None else "bt", constants, tuple(companions), hint=HOW)
        return cls(arguments if axes_of is None else replace(arguments, axes=axes_of(companions)), companions)

    def check(self, count: int) -> None:
        """Raises `OptionError` where further inputs have neither one row nor one for each of so many inputs."""
        for name, one in self.companions.items():
            if len(one) not in (1, count):
                raise OptionError(
                    f"further_inputs['{name}'] has {len(one)} rows, and there are {count} inputs",
                    ROWS,
                )

    @contextmanager
    def around(self, module: nn.Module) -> Iterator[None]:
        """Within it, `module(inputs)` is called so. Within it again, nothing changes."""
        if called_so(module, self.arguments):
            yield
            return
        with called_with(module, self.arguments), accompanied(module, self.companions):
            yield
