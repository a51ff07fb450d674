"""Rows in plain torch against float64, and that only what is asked for is located."""

# Tolerances are of float32: a response is right to 6e-8, a mean over a map to 1e-5; sums over examples are in float64.

from __future__ import annotations

import torch

from torchlurk.scanning import reductions


def test_rows_are_what_float64_says() -> None:
    maps = torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    pivot = torch.randn(4, generator=torch.Generator().manual_seed(1))
    rows = reductions.reduce(reductions.flat(maps), pivot)
    exact = maps.double().flatten(2)
    away = exact - pivot.double()[:, None]
    torch.testing.assert_close(rows.mean.double(), exact.mean(-1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(rows.offset.double(), away.mean(-1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(rows.spread.double(), away.square().sum(-1), rtol=1e-6, atol=0)
    assert torch.equal(rows.max.double(), exact.amax(-1))
    assert torch.equal(rows.min.double(), exact.amin(-1))
    assert torch.equal(rows.active, (exact > 0).sum(-1).float())
    assert rows.finite.all()


def test_the_first_of_equal_maxima_is_located_row_by_row() -> None:
    maps = torch.zeros(2, 2, 3, 4)
    maps[0, 1, 1, 2] = maps[0, 1, 2, 0] = 5
    wanted = torch.tensor([[False, True], [True, False]])
    assert reductions.locate(reductions.flat(maps), wanted).tolist()[0][1] == 6
    assert reductions.locate(reductions.flat(maps), wanted).tolist()[1][0] == 0


def test_a_vector_has_one_position() -> None:
    assert reductions.flat(torch.zeros(3, 4)).shape == (3, 4, 1)
