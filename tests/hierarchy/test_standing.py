"""How unusual an activation is, against a loop over the sample."""

import numpy as np
import torch

from torchlurk.hierarchy.standing import standing_of


class Samples:
    def samples(self, layer):
        return np.array([[1, 2, 6, np.nan], [np.nan] * 4, [3, 3, 3, 3]], np.float32)


def test_values_that_are_none_do_not_count_and_a_unit_without_any_has_no_standing():
    standing, _ = standing_of(Samples(), "conv", torch.tensor([9.0, 1.0, 4.0]))
    assert np.isclose(standing[0], (9 - 3) / np.std([1, 2, 6]))
    assert np.isnan(standing[1:]).all()
