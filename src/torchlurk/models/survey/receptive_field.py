"""Where in the input a unit looks: the box of each position, exactly, for any network that runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Int32, Shaped
from torch import Tensor, nn

from torchlurk.errors import ModelError
from torchlurk.models.survey.axes import PICTURES, Axes
from torchlurk.models.survey.dependence.intervals import TRUE, UNBOUNDED, Reach
from torchlurk.models.survey.dependence.tracing import Tracing
from torchlurk.models.taps.arguments import of_rows
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.reading import reading
from torchlurk.records import Layer


@dataclass(frozen=True, slots=True, eq=False)
class ReceptiveField:
    """What the units of one layer depend on in the input, by the structure of the network: weights may be zero by chance.

    `size` (height, width) is what an interior position would see of an unlimited input, in pixels, so it may be more than
    the input has. Where positions differ (windows of attention, interpolation, joined branches) it is the widest channel
    of the median position. None where each position would see the whole of any input: after global pooling, attention,
    squeeze-and-excite.
    `stride` (vertical, horizontal) is in input pixels from one position to the next, negative where the map is mirrored; None
    where positions do not lie on a grid (vectors, tokens), where there is one only, and where all see the same. Where all of a
    sequence that came before is seen, it is None too, or (1, -1) where that is all that comes after, in reverse; and (1, 0)
    where a recurrent module has another number of steps than the sequence, and each of them sees the same.
    `origin` (y, x) is the first pixel that the first position would see of an unlimited input, negative where it lies
    before this one; None unless every position sees `size` pixels from there on, `stride` further each time.
    `rows` and `columns` hold the first and, exclusive, the last, by channel and position; a dimension
    along which all agree has size 1. An input without height (a signal in time) has height 1.
    `reads` says that the model's code reads numbers out of tensors (`.item()`, a condition, NumPy) on the way to this layer:
    then every position is taken to depend on all that they came from.
    """

    size: tuple[int, int] | None
    stride: tuple[int, int] | None
    channels: int
    shape: tuple[int, ...]
    rows: Int32[np.ndarray, "2 *#map"]
    columns: Int32[np.ndarray, "2 *#map"]
    origin: tuple[int, int] | None = None
    reads: bool = False

    def boxes(self, channels: Int[np.ndarray, "*n"], positions: Int[np.ndarray, "*n"]) -> Int32[np.ndarray, "*n 4"]:
        """x0, y0, x1, y1 of units at positions (row-major indices into the map), half-open, clipped to the input.

        Zeros where a unit depends on no pixel at all. Raises IndexError or ValueError for one that is not there.
        """
        place = np.unravel_index(positions, (1, *self.shape))[1:]
        (x0, x1), (y0, y1) = (
            [np.broadcast_to(end, (self.channels, *self.shape))[channels, *place] for end in table]
            for table in (self.columns, self.rows)
        )
        return np.stack([x0, y0, x1, y1], axis=-1)


def receptive_fields(
    module: nn.Module, inputs: Shaped[Tensor, ...], layers: Sequence[Layer], axes: Axes = PICTURES, *, unreached: bool = False
) -> dict[str, ReceptiveField]:
    """The receptive field of each layer, by name, found in one forward pass of the first of `inputs`, which have these axes.

    Holds for every input of that size. The module is left as it was.
    Raises `ModelError` for a layer that this input does not reach, unless some may be `unreached`: those are left out.
    """
    with torch.inference_mode(False):
        image = inputs.narrow(axes.batch, 0, 1).detach().clone()
    tracing = Tracing(image, axes.steps)
    found: dict[str, tuple[Reach, bool]] = {}

    def note(layer: Layer, tensor: Tensor) -> None:
        found[layer.name] = tracing.reach_of(tensor), tracing.reads

    reading_all = reading(module, layers, note, stop_after_last=True)
    own = of_rows(module, slice(0, 1))
    with torch.inference_mode(False), torch.no_grad(), as_found(module), reading_all, own, tracing.following_numbers(), tracing:
        module(image)
    missing = [layer.name for layer in layers if layer.name not in found]
    if missing and not unreached:
        raise ModelError(
            f"layer '{missing[0]}' was not reached when the model ran", "leave it out, or give an input that reaches it"
        )
    made: dict[tuple[Any, ...], ReceptiveField] = {}
    keys = {
        layer.name: (id(found[layer.name][0]), found[layer.name][1], layer.channel_axis, layer.batch_axis, layer.shape)
        for layer in layers
        if layer.name in found
    }
    for layer in layers:
        if layer.name in keys and keys[layer.name] not in made:  # normalizations and nonlinearities hand on the same
            made[keys[layer.name]] = _field(layer, *found[layer.name])
    return {name: made[key] for name, key in keys.items()}


def _field(layer: Layer, reach: Reach, reads: bool) -> ReceptiveField:
    reach = _maps(layer, reach).over([0])
    layer = replace(layer, shape=reach.shape[2:])  # of a sequence, that of this one
    rows, columns = (sides[:, 0].double() for sides in (reach.rows, reach.columns))
    size, stride = _size(reach, rows, columns), _stride(layer, reach, rows, columns)
    if layer.layout == "sequence" and _grows(columns):
        size, stride = None, (1, -1) if _shrinks(columns) else None
    stepping = layer.layout == "sequence" and bool(layer.module) and not reads  # which makes all steps depend on all
    seen = columns[TRUE].amax(1)
    if stepping and layer.shape not in ((reach.width,), (int(seen[1].amax()),)) and bool((seen.diff() == 0).all()):
        size, stride = None, (1, 0)  # steps of the module's own, each of which has seen the same
    return ReceptiveField(
        size=size,
        stride=stride,
        channels=layer.channels,
        shape=layer.shape,
        rows=_table(rows),
        columns=_table(columns),
        origin=None if reads else _origin(layer, size, stride, rows, columns),
        reads=reads,
    )


def _origin(
    layer: Layer, size: tuple[int, int] | None, stride: tuple[int, int] | None, rows: Tensor, columns: Tensor
) -> tuple[int, int] | None:
    """Where the windows begin, if all of them are alike and lie on a grid."""
    if size is None or stride is None or len(layer.shape) != 2:
        return None
    starts = []
    for axis, sides in enumerate((rows, columns)):
        low, high = -sides[UNBOUNDED][0].amax(0), sides[UNBOUNDED][1].amax(0)
        line = (slice(None), 0) if axis == 0 else (0, slice(None))
        first, last = low[line], high[line]
        if first.numel() not in (1, layer.shape[axis]) or not bool(torch.isfinite(first).all() and torch.isfinite(last).all()):
            return None
        expected = first[0] + stride[axis] * torch.arange(first.numel(), dtype=first.dtype)
        if (
            first.numel() != layer.shape[axis]
            or not torch.equal(first, expected)
            or not bool((last - first == size[axis]).all())
        ):
            return None
        starts.append(int(first[0]))
    return starts[0], starts[1]


def _maps(layer: Layer, reach: Reach) -> Reach:
    """As `taps.maps`: example, channel, position."""
    if layer.backward:
        reach = _maps(replace(layer, stride=None), reach).full([2])
        return reach.each(lambda sides: sides.flip(3), reach.shape)
    if layer.batch_axis:
        reach = reach.permuted([layer.batch_axis, *(dim for dim in range(len(reach.shape)) if dim != layer.batch_axis)])
    if layer.layout == "sequence":
        if layer.channel_axis != 1:
            reach = reach.reshaped((1, -1, layer.channels)).permuted([0, 2, 1])
        if reach.shape[1] == layer.channels and len(reach.shape) == 3:
            return reach
    elif layer.channel_axis != 1:
        arranged = reach.reshaped((-1, *layer.shape, layer.channels))
        reach = arranged.permuted([0, -1, *range(1, 1 + len(layer.shape))])
    if reach.shape[1:] != (layer.channels, *layer.shape):
        raise ModelError(
            f"layer '{layer.name}' gave {reach.shape[1:]}, not {layer.channels} channels of {layer.shape}",
            "give inputs of the size that the layers were surveyed with",
        )
    return reach


def _table(sides: Tensor) -> Int32[np.ndarray, "2 *#map"]:
    low, high = sides[TRUE]
    nothing = torch.isneginf(high)
    ends = torch.stack([-low, high]).masked_fill(nothing, 0)
    return ends.to(torch.int32).numpy()


def _size(reach: Reach, rows: Tensor, columns: Tensor) -> tuple[int, int] | None:
    sizes, all_see_all = [], True
    for sides, length in ((rows, reach.height), (columns, reach.width)):
        clipped, unbounded = (sides[part].sum(0).clamp(min=0) for part in (TRUE, UNBOUNDED))
        one_position = all(size == 1 for size in unbounded.shape[1:])
        all_see_all &= bool((clipped == length).all()) and (one_position or bool(torch.isinf(unbounded).all()))
        widest = (clipped if bool(torch.isinf(unbounded).any()) else unbounded).amax(0)
        sizes.append(math.ceil(widest.median()))
    return None if all_see_all else (sizes[0], sizes[1])


def _stride(layer: Layer, reach: Reach, rows: Tensor, columns: Tensor) -> tuple[int, int] | None:
    if len(layer.shape) == 1 and reach.height == 1:
        vertical: int | None = 1
    elif len(layer.shape) == 2:
        vertical = _step(rows, -2, reach.height / layer.shape[0])
    else:
        return None
    horizontal = _step(columns, -1, reach.width / layer.shape[-1])
    return (vertical, horizontal) if vertical and horizontal else None


def _grows(columns: Tensor) -> bool:
    """Whether each step depends on all that came before, on all that comes after, or on both: then there is no size, but an
    end that stays.
    """
    if columns.shape[-1] < 2:
        return False
    low, high = columns[TRUE].amax(1)
    still, moving = low == low[0], high == high[0]
    if bool(still.all() and moving.all()):  # all see the same: by windows that reach past both ends, or whatever the length
        steps = columns[UNBOUNDED].amax(1).diff(dim=1)
        return bool((~steps.isfinite() | (steps == 0)).any())
    return bool(still.all() and not moving.all()) or bool(moving.all() and not still.all())


def _shrinks(columns: Tensor) -> bool:
    """Whether the model goes through the steps backward, so that each position's reach lies before that of the one before."""
    low, high = columns[TRUE].amax(1)
    centres = (high - low).diff()
    return bool((centres <= 0).all() and (centres < 0).any())


def _step(sides: Tensor, dim: int, average: float) -> int | None:
    """From one position to the next; where that is not the same everywhere, on average, if that is a whole number."""
    if sides.shape[dim] == 1:
        return None
    steps = sides[UNBOUNDED].diff(dim=dim) * torch.tensor([-1.0, 1.0]).reshape(2, *[1] * (sides.dim() - 1))
    step = float(steps.flatten()[0])
    if bool((steps == step).all()):
        return int(step) if step.is_integer() else None
    mirrored = bool((steps < 0).sum() > (steps > 0).sum())
    return int(-average if mirrored else average) if average.is_integer() else None
