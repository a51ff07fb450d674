"""In which order a network has examples, steps and channels: found by changing one example of three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.input_records import InputAxes
from torchlurk.models.survey.expected_input import misfit
from torchlurk.models.taps.arguments import NOTHING_BESIDE, Arguments, Companions, accompanied, called_with
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.recurrent import checking_packed
from torchlurk.models.taps.tensors import tensors_in

CANDIDATES: Mapping[int, tuple[InputAxes, ...]] = {2: ("bt", "tb"), 3: ("btc", "tbc", "bct")}
"""By the number of an input's axes: tokens (batch, time), series (batch, time, channel)."""

TOLERANCE = 1e-4
"""By how much the results of an example may differ with another beside it, relative to the largest: rounding."""


def axes_of(
    module: nn.Module,
    example: Shaped[Tensor, "1 time *channel"],
    constants: Mapping[str, Any],
    companions: Companions = NOTHING_BESIDE,
    parameter: str = "",
) -> InputAxes:
    """The axes of a network by one batch-first example of text or series, with its further inputs.

    Raises `ModelError` where they cannot be told.
    """
    three = example.repeat(3, *(1 for _ in example.shape[1:]))
    return find_axes(module, three, _another(example)[0], constants, companions, parameter)


def _another(example: Tensor) -> Tensor:
    """An example of the same values that is another whatever the network does with its steps: the first step held.

    The same steps in another order would not do: a network that takes the mean over them sees no difference.
    """
    held = example[:, :1].expand_as(example)
    if not torch.equal(held, example):
        return held
    return torch.zeros_like(example) if example.any() else torch.ones_like(example)


def find_axes(
    module: nn.Module,
    inputs: Shaped[Tensor, "3 time *channel"],
    other: Shaped[Tensor, " time *channel"],
    constants: Mapping[str, Any],
    companions: Companions = NOTHING_BESIDE,
    parameter: str = "",
) -> InputAxes:
    """The axes of a network by a batch-first input of three examples, the second of which `other` replaces.

    The right order is the one in which the results of the first and third stay as they are, and those of the second do not.
    Raises `ModelError` where no order works or several do.
    """
    candidates = CANDIDATES[inputs.dim()]
    by_axes = {axes: Arguments.of(module, axes, constants, tuple(companions), parameter) for axes in candidates}
    changed = inputs.clone()
    changed[1] = other
    fitting, failures = [], []
    for axes, arguments in by_axes.items():
        try:
            before, after = (_results(module, one, arguments, companions) for one in (inputs, changed))
        except Exception as error:  # whatever the model raises where its axes are others
            failures.append(f"as {axes}: {type(error).__name__}: {' '.join(str(error).split())}")
            continue
        if any(_one_changed(*pair) for pair in zip(before, after, strict=False)):
            fitting.append(axes)
    name = type(module).__name__
    if fitting == ["btc"] and _convolves_channels(module, inputs, by_axes["btc"], companions):
        steps, channels = inputs.shape[1:]
        raise ModelError(
            f"{name} convolves the {channels} channels of these examples, and takes their {steps} steps for channels",
            f"examples are (time, channel): give arrays whose examples are ({channels}, {steps}), or --input-axes btc if it is"
            " meant so",
        )
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(failures) == len(candidates):
        reason, hint = misfit(module, inputs) or (failures[0], "check that the data is what the network expects")
        raise ModelError(f"{name} cannot run on these inputs: {reason}", hint)
    found = f"{' and '.join(fitting)} both fit" if fitting else "; ".join(["none fits", *failures[:1]])
    raise ModelError(
        f"the trial run cannot tell in which order {name} takes batch and time ({found})",
        f"give --input-axes: {', '.join(candidates)}",
    )


def _convolves_channels(module: nn.Module, inputs: Tensor, arguments: Arguments, companions: Companions) -> bool:
    """Whether a convolution over time gets the input as it is, whose last axis are channels: data with its axes swapped."""
    found: list[bool] = []

    def look(conv: nn.Module, given: tuple[Any, ...]) -> None:
        found.extend(one.data_ptr() == inputs.data_ptr() and one.shape == inputs.shape for one in tensors_in(given))

    hooks = [one.register_forward_pre_hook(look) for one in module.modules() if isinstance(one, nn.Conv1d)]
    try:
        _results(module, inputs, arguments, companions)
    finally:
        for hook in hooks:
            hook.remove()
    return any(found)


def _results(module: nn.Module, inputs: Tensor, arguments: Arguments, companions: Companions) -> list[Tensor]:
    called = called_with(module, arguments)
    with torch.no_grad(), as_found(module), checking_packed(module), called, accompanied(module, companions):
        return tensors_in(module(inputs))


def _one_changed(before: Tensor, after: Tensor) -> bool:
    """Whether along one axis of size three the second entry has changed and the others have not."""
    if before.shape != after.shape or not before.is_floating_point():
        return False
    known = before[before.isfinite()]
    slack = TOLERANCE * float(known.abs().amax()) if known.numel() else 0.0
    for axis in (axis for axis, size in enumerate(before.shape) if size == 3):
        same = [
            bool(torch.allclose(one, another, rtol=TOLERANCE, atol=slack, equal_nan=True))
            for one, another in zip(before.unbind(axis), after.unbind(axis), strict=True)
        ]
        if same == [True, False, True]:
            return True
    return False
