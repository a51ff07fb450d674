"""What a network's outputs say: the highest classes with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from torchlurk.anatomy import Prediction

SUM_TOLERANCE = 1e-3
"""How far the sum of outputs that are already probabilities may be from 1."""


def predictions(
    outputs: Float[Tensor, "image ..."] | None, labels: Sequence[str] | None, *, most: int, of: Sequence[int] | None = None
) -> tuple[Prediction, ...]:
    """The outputs with the highest mean probability over the images, highest first; or those numbered `of`, in that order.

    Outputs that are neither negative nor add up to anything but 1 count as probabilities, others as logits. Empty where
    the outputs are not one number a class; a class without a label goes by its number.
    """
    if outputs is None or outputs.ndim != 2:
        return ()
    logits = outputs.double()
    shares = probabilities(logits).mean(0)
    logits = logits.mean(0)
    chosen = shares.argsort(descending=True, stable=True)[:most].tolist() if of is None else list(of)
    named = labels if labels is not None and len(labels) == len(shares) else None
    alone = len(shares) == 1
    return tuple(
        Prediction(
            index, named[index] if named else str(index), float(logits[index]), math.nan if alone else float(shares[index])
        )
        for index in chosen
    )


def probabilities(outputs: Float[Tensor, "image class"]) -> Float[Tensor, "image class"]:
    """The outputs where they are probabilities already, else their softmax."""
    already = bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < SUM_TOLERANCE).all())
    return outputs if already else torch.softmax(outputs, 1)
