"""Whether float pictures of a data set have the range that they should: they reach the network as they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from torchlurk.errors import DataError
from torchlurk.inputs.source import Source, spread
from torchlurk.inputs.sources.datasets import DatasetSource

LOOKED_AT = 8
"""So many pictures, spread over the data, are looked at."""
BYTES = 20
"""Above this, numbers that are all at least 0 are pixels from 0 to 255."""


def other_range(source: Source) -> str:
    """What to tell where the float pictures of a data set are pixels that were not normalized although `mean` and `std` say so,
    or from 0 to 255; '' where there is nothing to tell.
    """
    pictures = list(_float_pictures(source)) if isinstance(source, DatasetSource) else []
    low = min((float(one.min()) for one in pictures), default=-1.0)
    high = max((float(one.max()) for one in pictures), default=0.0)
    preprocessing = source.preprocessing
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


def _float_pictures(source: Source) -> Iterator[Tensor]:
    for index in spread(len(source.examples), LOOKED_AT):
        try:
            values = source.read(index).values
        except DataError:
            continue
        if (
            isinstance(values, Tensor)
            and values.ndim == 3
            and values.is_floating_point()
            and bool(torch.isfinite(values).all())
        ):
            yield values
