"""Units switched off, weakened or strengthened, and the network run on: what that does to others and to the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from torchlurk.anatomy import Change
from torchlurk.errors import OptionError, UnitError
from torchlurk.hierarchy.running import run
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.interventions import Before, replacing
from torchlurk.models.taps.reading import maps
from torchlurk.records import Layer
from torchlurk.units import Unit

Place = tuple[Unit, tuple[int, ...]]
"""A unit at a position of its map."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass gave in each case: the units watched, and the model's output (None where it gives no tensor)."""

    watched: Float[Tensor, "case place"]
    output: Float[Tensor, "case ..."] | None


def with_changes(
    module: nn.Module,
    layers: Sequence[Layer],
    image: Float[Tensor, "1 ..."],
    cases: Sequence[Sequence[Change]],
    watched: Sequence[Place],
) -> Outcome:
    """Runs the model on the image once for each case, all in one batch, with the changes of the case made.

    A change is made to what the layer hands on (and to what is watched of it); all that comes after runs on it. The
    model is left as found. Raises `UnitError` for a unit or position that is not there, `ModelError` where it fails.
    """
    by_name = {layer.name: layer for layer in layers}
    for unit, positions in [
        *((one.unit, one.positions or ()) for case in cases for one in case),
        *((unit, (position,)) for unit, position in watched),
    ]:
        check_place(by_name, unit, positions)
    needed = {one.unit.layer for case in cases for one in case} | {unit.layer for unit, _ in watched}
    found = torch.full((len(cases), len(watched)), torch.nan)

    def replace(layer: Layer, tensor: Tensor, before: Before | None) -> Tensor:
        changed = tensor.clone()
        arranged = maps(layer, changed)
        for row, case in enumerate(cases):
            for one in case:
                if one.unit.layer == layer.name:
                    change_map(arranged[row, one.unit.channel], one)
        for place, (unit, position) in enumerate(watched):
            if unit.layer == layer.name:
                own = arranged[:, unit.channel].reshape(len(cases), -1)
                found[:, place] = own[:, flat_index(layer, position)].float().cpu()
        return rearranged(layer, changed, arranged)

    chosen = [layer for layer in layers if layer.name in needed]
    with torch.inference_mode(False), torch.no_grad(), as_found(module), replacing(module, chosen, replace) as replaced:
        output = run(module, image.expand(len(cases), *image.shape[1:]), replaced)
    return Outcome(found, output)


def change_map(map: Float[Tensor, " *position"], change: Change) -> None:
    """Makes the change to a map, in place."""
    if change.positions is None:
        map.mul_(change.factor).add_(change.offset)
        return
    for position in change.positions:
        map[position] = map[position] * change.factor + change.offset


def rearranged(
    layer: Layer, tensor: Float[Tensor, "*shape"], arranged: Float[Tensor, "batch channel *position"]
) -> Float[Tensor, "*shape"]:
    """The tensor as the model has it, with what was written to its maps."""
    if layer.channel_axis == 1 or arranged.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
        return tensor
    return arranged.movedim(1, -1).reshape(tensor.shape)


def flat_index(layer: Layer, position: tuple[int, ...]) -> int:
    """The row-major index of a position."""
    return int(np.ravel_multi_index(position, layer.shape)) if layer.shape else 0


def check_place(layers: dict[str, Layer], unit: Unit, positions: Sequence[tuple[int, ...]]) -> None:
    """Raises `UnitError` for a unit or position that is not there."""
    layer = layers.get(unit.layer)
    if layer is None:
        raise UnitError(f"no layer '{unit.layer}' is open here", f"available: {', '.join(layers)}")
    if not 0 <= unit.channel < layer.channels:
        raise UnitError(f"layer '{layer.name}' has no channel {unit.channel}", f"it has {layer.channels}, counted from 0")
    for position in positions:
        inside = len(position) == len(layer.shape) and all(
            0 <= at < size for at, size in zip(position, layer.shape, strict=True)
        )
        if not inside:
            shape = "×".join(map(str, layer.shape)) or "no"
            raise UnitError(f"layer '{layer.name}' has no position {position}", f"it has {shape} positions, counted from 0")


def check_change(change: Change) -> None:
    """Raises `OptionError` for a factor or offset that is not a finite number."""
    if not (abs(change.factor) < float("inf") and abs(change.offset) < float("inf")):
        raise OptionError(
            f"{change.unit} has a change with factor {change.factor} and offset {change.offset}", "give finite numbers"
        )
