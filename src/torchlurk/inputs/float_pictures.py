"""Whether float pictures of a data set have the range that they should: they reach the network as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from torchlurk.inputs.items import Item
from torchlurk.records import Preprocessing

BYTES = 20
"""Above this, numbers that are all at least 0 are pixels from 0 to 255."""


def other_range(items: Iterable[Item | str], preprocessing: Preprocessing) -> str:
    """What to tell where float pictures among `items` are pixels that were not normalized although `mean` and `std` say so,
    or from 0 to 255; '' where there is nothing to tell.
    """
    pictures = [one.values for one in items if isinstance(one, Item) and _is_picture_of_floats(one.values)]
    low = min((float(one.min()) for one in pictures), default=-1.0)
    high = max((float(one.max()) for one in pictures), default=0.0)
    normalized = any(preprocessing.mean) or any(one != 1 for one in preprocessing.std)
    if low < 0:
        return ""
    if high > BYTES:
        return (
            f"the data set's pictures are floats from {low:.3g} to {high:.3g}, and the network is given them as they are: if"
            " these are pixels from 0 to 255, normalize them in the data set, or give uint8 pixels"
        )
    if 0 < high <= 1 and normalized:
        return (
            "the data set's pictures are floats from 0 to 1, and the network is given them as they are: mean and std only say"
            " how floats were normalized. Normalize them in the data set, or give uint8 pixels"
        )
    return ""


def _is_picture_of_floats(values: object) -> bool:
    return isinstance(values, Tensor) and values.ndim == 3 and values.is_floating_point() and bool(torch.isfinite(values).all())
