"""What a network's outputs say: the highest of them, with their probabilities where they have any."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.anatomy import OutputKind, Prediction
from torchlurk.models.survey.endings import Ending
from torchlurk.scanning.reductions import exact

SUM_TOLERANCE = 1e-3
"""How far the sum of outputs that are already probabilities may be from 1."""


def predictions(
    outputs: Float[Tensor, "image ..."] | None,
    labels: Sequence[str] | None,
    ending: Ending = "unknown",
    *,
    most: int,
    of: Sequence[int] | None = None,
) -> tuple[Prediction, ...]:
    """The highest outputs, highest first, by their mean over the images; or those numbered `of`, in that order.

    `ending` is what is known of the outputs. Empty where they are not one number each; an output without a label goes by its
    number.
    """
    if outputs is None or outputs.ndim != 2:
        return ()
    values = exact(outputs)
    kind, found = probabilities(values, ending)
    values = values.mean(0)
    shares = None if found is None else found.mean(0)
    ranks = values if shares is None else shares
    chosen = ranks.argsort(descending=True, stable=True)[:most].tolist() if of is None else list(of)
    named = labels if labels is not None and len(labels) == len(values) else None
    return tuple(
        Prediction(
            index,
            named[index] if named else str(index),
            float(values[index]),
            math.nan if shares is None else float(shares[index]),
            kind,
        )
        for index in chosen
    )


def probabilities(
    outputs: Float[Tensor, "image output"], ending: Ending
) -> tuple[OutputKind, Float[Tensor, "image output"] | None]:
    """What the outputs stand for, and their probabilities; None where they have none.

    Where the ending says nothing, numbers decide: outputs that add up to 1, or whose exponentials do, are probabilities of
    classes or their logarithms, a single output is a number, and others are the logits of classes.
    """
    if ending == "sigmoid":
        return "label", outputs
    if ending == "logits of labels":
        return "label", outputs.sigmoid()
    if ending == "numbers" or outputs.shape[1] == 1:
        return "number", None
    if ending == "softmax" or (ending == "unknown" and _add_up(outputs)):
        return "class", outputs
    if ending == "log_softmax" or (bool((outputs <= 0).all()) and _add_up(outputs.exp())):
        return "class", outputs.exp()
    return "class", torch.softmax(outputs, 1)


def _add_up(outputs: Float[Tensor, "image output"]) -> bool:
    return bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < SUM_TOLERANCE).all())
