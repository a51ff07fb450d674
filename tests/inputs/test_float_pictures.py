"""Float pictures that are pixels, and not what the network was trained on, are told of."""

import pytest
import torch
from torch.utils.data import TensorDataset

from torchlurk.inputs.feeding import read_twice
from torchlurk.inputs.float_pictures import other_range
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.records import Preprocessing

PLAIN = Preprocessing()
NORMALIZED = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def pictures() -> torch.Tensor:
    return torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("values", "preprocessing", "said"),
    [
        (pictures(), NORMALIZED, "floats from 0 to 1, and the network is given them as they are"),
        (255 * pictures(), NORMALIZED, "if these are pixels from 0 to 255"),
        (255 * pictures(), PLAIN, "if these are pixels from 0 to 255"),
        (pictures(), PLAIN, ""),
        ((pictures() - 0.5) / 0.25, NORMALIZED, ""),
        ((255 * pictures()).to(torch.uint8), NORMALIZED, ""),
        (torch.zeros(20, 3, 4, 4), NORMALIZED, ""),
        (torch.full((20, 3, 4, 4), torch.nan), NORMALIZED, ""),
    ],
)
def test_what_was_not_normalized_is_told(values, preprocessing, said):
    source = DatasetSource(TensorDataset(values), preprocessing)
    told = other_range((one for one, _ in read_twice(source)), preprocessing)
    assert (said in told) if said else told == ""
