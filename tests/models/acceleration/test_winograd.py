"""Winograd's way makes what a convolution makes."""

# Tolerances are of float32 (1e-5 to 1e-7) or float64 (1e-9), where torch's kernels sum in another order.

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchlurk.models.acceleration.core_pool import CorePool
from torchlurk.models.acceleration.winograd import (
    PRODUCTS,
    SIDES,
    TILE,
    Winograd,
    _turn,
    _turn_back,
    block_of,
    kernel_matrix,
    worth,
)

NEAR = 3e-5
"""Of the largest value."""


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def made(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    with CorePool() as cores:
        return Winograd(weight, padding)(x, bias, cores)


@pytest.mark.parametrize("side", SIDES)
def test_the_matrices_are_those_of_polynomials_multiplied(side):
    """One row of a kernel and one of a tile, by the definition of a convolution, as polynomials in float64."""
    step = TILE + 1 - side
    tile, kernel = np.random.default_rng(0).normal(size=(2, TILE))
    kernel = kernel[:side]
    points = [0, 1, -1, 2, -2, 0.5, -0.5]
    back = np.array([[point**power for point in points] for power in range(step)])
    back = np.hstack([back, np.eye(step)[:, -1:]])
    # What turns a tile is what makes the whole right for every tile and kernel: solved for, one tile number at a time.
    wanted = np.zeros((step * side, TILE))
    for output in range(step):
        for tap in range(side):
            wanted[output * side + tap, output + tap] = 1
    products = np.array([[back[output] * kernel_matrix(side)[:, tap] for tap in range(side)] for output in range(step)])
    into, *_ = np.linalg.lstsq(products.reshape(step * side, TILE), wanted, rcond=None)
    found = back @ ((into @ tile) * (kernel_matrix(side) @ kernel))
    np.testing.assert_allclose(found, np.correlate(tile, kernel), atol=1e-9)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(13, 17), (8, 8), (6, 21), (30, 31)])
def test_it_is_the_convolution(side, padding, height, width):
    x, weight, bias = drawn(2, 16, height, width), drawn(24, 16, side, side), drawn(24)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
    found = made(x, weight, bias, padding)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < NEAR * expected.abs().max()
    without = F.conv2d(x.double(), weight.double(), padding=padding)
    assert (made(x, weight, None, padding) - without).abs().max() < NEAR * without.abs().max()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_picture_gives_the_same_bits_among_others_and_on_any_number_of_cores(threads):
    x, weight = drawn(5, 64, 40, 41), drawn(64, 64, 3, 3)
    before = torch.get_num_threads()
    alone = torch.cat([made(one[None], weight, None, 1) for one in x])
    try:
        torch.set_num_threads(threads)
        together = made(x.flip(0), weight, None, 1).flip(0)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone, together)


def test_a_number_that_is_none_stays_in_its_picture():
    x, weight = drawn(3, 16, 20, 20), drawn(16, 16, 3, 3)
    clean = made(x, weight, None, 1)
    x[1, 3, 5, 5] = torch.nan
    found = made(x, weight, None, 1)
    assert found[1].isnan().any()
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


def test_it_is_said_to_be_worth_it_where_channels_are_many_and_maps_are_not_small():
    assert worth((64, 64, 3, 3), 1, 128, 128)
    assert worth((192, 64, 5, 5), 2, 15, 15)
    assert not worth((512, 512, 3, 3), 1, 7, 7)
    assert not worth((64, 3, 3, 3), 1, 224, 224)
    assert not worth((64, 64, 1, 1), 0, 56, 56)
    assert not worth((64, 64, 3, 5), 1, 56, 56)
    assert not worth((64, 60, 3, 3), 1, 56, 56)
    assert not worth((64, 64, 3, 3), 0, 2, 2)


@pytest.mark.parametrize("tiles", [1, 31, 33, 484, 1000])
def test_blocks_are_even_and_none_is_empty(tiles):
    size = block_of(tiles, 64, 64)
    assert 1 <= size <= tiles
    assert -(-tiles // size) * size - tiles < -(-tiles // size)


@pytest.mark.parametrize("picture", [drawn(2, 24, 9, 9), drawn(2, 16, 9, 9).double(), drawn(2, 16, 0, 2)])
def test_pictures_of_another_convolution_are_refused(picture):
    with pytest.raises(ValueError, match="no pictures of 16 channels"):
        made(picture, drawn(8, 16, 3, 3), None, 0)


def test_a_bias_of_another_number_of_filters_is_refused():
    with pytest.raises(ValueError, match="not one of 8 filters"):
        made(drawn(2, 16, 9, 9), drawn(8, 16, 3, 3), drawn(4), 1)


def test_compiled_code_refuses_tiles_outside_of_its_memory():
    memory, other = torch.zeros(PRODUCTS * 64 * 8), torch.zeros(PRODUCTS * 64 * 8)
    for tiles, room, done in ((4, 1024, True), (4, 8, False), (65, 1024, False)):
        where = (memory.data_ptr(), 9 * 9 * 8, 9, 9, 8, 1, 6, 2, 0, tiles)
        assert _turn(*where, memory.data_ptr(), memory.numel(), 64 * 8, memory.data_ptr(), room) is done
    for across, last, size, done in ((2, 4, 9 * 9 * 8, True), (2, 5, 9 * 9 * 8, False), (2, 4, 9 * 9 * 7, False)):
        from_ = (memory.data_ptr(), memory.numel(), 64 * 8, 8, 6, across, 0, last)
        to = (other.data_ptr(), size, 9, 9, memory.data_ptr(), 8, memory.data_ptr(), 1024)
        assert _turn_back(*from_, *to) is done
