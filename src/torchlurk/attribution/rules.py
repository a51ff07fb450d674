"""The rules by which gradients go back through rectifications; `models.taps.backward_rules.Rules` applies them."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor


def gradient(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The chain rule (Simonyan et al. 2013, arXiv 1312.6034, sec. 3)."""
    return signal * slope


def deconv(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Rectifies what comes from above, whatever went forward (Zeiler & Fergus 2013, arXiv 1311.2901, sec. 2.1)."""
    return signal.clamp(min=0)


def guided(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Lets through what is positive from above, times the slope (Springenberg et al. 2014, arXiv 1412.6806, sec. 3.4)."""
    return signal.clamp(min=0).mul_(slope)


def guided_neg(signal: Float[Tensor, "*s"], slope: Shaped[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Lets through what is negative from above, times the slope (cnn_treevis)."""
    return signal.clamp(max=0).mul_(slope)
