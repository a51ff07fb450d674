"""The z⁺-rule in either direction: a value is shared out among the contributions of its own sign (Bach et al. 2015, doi
10.1371/journal.pone.0130140, eq. 60 with α = 1, β = 0; Montavon et al. 2019, doi 10.1007/978-3-030-28954-6_10, sec. 10.2.1).

Each function gives the value itself as a multiple, held fixed, of those contributions: relevance is then what goes in times the
gradient. Biases get nothing, and shares are never larger than what is shared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Parts = tuple[Float[Tensor, "*batch unit"], Float[Tensor, "*batch unit"]]
"""The sums of the contributions above and below zero."""


def products(x: Float[Tensor, "*batch feature"], weight: Float[Tensor, "unit feature"]) -> Parts:
    """Those of x to each of the sums that a dense layer makes."""
    above, below = x * (x > 0), x * (x < 0)
    for_it, against = weight.clamp(min=0), weight.clamp(max=0)
    return F.linear(above, for_it) + F.linear(below, against), F.linear(above, against) + F.linear(below, for_it)


def agreeing(value: Float[Tensor, "*batch unit"], *parts: Parts) -> Float[Tensor, "*batch unit"]:
    """The value, of which what has its sign among the parts gets all; nothing gets any where there is no such part."""
    value = value.detach()
    above, below = (torch.stack(one).sum(0) for one in zip(*parts, strict=True))
    own = torch.where(value > 0, above, below)
    rate = torch.where(own == 0, 0.0, value / own).detach()
    shared = own * rate
    return shared + (value - shared.detach())


def added(one: Float[Tensor, "*batch unit"], other: Float[Tensor, "*batch unit"]) -> Float[Tensor, "*batch unit"]:
    """The sum of two terms, shared out so."""
    return agreeing(one + other, (one * (one > 0), one * (one < 0)), (other * (other > 0), other * (other < 0)))
