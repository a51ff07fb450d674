"""In which order a network has examples, steps and channels: found by changing one example of three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError, told
from torchlurk.input_records import InputAxes
from torchlurk.models.survey.expected_input import misfit
from torchlurk.models.survey.untraced import is_wrapped
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
    return find_axes(module, three, [one[0] for one in _others(example)], constants, companions, parameter)


def _others(example: Tensor) -> list[Tensor]:
    """Examples of the same values that are others whatever the network does with its steps: the first step held, and, for
    networks that look at that alone, the last.

    The same steps in another order would not do: a network that takes the mean over them sees no difference.
    """
    held = [step.expand_as(example) for step in (example[:, :1], example[:, -1:])]
    different = [one for one in held if not torch.equal(one, example)]
    return different or [torch.zeros_like(example) if example.any() else torch.ones_like(example)]


def find_axes(
    module: nn.Module,
    inputs: Shaped[Tensor, "3 time *channel"],
    others: Sequence[Shaped[Tensor, " time *channel"]],
    constants: Mapping[str, Any],
    companions: Companions = NOTHING_BESIDE,
    parameter: str = "",
) -> InputAxes:
    """The axes of a network by a batch-first input of three examples, the second of which one of `others` replaces: the first
    of them with which results change.

    The right order is the one in which the results of the first and third stay as they are, and those of the second do not.
    Raises `ModelError` where no order works or several do.
    """
    candidates = CANDIDATES[inputs.dim()]
    by_axes = {axes: Arguments.of(module, axes, constants, tuple(companions), parameter) for axes in candidates}
    for other in others:
        tried = _tried(module, inputs, other, by_axes, companions)
        if tried.fitting or tried.unfit[:1] != [SAME]:
            break
    fitting, failures, unfit = tried.fitting, tried.failures, tried.unfit
    name = type(module).__name__
    if fitting == ["btc"] and (doing := _takes_steps_for_channels(module, inputs, by_axes["btc"], companions)):
        steps, channels = inputs.shape[1:]
        raise ModelError(
            f"{name} {doing} the {channels} channels of these examples, and takes their {steps} steps for channels",
            f"examples are (time, channel): give arrays whose examples are ({channels}, {steps}), or --input-axes btc if it is"
            " meant so",
        )
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and not unfit:
        reason, hint = misfit(module, inputs) or (failures[0], "check that the data is what the network expects")
        raise ModelError(f"{name} cannot run on these inputs: {reason}", hint)
    reason = f"{' and '.join(fitting)} both fit" if fitting else "; ".join([unfit[0], *failures[:1]])
    if not fitting and unfit[0] in tried.no_numbers:
        raise ModelError(f"{name} gives no numbers on the longest example: {reason}", "give weights and data that are finite")
    if not fitting and unfit[0] == CHANCE:
        raise ModelError(
            f"the trial run cannot tell in which order {name} takes batch and time: {CHANCE}",
            f"switch them off, as with constants={{'teacher_forcing_ratio': 0}}, or give --input-axes: {', '.join(candidates)}",
        )
    raise ModelError(
        f"the trial run cannot tell in which order {name} takes batch and time: {reason}",
        f"give --input-axes: {', '.join(candidates)}",
    )


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of an input in each order of its axes: the orders that fit, why others fail, and why the network runs in others
    that do not fit, in words; `no_numbers` are those of the latter in which no result is finite.
    """

    fitting: list[InputAxes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    no_numbers: list[str] = field(default_factory=list)


def _tried(
    module: nn.Module, inputs: Tensor, other: Tensor, by_axes: Mapping[InputAxes, Arguments], companions: Companions
) -> _Tried:
    """What comes of the three examples, and of these with `other` for the second."""
    changed, tried = inputs.clone(), _Tried()
    changed[1] = other
    for axes, arguments in by_axes.items():
        try:
            before, after = (_results(module, one, arguments, companions) for one in (inputs, changed))
        except Exception as error:  # whatever the model raises where its axes are others
            tried.failures.append(f"as {axes}: {told(error)}")
            continue
        found = [_changed(*pair) for pair in zip(before, after, strict=False)]
        if ONE in found:
            tried.fitting.append(axes)
        elif no_numbers := _not_finite(module, inputs, before):
            tried.unfit.append(no_numbers)
            tried.no_numbers.append(no_numbers)
        elif _by_chance(before, _results(module, inputs, arguments, companions)):
            tried.unfit.append(CHANCE)
        else:
            tried.unfit.append(next(iter(found), "it gives no tensor"))
    return tried


SAME = "its results stay the same whatever an example is"

CHANCE = "two passes over the same examples differ: its forward makes random choices, as teacher forcing does"


def _by_chance(before: Sequence[Tensor], again: Sequence[Tensor]) -> bool:
    """Whether the results of two passes over the same examples differ by more than rounding."""
    return len(before) != len(again) or not all(
        one.shape == other.shape and torch.allclose(one, other, TOLERANCE, TOLERANCE, equal_nan=True)
        for one, other in zip(before, again, strict=True)
    )


def _not_finite(module: nn.Module, inputs: Tensor, results: Sequence[Tensor]) -> str:
    """What has values that are not finite where no result has any other, the first cause first; '' where they are in order."""
    if not results or any(one.isfinite().any() for one in results):
        return ""
    named = [*module.named_parameters(), *module.named_buffers()]
    broken = [f"its parameter {name}" for name, one in named if not one.isfinite().all()]
    broken += [] if inputs.isfinite().all() else ["that example"]
    return f"{broken[0]} has values that are not finite" if broken else "its results are not finite"


def _takes_steps_for_channels(module: nn.Module, inputs: Tensor, arguments: Arguments, companions: Companions) -> str:
    """What is done along the channels of data whose axes are swapped: a convolution over time gets the input as it is, whose
    last axis are channels, or a recurrent layer reads it with steps and channels exchanged. '' where neither is.
    """
    found: list[str] = []
    turned = inputs.transpose(1, 2)

    def look(one: nn.Module, given: tuple[Any, ...]) -> None:
        tensor = next(iter(tensors_in(given)), None)
        if tensor is None or is_wrapped(tensor):  # inside vmap there is no memory to look at
            return
        if isinstance(one, nn.Conv1d):
            if tensor.data_ptr() == inputs.data_ptr() and tensor.shape == inputs.shape:
                found.append("convolves")
        elif inputs.shape != turned.shape and any(_equal(tensor, other) for other in (turned, turned.transpose(0, 1))):
            found.append("reads along")

    hooks = [one.register_forward_pre_hook(look) for one in module.modules() if isinstance(one, (nn.Conv1d, nn.RNNBase))]
    try:
        _results(module, inputs, arguments, companions)
    finally:
        for hook in hooks:
            hook.remove()
    return next(iter(found), "")


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other.to(one.dtype))


def _results(module: nn.Module, inputs: Tensor, arguments: Arguments, companions: Companions) -> list[Tensor]:
    called = called_with(module, arguments)
    with torch.no_grad(), as_found(module), checking_packed(module), called, accompanied(module, companions):
        return tensors_in(module(inputs))


ONE = "one result has changed, and the others have not"


def _changed(before: Tensor, after: Tensor) -> str:
    """What has changed along the axis of the three examples, of which the second was another: `ONE`, or what else, in words."""
    if not before.is_floating_point():
        return f"its results are whole numbers ({str(before.dtype).removeprefix('torch.')})"
    if before.dim() == after.dim():  # a network that leaves out padding gives more steps for a text without
        shared = tuple(slice(min(sizes)) for sizes in zip(before.shape, after.shape, strict=True))
        before, after = before[shared], after[shared]
    if before.shape != after.shape or 3 not in before.shape:
        return f"of three examples it gives {tuple(before.shape)}, where nothing is there once for each"
    known = before[before.isfinite()]
    slack = TOLERANCE * float(known.abs().amax()) if known.numel() else 0.0
    every: list[bool] = []
    for axis in (axis for axis, size in enumerate(before.shape) if size == 3):
        same = [
            bool(torch.allclose(one, another, rtol=TOLERANCE, atol=slack, equal_nan=True))
            for one, another in zip(before.unbind(axis), after.unbind(axis), strict=True)
        ]
        if same == [True, False, True]:
            return ONE
        every += same
    if all(every):
        return SAME
    return "with one of three examples the results of others change too (batch statistics?)"
