"""What a node is made of: activation × gradient of every unit that feeds it.

Between the layers that feed a linear or convolutional unit and the sum that the unit's nonlinearity is applied to,
everything is linear, so the contributions add up to that sum less the biases on the way. A ReLU on the way, as after
the concatenations of a DenseNet, is linear where it stands; what is curved there (layer normalization, attention) is
left in `rest`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.anatomy import UnitPath
from torchlurk.attribution.rules import gradient
from torchlurk.errors import ModelError
from torchlurk.hierarchy.segments import Segments


@dataclass(frozen=True, slots=True)
class Parts:
    """What one node is made of: by layer the contribution (channel, position) of each channel at each position;
    `value` is what they make.
    """

    value: float
    by_layer: dict[str, Float[Tensor, "_channel _position"]]
    activations: dict[str, Float[Tensor, "_channel _position"]]


def parts(segments: Segments, branches: Sequence[UnitPath], weights: Sequence[Float[Tensor, "*_position"]]) -> list[Parts]:
    """For the last unit of each branch, in rows as `Maps` has them: the contributions to its weighted mean over positions.

    `weights` say how much each of its positions counts; their magnitudes are made to add up to 1, unless all are zero. Raises
    `ModelError` for a unit that is not a finite number.
    """
    found: list[Parts | None] = [None] * len(branches)
    for layer in dict.fromkeys(branch.last.layer for branch in branches):
        sums = segments.sums(layer)
        signal = segments.nothing(layer, len(branches))
        rows = [row for row, branch in enumerate(branches) if branch.last.layer == layer]
        for row in rows:
            magnitude = weights[row].abs().sum()
            signal[row, branches[row].last.channel] = weights[row] / torch.where(magnitude > 0, magnitude, 1.0)
        gradients = segments.to_feeders(layer, signal, gradient)
        activations = {name: segments.activations(name) for name in gradients}
        for row in rows:
            image = row % segments.batch
            value = float((signal[row] * sums[image]).sum())
            if not math.isfinite(value):
                raise ModelError(
                    f"unit {branches[row].last} is {value} in this image", "choose a unit whose activation is finite"
                )
            found[row] = Parts(
                value,
                {name: _flat(activations[name][image] * one[row]) for name, one in gradients.items()},
                {name: _flat(one[image]) for name, one in activations.items()},
            )
    return [one for one in found if one is not None]


def _flat(map: Tensor) -> Float[Tensor, "channel position"]:
    return map.reshape(len(map), -1)
