"""Pictures read between their pixels."""

# Tolerances are of float32 against a literal computation in float64: 1e-6 after one operation, 1e-5 after sums of hundreds,
# 1e-4 on the scale of grey levels or after a transform and back. From 0.05 on they are the spread of random draws.

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchlurk import compiled
from torchlurk.synthesis import sampling
from torchlurk.synthesis.sampling import sampled
from torchlurk.synthesis.transforms import Crop, Jitter, Pad, Rotate, Scale, Views


def by_hand(picture: Tensor, place: Tensor, rows: int, columns: int) -> Tensor:
    """The definition, one pixel at a time: each of the four around has the part that the others are away."""
    channels, height, width = picture.shape
    view = picture.double().sum() * torch.zeros(channels, rows, columns, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            x, y = (place.double() @ torch.tensor([column, row, 1.0], dtype=torch.float64)).tolist()
            for top in (math.floor(y), math.floor(y) + 1):
                for left in (math.floor(x), math.floor(x) + 1):
                    if 0 <= top < height and 0 <= left < width:
                        view[:, row, column] += picture[:, top, left] * (1 - abs(x - left)) * (1 - abs(y - top))
    return view


PLACES = {
    "as it is": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    "moved out": [[1.0, 0.0, -3.0], [0.0, 1.0, 2.0]],
    "between": [[1.0, 0.0, 0.25], [0.0, 1.0, -0.75]],
    "turned": [[0.8, -0.6, 2.3], [0.6, 0.8, -1.7]],
    "small": [[3.0, 0.1, -4.0], [0.2, 2.5, -3.0]],
    "far away": [[1.0, 0.0, 100.0], [0.0, 1.0, -100.0]],
}


@pytest.mark.parametrize("place", PLACES)
def test_each_pixel_is_what_is_around_where_it_is_read(place: str) -> None:
    picture = torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    places = torch.tensor(PLACES[place])
    found, expected = sampled(picture[None], places[None], (6, 8))[0], by_hand(picture, places, 6, 8)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-6)
    signal = torch.rand(found.shape, generator=torch.Generator().manual_seed(1))
    back = torch.autograd.grad(found, picture, signal)[0]
    torch.testing.assert_close(back, torch.autograd.grad(expected, picture, signal.double())[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 40), (37, 44)])
def test_views_are_those_of_torch(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    views = Views((Pad(5), Jitter(4), Scale(0.9, 1.1), Rotate(10), Crop(0.8, 0.6, 0.1)), count=3)
    generator = torch.Generator().manual_seed(2)
    pictures, draws = torch.rand(2, 3, 40, 45, generator=generator), torch.rand(6, views.draws, generator=generator)
    pictures.requires_grad_()
    found = views.of(pictures, draws, 0.5, size)
    signal = torch.rand(found.shape, generator=generator)
    back = torch.autograd.grad(found, pictures, signal)[0]
    monkeypatch.setattr(compiled, "module", lambda name: None)
    expected = views.of(pictures, draws, 0.5, size)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(back, torch.autograd.grad(expected, pictures, signal)[0], rtol=0, atol=1e-3)


def test_one_picture_may_be_many_views_at_once() -> None:
    picture = torch.rand(1, 3, 12, 12).expand(4, -1, -1, -1).requires_grad_()
    places = torch.eye(2, 3).expand(4, -1, -1)
    views = sampled(picture, places, (12, 12))
    assert torch.equal(views, picture)
    assert torch.equal(torch.autograd.grad(views.sum(), picture)[0], torch.ones(4, 3, 12, 12))
    assert F.mse_loss(views, picture) == 0


def test_compiled_code_refuses_places_for_another_number_of_pictures() -> None:
    read, add = sampling._read, sampling._add
    pictures, places, views = (
        np.ones((3, 2, 4, 4), np.float32),
        np.ones((3, 2, 3), np.float32),
        np.zeros((3, 2, 4, 4), np.float32),
    )
    for kernel in (read, add):
        assert kernel(pictures, places, views)
        assert not kernel(pictures, places[:2], views)
        assert not kernel(pictures[:2], places, views)
        assert not kernel(pictures[:, :1], places, views)
