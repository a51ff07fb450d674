"""One pass forward to a layer and one back to the input: what in each input excited a unit."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from torchlurk.attribution.methods import method as method_named
from torchlurk.errors import OptionError, UnitError
from torchlurk.input_words import AVAILABLE
from torchlurk.models.loading.identity import unwrap
from torchlurk.models.survey.axes import TENSORS
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer, Tap
from torchlurk.units import Unit


def attribute(
    model: nn.Module,
    inputs: Shaped[Tensor, "batch ..."],
    unit: Unit | str,
    method: str = "guided",
    *,
    position: tuple[int, ...] | None = None,
    reduce: Literal["max", "mean"] = "max",
    tap: Tap = "activation",
) -> Float[Tensor, "batch ..."]:
    """What in each input excited the unit, at its strongest position there, at `position`, or in its mean over positions.

    `inputs` are as the model takes them, on its device. `unit` is written `layer:channel`; `tap` says whether it is read
    after the nonlinearity that follows its layer. Of `gradient`, `deconv` and the guided ones, a number is activation
    per unit of input; of `input_x_gradient` and `lrp`, activation. The model is left as found, also after an error.
    Raises `UnitError` for a unit or position that is not there, `OptionError` for a method or token ids,
    `MissingExtraError` for one of Captum's without it, `ModelError` where the model fails or the method is not defined for
    it.
    """
    if not inputs.is_floating_point():
        raise OptionError(f"attribution is for inputs of floats; these are {inputs.dtype}, as token ids are", AVAILABLE)
    module = unwrap(model)
    way = method_named(method)
    wanted = unit if isinstance(unit, Unit) else Unit.parse(unit)
    layer = survey(module, inputs, tap, TENSORS).layer(wanted.layer)
    _check_channel(layer, wanted.channel)
    readout = Readout(module, layer)
    with readout.ready():
        channels = torch.full((len(inputs),), wanted.channel, device=inputs.device)
        if position is not None:
            positions: Tensor | None = torch.full_like(channels, _flat(layer, position, reduce))
        else:
            positions = readout.strongest(inputs, channels) if reduce == "max" else None
        return way(readout, inputs, channels, positions)[0]


def attribute_pairs(
    module: nn.Module,
    layer: Layer,
    inputs: Float[Tensor, "pair ..."],
    channels: Int[Tensor, " pair"],
    positions: Int[Tensor, " pair"] | None,
    method: str = "guided",
) -> tuple[Float[Tensor, "pair ..."], Float[Tensor, " pair"]]:
    """Attributions of many units of one layer, each on an input of its own, and the activations that they are of.

    `positions` are row-major indices into the layer's map; None means the mean over positions. One pass forward, no
    further than the layer, and one back. `layer` is one that `survey` found in `module`, unwrapped, for inputs of this
    size (or any, if the size changes nothing but its shape and the layout is spatial). Errors are those of `attribute`.
    """
    readout = Readout(module, layer)
    way = method_named(method)
    with readout.ready():
        # Copies, for what was made in inference mode cannot take part in a pass with gradients.
        places = None if positions is None else positions.to(inputs.device, copy=True)
        return way(readout, inputs, channels.to(inputs.device, copy=True), places)


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
