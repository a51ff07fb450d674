"""One pass forward to a layer and one back to the input: what in each input excited a unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from torchlurk.attribution.methods import method as method_named
from torchlurk.attribution.steps import TextReadout, of_tokens
from torchlurk.errors import ModelError, OptionError, UnitError, a_type
from torchlurk.input_records import InputAxes
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.survey.axes import TENSORS, Axes
from torchlurk.models.survey.expected_input import without_batch
from torchlurk.models.survey.input_axes import axes_of
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.arguments import Companions
from torchlurk.models.taps.invocation import FurtherInputs, Invocation
from torchlurk.models.taps.readout import Readout
from torchlurk.option_values import as_declared, as_position
from torchlurk.records import Layer, Tap
from torchlurk.units import Unit

SERIES_AXES = 3
"""Batch, time and channel."""
TEXT_AXES = 2
"""Batch and time."""


@as_declared
def attribute(
    model: nn.Module,
    inputs: Shaped[Tensor, "batch ..."],
    unit: Unit | str,
    method: str = "guided",
    *,
    position: int | Sequence[int] | None = None,
    reduce: Literal["max", "mean"] = "max",
    tap: Tap = "activation",
    input_axes: InputAxes | None = None,
    constants: Mapping[str, Any] | None = None,
    further_inputs: FurtherInputs | None = None,
) -> Float[Tensor, "batch ..."]:
    """What in each input excited the unit, at its strongest position there, at `position`, or in its mean over positions.

    Pictures are as the model takes them, on its device. Texts are token ids (batch, time), series floats
    (batch, time, channel), batch first whatever order the model has its axes in: `input_axes` is that order, where a trial
    run cannot tell it. `constants` are arguments of the model's forward that are the same for every example,
    `further_inputs` those that each example has of its own, by the names of its parameters: batches with a row for each of
    `inputs`, or one for all, which are held as they are. `inputs` go to the first parameter that is among neither. `unit` is
    written `layer:channel`; `tap` says whether it is read after the nonlinearity that follows its layer.

    The result is shaped like the inputs. Of `gradient`, `deconv` and the guided ones, a number is activation per unit of
    input; of `input_x_gradient` and `lrp`, activation. A token has one number: the sum over its embedding, of gradients the
    length. Methods that compare with an input that says nothing take zeros, of texts the token 0. The model is left as
    found, also after an error. Raises `UnitError` for a unit or position that is not there, `OptionError` for a method or
    inputs that are neither, `MissingExtraError` for one of Captum's without it, `ModelError` where the model fails, needs
    an input that is not given, or the method is not defined for it.
    """
    text = _is_text(inputs)
    module = unwrap(model)
    method_named(method)
    place = as_position(position)
    wanted = Unit.of(unit)
    steps = text or inputs.dim() == SERIES_AXES
    axes = Axes.of("bt" if text else "btc") if steps else TENSORS

    def own_axes(beside: Companions) -> InputAxes:
        first = {name: one[:1] for name, one in beside.items()}
        with _telling_of_batch(module, inputs):
            return input_axes or axes_of(module, inputs[:1], constants or {}, first)

    invocation = Invocation.of(module, constants, further_inputs, own_axes if steps else None)
    invocation.check(len(inputs))
    with invocation.around(module):
        with _telling_of_batch(module, inputs):
            layers = survey(module, inputs, tap, axes)
        layer = layers.layer(wanted.layer)
        _check_channel(layer, wanted.channel)
        readout, given = _readout(module, layer, inputs, text)
        return _of_unit(readout, given, wanted.channel, method, place, reduce, text)


def _is_text(inputs: object) -> bool:
    if not isinstance(inputs, Tensor):
        raise OptionError(f"inputs are {a_type(inputs)}", "give a tensor, as the model takes it: torch.from_numpy(…)")
    if not inputs.is_floating_point() and inputs.dim() != TEXT_AXES:
        raise OptionError(
            f"inputs are {inputs.dtype} with {inputs.dim()} axes",
            "give token ids (batch, time), inputs[None] of one text, or pictures or series of floats",
        )
    return not inputs.is_floating_point()


@contextmanager
def _telling_of_batch(module: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Around what fails with `ModelError` on inputs of the wrong form: it becomes an `OptionError` where the batch lacks."""
    try:
        yield
    except ModelError as error:
        if reason := without_batch(module, inputs):
            raise OptionError(reason, "give a batch: inputs[None] of one example") from error
        raise


def _readout(module: nn.Module, layer: Layer, inputs: Tensor, text: bool) -> tuple[Readout, Tensor]:
    """The readout of a layer and what it is given."""
    if text:
        readout = TextReadout(module, layer, inputs)
        return readout, readout.embedded
    return Readout(module, layer), inputs


def _of_unit(
    readout: Readout,
    inputs: Tensor,
    channel: int,
    method: str,
    position: tuple[int, ...] | None,
    reduce: Literal["max", "mean"],
    text: bool,
) -> Tensor:
    with readout.ready():
        channels = torch.full((len(inputs),), channel, device=inputs.device)
        if position is not None:
            positions: Tensor | None = torch.full_like(channels, _flat(readout.layer, position, reduce))
        else:
            positions = readout.strongest(inputs, channels) if reduce == "max" else None
        found = method_named(method)(readout, inputs, channels, positions)[0]
        return of_tokens(method, found) if text else found


def _check_channel(layer: Layer, channel: int) -> None:
    if not 0 <= channel < layer.channels:
        raise UnitError(f"layer '{layer.name}' has no channel {channel}", f"it has {layer.channels}, counted from 0")


def _flat(layer: Layer, position: tuple[int, ...], reduce: str) -> int:
    """The row-major index of a position."""
    if reduce == "mean":
        raise OptionError("both a position and the mean over positions are given", "give only one")
    within = len(position) == len(layer.shape) and all(0 <= at < size for at, size in zip(position, layer.shape, strict=True))
    if not within:
        shape = "×".join(map(str, layer.shape)) or "no"
        raise UnitError(f"layer '{layer.name}' has no position {position}", f"it has {shape} positions, counted from 0")
    return int(np.ravel_multi_index(position, layer.shape)) if math.prod(layer.shape) > 1 else 0
