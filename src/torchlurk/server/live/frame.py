"""One frame through the model: as deep as what is looked at needs, and back only where a back-projection is shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from torchlurk.anatomy import Change, Prediction
from torchlurk.attribution.relevance import Propagation, handed_on
from torchlurk.errors import ModelError
from torchlurk.hierarchy.changes import change_map, check_change, check_place, rearranged
from torchlurk.hierarchy.descent import passage
from torchlurk.hierarchy.predictions import predictions
from torchlurk.hierarchy.running import run
from torchlurk.model_session import ModelSession
from torchlurk.models.taps.as_found import as_found, backward, differentiable
from torchlurk.models.taps.backward_rules import Rules, exempt
from torchlurk.models.taps.interventions import Before, replacing
from torchlurk.models.taps.reading import maps
from torchlurk.records import Layer
from torchlurk.units import Unit

IMAGES = 4
"""Dimensions of a batch of images."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a frame is looked at: the maps of `layer`, the back-projection of `projected` by `method`, predictions."""

    layer: str | None = None
    projected: Unit | None = None
    method: str = "deconv"
    predictions: int = 5
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to see.

    `at` is where the projected unit is strongest, `activation` how strong: before a change of its own, so that a unit
    that is switched off can still be seen.
    """

    maps: Float[Tensor, " unit *position"] | None
    predictions: tuple[Prediction, ...]
    projection: Float[Tensor, "channel height width"] | None
    at: tuple[int, ...] | None
    activation: float | None


def check(layers: Sequence[Layer], wanted: Wanted) -> None:
    """Raises `UnitError` for a layer or unit that is not there, `OptionError` for a method or a change that cannot be."""
    by_name = {layer.name: layer for layer in layers}
    if wanted.layer is not None:
        check_place(by_name, Unit(wanted.layer, 0), ())
    if wanted.projected is not None:
        check_place(by_name, wanted.projected, ())
    for change in wanted.changes:
        check_place(by_name, change.unit, change.positions or ())
        check_change(change)
    passage(wanted.method)


def look(bench: ModelSession, layers: Sequence[Layer], inputs: Float[Tensor, "1 ..."], wanted: Wanted) -> Seen:
    """What the frame shows. The model is left as found. Raises what `check` raises, `ModelError` where the model fails."""
    check(layers, wanted)
    if inputs.ndim == IMAGES and bench.any_order:
        try:  # pooling and the way back to few channels take much less time so
            return _look(bench, layers, inputs.contiguous(memory_format=torch.channels_last), wanted)
        except ModelError:
            seen = _look(bench, layers, inputs, wanted)
            bench.any_order = False
            return seen
    return _look(bench, layers, inputs, wanted)


def _look(bench: ModelSession, layers: Sequence[Layer], inputs: Float[Tensor, "1 ..."], wanted: Wanted) -> Seen:
    way = passage(wanted.method)
    names = {one for one in (wanted.layer, wanted.projected.layer if wanted.projected else None) if one is not None}
    needed = [layer for layer in layers if layer.name in names | {change.unit.layer for change in wanted.changes}]
    last = next((layer.name for layer in reversed(layers) if layer.name in names), None)
    found: dict[str, Tensor] = {}
    roots: dict[str, Tensor] = {}

    def replace(layer: Layer, tensor: Tensor, before: Before | None) -> Tensor:
        if wanted.projected is not None and layer.name == wanted.projected.layer:
            roots[layer.name] = tensor
            if not way.relevance:
                exempt(tensor, way.at_root)
        changed = _changed(layer, tensor, wanted.changes, relevance=way.relevance and torch.is_grad_enabled())
        found[layer.name] = changed
        if layer.name == last:
            torch.set_grad_enabled(False)  # what follows is for the predictions alone
        return changed

    leaf = inputs.detach().clone()
    output = None
    with ExitStack() as opened:
        opened.enter_context(_mode(bench, backward=wanted.projected is not None))
        if wanted.projected is not None:
            opened.enter_context(Propagation() if way.relevance else Rules(way.rule))
        leaf.requires_grad_(wanted.projected is not None)
        shallow = wanted.predictions == 0 and bool(needed)
        opened.enter_context(bench.invocation.around(bench.module))
        with replacing(bench.module, needed, replace, stop_after_last=shallow, note=False) as replaced:
            output = run(bench.module, leaf, replaced)
    projection, at, activation = _project(bench, leaf, roots, wanted)
    shown = found.get(wanted.layer) if wanted.layer is not None else None
    record = next((layer for layer in layers if layer.name == wanted.layer), None)
    return Seen(
        None if shown is None or record is None else maps(record, shown.detach())[0].float(),
        predictions(output, bench.labels, bench.ending, most=wanted.predictions),
        projection,
        at,
        activation,
    )


def _mode(bench: ModelSession, *, backward: bool) -> AbstractContextManager[object]:
    if backward:
        return differentiable(bench.module)
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.no_grad())
    stack.enter_context(as_found(bench.module))
    return stack


def _changed(layer: Layer, tensor: Tensor, changes: Sequence[Change], *, relevance: bool) -> Tensor:
    own = [change for change in changes if change.unit.layer == layer.name]
    if not own:
        return tensor
    with torch.no_grad() if relevance else nullcontext():
        changed = tensor.clone()
        arranged = maps(layer, changed)
        for change in own:
            change_map(arranged[0, change.unit.channel], change)
        changed = rearranged(layer, changed, arranged)
    return handed_on(tensor, changed) if relevance else changed


def _project(
    bench: ModelSession, leaf: Tensor, roots: dict[str, Tensor], wanted: Wanted
) -> tuple[Tensor | None, tuple[int, ...] | None, float | None]:
    """The gradient by the method's rule, or the relevance, of the projected unit at its strongest position."""
    unit = wanted.projected
    if unit is None:
        return None, None, None
    activation = roots.get(unit.layer)
    if activation is None or activation.grad_fn is None:
        raise ModelError(f"no gradient flows from layer '{unit.layer}' back to the image", "choose another layer")
    layer = bench.layer(unit.layer)
    with torch.enable_grad():
        own = maps(layer, activation)[0, unit.channel]
        flat = own.detach().flatten()
        at = int((flat == flat.amax()).nonzero()[0, 0])
        chosen = own.reshape(-1)[at]
    signal = chosen.detach() if passage(wanted.method).relevance else torch.ones_like(chosen)
    with backward(bench.module):
        (values,) = torch.autograd.grad(get_gradient_edge(chosen), get_gradient_edge(leaf), signal)
    return values[0].float(), layer.position(at), float(flat[at])
