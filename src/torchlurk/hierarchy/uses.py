"""Who uses a unit: one forward-mode derivative (JVP), with the unit's own activation as tangent."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from torchlurk.errors import ModelError
from torchlurk.hierarchy.running import run
from torchlurk.models.taps.as_found import as_found
from torchlurk.models.taps.interventions import Before, replacing
from torchlurk.models.taps.reading import maps
from torchlurk.records import Layer
from torchlurk.units import Unit

Given = dict[str, Tensor]
"""By layer that is fed (case, channel, positions): what arrives at each unit and position, before its nonlinearity."""


def given(
    module: nn.Module,
    layers: Sequence[Layer],
    image: Float[Tensor, "1 ..."],
    cases: Sequence[tuple[Unit, tuple[int, ...] | None]],
) -> Given:
    """What each unit gives to all units that it directly feeds, in one pass: of its whole map, or at one place of it.

    It is the derivative of what their nonlinearities are applied to, along the unit's activation: where everything
    between is linear, exactly the contribution. The model is left as found. Raises `ModelError` where it fails, or has
    an operation without a forward-mode derivative.
    """
    _load()
    found: Given = {}
    starts = {unit.layer for unit, _ in cases}

    def replace(layer: Layer, tensor: Tensor, before: Before | None) -> Tensor:
        arriving = _parts(tensor if before is None else before.value)[1]
        primal = _parts(tensor)[0].clone()
        if arriving is not None:
            found[layer.name] = maps(layer, arriving.clone())
        if layer.name not in starts:
            return primal  # what comes by way of this layer is given by it, not by the unit
        return _dual(primal, _tangent(layer, primal, cases))

    plain = sdpa_kernel(SDPBackend.MATH)  # of the ways to compute attention the one that has a forward-mode derivative
    with torch.inference_mode(False), torch.no_grad(), as_found(module), plain, forward_ad.dual_level():
        try:
            with replacing(module, layers, replace) as replaced:
                run(module, image.expand(len(cases), *image.shape[1:]), replaced)
        except ModelError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            what = " ".join(str(error.__cause__).split()).partition(". ")[0]
            raise ModelError(
                f"the network has no forward-mode derivative: {what}", "open the trees of the units above instead"
            ) from error
    return {name: one for name, one in found.items() if one.any()}


@cache
def _load() -> None:
    """The first dual number makes torch load its own rules, of which it warns that they are made the old way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with forward_ad.dual_level():
            _dual(torch.zeros(()), torch.zeros(()))


def _dual(primal: Tensor, tangent: Tensor) -> Tensor:
    made: Tensor = forward_ad.make_dual(primal, tangent)  # type: ignore[no-untyped-call]
    return made


def _parts(dual: Tensor) -> tuple[Tensor, Tensor | None]:
    """Primal and tangent; None for a tangent that is zero throughout."""
    primal, tangent = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]
    return primal, tangent


def _tangent(layer: Layer, activation: Tensor, cases: Sequence[tuple[Unit, tuple[int, ...] | None]]) -> Tensor:
    """The activation of each case's own unit, zero elsewhere."""
    mask = torch.zeros_like(activation)
    arranged = maps(layer, mask)
    for row, (unit, position) in enumerate(cases):
        if unit.layer == layer.name:
            arranged[(row, unit.channel, *(position or ()))] = 1
    if layer.channel_axis != 1 and arranged.untyped_storage().data_ptr() != mask.untyped_storage().data_ptr():
        mask = arranged.movedim(1, -1).reshape(mask.shape)
    return mask * activation
