"""How far a picture is to be trusted: what the unit still does when it sees only a part, and what random weights would show."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from torchlurk.models.taps.modules import submodules
from torchlurk.models.taps.readout import Readout
from torchlurk.models.taps.recurrent import parts_of
from torchlurk.records import Graph, Layer
from torchlurk.scanning.reductions import exact, kept_on

KEPT_SHARE = 0.1
"""Of the pixels, that stay when the largest attributions are kept."""


def inside(boxes: Int[Tensor, "pair 4"], height: int, width: int) -> Bool[Tensor, "pair height width"]:
    """Which pixels lie in the boxes (x0, y0, x1, y1, half-open)."""
    x0, y0, x1, y1 = boxes[:, :, None, None].unbind(1)
    rows = torch.arange(height, device=boxes.device)[None, :, None]
    columns = torch.arange(width, device=boxes.device)[None, None, :]
    return (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)


def largest(
    attributions: Float[Tensor, "pair channel height width"],
    within: Bool[Tensor, "pair height width"],
    share: float = KEPT_SHARE,
) -> Bool[Tensor, "pair height width"]:
    """That share of the pixels `within` with the largest attribution, by the sum of magnitudes over channels; none where it is
    zero.
    """
    size = attributions.abs().sum(1).masked_fill(~within, 0)
    flat = size.flatten(1)
    count = (share * within.flatten(1).sum(1)).round().long().clamp(min=1)
    # Rows have counts of their own; sorting whole rows would take ten times as long.
    least = torch.stack([row.kthvalue(len(row) - most + 1).values for row, most in zip(flat, count.tolist(), strict=True)])
    return ((flat >= least[:, None]) & (flat > 0)).view(size.shape)


def left_of_activation(
    readout: Readout,
    inputs: Float[Tensor, "pair channel height width"],
    seen: Bool[Tensor, "pair height width"],
    filling: Float[Tensor, " channel"],
    channels: Int[Tensor, " pair"],
    positions: Int[Tensor, " pair"] | None,
    activations: Float[Tensor, " pair"],
) -> Float[Tensor, " pair"]:
    """The share of the activations that is left when the pixels `seen` stay and `filling` is everywhere else.

    NaN where the activation is not above zero: a share of it says nothing.
    """
    with torch.no_grad():
        shown = torch.where(seen[:, None], inputs, filling[None, :, None, None])
        left = readout(shown, channels, positions)
    return torch.where(activations > 0, left / activations, torch.nan)


def weights_below(network: nn.Module, graph: Graph, layer: Layer) -> tuple[str, ...]:
    """The weight matrices and kernels that a layer's inputs depend on, by name; without the layer's own.

    A recurrent layer lies below itself, one step earlier, so its own weights are among them.
    """
    own = layer.module or layer.name
    path, names = own.partition("#")[0], list[str]()
    for node in graph.nodes:
        if own in (node.name, node.module):
            break
        below = node.name.partition("#")[0]
        if node.kind == "module" and below != path:
            names += [f"{below}.{name}" for name, _ in network.get_submodule(below).named_parameters(recurse=False)]
    if layer.module:
        own_path, module = next((one, module) for one, called, module in submodules(network) if called == path)
        names += [f"{own_path}.{name}".lstrip(".") for name in _carrying(module, layer.stream)]
    matrices = {name for name, one in network.named_parameters(remove_duplicate=False) if one.ndim > 1}
    return tuple(name for name in dict.fromkeys(names) if name in matrices)


def _carrying(module: nn.Module, stream: str) -> list[str]:
    """The parameters of a recurrent module, or all of another, that a stream of it depends on."""
    names = [name for name, _ in module.named_parameters()]
    if not isinstance(module, nn.RNNBase):
        return names
    parts, own = parts_of(module), stream.partition(".")[0]
    directions = 2 if module.bidirectional else 1
    needed = {*parts[: parts.index(own) // directions * directions], own}
    return [name for name in names if f"l{name.partition('_l')[2]}" in needed]


def shuffled(module: nn.Module, names: Iterable[str], generator: torch.Generator) -> nn.Module:
    """A copy in which each of these weight matrices or kernels has its numbers in random order.

    Their scale and distribution stay, so that activations neither vanish nor explode; what was learned is gone.
    """
    copied = copy.deepcopy(module)
    with torch.no_grad():
        for name in names:
            weight = copied.get_parameter(name)
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order.to(weight.device)].view_as(weight))
    return copied


def similarity(left: Float[Tensor, " pair *pixels"], right: Float[Tensor, " pair *pixels"]) -> Float[Tensor, " pair"]:
    """Spearman's rank correlation of two attributions, with their signs (Adebayo et al. 2018, arXiv 1810.03292, sec. 4); NaN
    where one of them is constant.

    Magnitudes would be alike for any weights, because all fall off from the middle of the receptive field.
    """
    ranks = [_ranks(one.flatten(1).to(kept_on(one.device))) for one in (left, right)]
    centred = [one - one.mean(1, keepdim=True) for one in ranks]
    lengths = [one.square().sum(1).sqrt() for one in centred]
    return (centred[0] * centred[1]).sum(1) / (lengths[0] * lengths[1])


def _ranks(values: Float[Tensor, "pair pixel"]) -> Float[Tensor, "pair pixel"]:
    """Ranks from 0; equal values share the mean of theirs."""
    found = torch.empty_like(values, dtype=torch.float64)
    for index, row in enumerate(values):
        _, group, counts = row.unique(return_inverse=True, return_counts=True)
        last = counts.cumsum(0).double() - 1
        found[index] = (last - (counts.double() - 1) / 2)[group]
    return found


def spread_of(attributions: Float[Tensor, "pair channel height width"]) -> Float[Tensor, "pair 2"]:
    """Height and width of the even rectangle that is as spread out as the gradient's mass: where most of it lies.

    The mass is that of squares (Luo et al. 2016, arXiv 1701.04128). NaN where there is none.
    """
    mass = exact(attributions).square().sum(1)
    sides = []
    for axis in (1, 2):
        along = mass.sum(3 - axis)
        places = torch.arange(along.shape[1], dtype=along.dtype, device=along.device)
        total = along.sum(1)
        mean = (along * places).sum(1) / total
        variance = (along * places.square()).sum(1) / total - mean.square()
        sides.append((12 * variance.clamp(min=0) + 1).sqrt())  # a single pixel is one wide
    return torch.stack(sides, 1)


def share_on(chosen: Bool[Tensor, "pair height width"], mask: Bool[Tensor, "pair height width"]) -> Float[Tensor, " pair"]:
    """The share of the chosen pixels that lie on the mask; NaN where none was chosen."""
    return (chosen & mask).flatten(1).sum(1) / chosen.flatten(1).sum(1)
