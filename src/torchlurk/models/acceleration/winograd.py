"""Convolutions by few multiplications: Winograd's way, on a CPU.

Lavin and Gray 2015, Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308. Along each axis a tile of eight
numbers and a kernel of three (or five) are turned into eight numbers each, by which polynomials are evaluated at seven points
and infinity; products of these, turned back, are six (or four) numbers of the convolution. In two dimensions 64 products a tile
and pair of channels do what 324 (or 400) do otherwise, and for all tiles and channels they are 64 matrix products.

Rounding errors are some ten times those of the usual way: about 1e-5 of the largest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from torchlurk.compiled.functions import compiled, inlined
from torchlurk.compiled.lanes import WIDTH, add, add_times, everywhere, floats, load, store, subtract
from torchlurk.models.acceleration.core_pool import CorePool

TILE = 8
"""Numbers of a tile along each axis."""

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Where the polynomials are evaluated, beside infinity: few digits, so that little is lost."""

LEADING = (-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""The factor of the sixth power in the polynomial that is one at a point and zero at the others, as `_into` has it."""

SIDES = (3, 5)
"""Sides of kernels that gain by it."""

PRODUCTS = TILE * TILE
HELD = 1 << 20
"""Numbers, of channels on both sides, that are held between the steps: they stay in the cache."""

FEWEST_TILES = 32
"""Tiles of a block at least, where there are as many: matrix products of fewer rows are slow."""

APART = 16
"""Numbers left between the products' matrices, or writing all at once would go to the same few lines of the cache."""

PRODUCT_COST, TURNING_COST, READING_COST = 1.5, 20, 20
"""In multiplications of the usual way: one here, turning a number of a tile, and reading a weight, measured on AVX2."""

GAIN = 1.3
"""How much cheaper it must look to be worth it."""


class Tiles(NamedTuple):
    """Tiles of one picture from `first` to `last`, row by row, of which there are `across` in a row."""

    picture: int
    first: int
    last: int
    across: int


class Winograd:
    """A convolution with stride one of square kernels with one of `SIDES`, whose channels are multiples of eight.

    The same picture gives the same, bit for bit, whatever pictures it is among and on however many cores.
    """

    def __init__(self, weight: Float[Tensor, "filter channel side side"], padding: int) -> None:
        self.filters, self.channels, self.side = weight.shape[:3]
        self.padding, self.step = padding, TILE + 1 - self.side
        turning = torch.from_numpy(kernel_matrix(self.side))
        turned = torch.einsum("ia,fcab,jb->ijcf", turning, weight.double(), turning)
        self._weights = turned.reshape(PRODUCTS, self.channels, self.filters).to(torch.float32).contiguous()

    def __call__(
        self, x: Float[Tensor, "picture channel height width"], bias: Float[Tensor, " filter"] | None, cores: CorePool
    ) -> Float[Tensor, "picture filter h2 w2"]:
        """The convolution of float32 pictures; what is made has channels last in memory."""
        self._check(x, bias)
        x = x.contiguous(memory_format=torch.channels_last)
        height, width = (extent + 2 * self.padding - self.side + 1 for extent in x.shape[2:])
        made = torch.empty((len(x), self.filters, height, width), memory_format=torch.channels_last)
        biases = torch.zeros(self.filters) if bias is None else bias.detach().contiguous()
        across = -(-width // self.step)
        count = -(-height // self.step) * across
        size = block_of(count, self.channels, self.filters)
        starts = range(0, count, size)
        blocks = [Tiles(one, first, min(first + size, count), across) for one in range(len(x)) for first in starts]
        cores.each(lambda block: self._make(made, biases, x, block, cores), blocks)
        return made

    def _make(self, made: Tensor, biases: Tensor, x: Tensor, tiles: Tiles, cores: CorePool) -> None:
        """Some tiles of a picture."""
        picture, first, last, across = tiles
        count = last - first
        apart = count * self.channels + APART
        memory = cores.memory(PRODUCTS * (apart + count * self.filters) + 2 * PRODUCTS * WIDTH)
        products, rest = memory[: PRODUCTS * count * self.filters], memory[PRODUCTS * count * self.filters :]
        between, turned = rest[: 2 * PRODUCTS * WIDTH], rest[2 * PRODUCTS * WIDTH :]
        fits = _turn(
            x[picture].data_ptr(), x[picture].numel(), *x.shape[2:], self.channels, self.padding, self.step, across, first,
            last, turned.data_ptr(), turned.numel(), apart, between.data_ptr(), between.numel(),
        )  # fmt: skip
        if not fits:
            raise ValueError("tiles lie outside of the memory that they are turned in")
        left = turned.as_strided((PRODUCTS, count, self.channels), (apart, self.channels, 1))
        torch.bmm(left, self._weights, out=products.view(PRODUCTS, count, self.filters))
        fits = _turn_back(
            products.data_ptr(), products.numel(), count * self.filters, self.filters, self.step, across, first, last,
            made[picture].data_ptr(), made[picture].numel(), *made.shape[2:], biases.data_ptr(), biases.numel(),
            between.data_ptr(), between.numel(),
        )  # fmt: skip
        if not fits:
            raise ValueError("tiles lie outside of the picture that they are turned back into")

    def _check(self, x: Tensor, bias: Tensor | None) -> None:
        """Raises `ValueError` for pictures that are not of this convolution."""
        plain = x.is_cpu and x.dtype is torch.float32 and x.ndim == 4 and x.shape[1] == self.channels
        if not plain or min(x.shape[2:]) + 2 * self.padding < self.side:
            raise ValueError(f"{tuple(x.shape)} in {x.dtype} are no pictures of {self.channels} channels for this convolution")
        if bias is not None and (bias.shape != (self.filters,) or bias.dtype is not torch.float32):
            raise ValueError(f"a bias of {tuple(bias.shape)} in {bias.dtype} is not one of {self.filters} filters")


def worth(weight: Sequence[int], padding: int, height: int, width: int) -> bool:
    """Whether a convolution with weights of that shape is quicker so, on pictures of that size."""
    filters, channels, side = weight[0], weight[1], weight[2]
    if side not in SIDES or weight[3] != side or filters % WIDTH or channels % WIDTH:
        return False
    outputs = [extent + 2 * padding - side + 1 for extent in (height, width)]
    if min(outputs) < 1:
        return False
    step = TILE + 1 - side
    tiles = -(-outputs[0] // step) * -(-outputs[1] // step)
    blocks = -(-tiles // block_of(tiles, channels, filters))
    here = filters * channels * (PRODUCT_COST * tiles + READING_COST * blocks) + TURNING_COST * tiles * (filters + channels)
    return outputs[0] * outputs[1] * side**2 * filters * channels >= GAIN * PRODUCTS * here


def block_of(tiles: int, channels: int, filters: int) -> int:
    """How many tiles of a picture are worked on at a time: as evenly as can be, as many as the cache holds."""
    most = max(FEWEST_TILES, HELD // (PRODUCTS * (channels + filters)))
    return -(-tiles // -(-tiles // most))


def kernel_matrix(side: int) -> Float64[np.ndarray, "tile side"]:
    """What turns a kernel: the values of its polynomial at the points, by what `_into` leaves out; the last at infinity."""
    rows = []
    for index, point in enumerate(POINTS):
        others = [point - other for place, other in enumerate(POINTS) if place != index]
        rows.append(point ** np.arange(side) / (LEADING[index] * np.prod(others)))
    return np.array([*rows, np.eye(side)[-1]])


@no_type_check
@inlined
def _into(source, start, step, target, to, apart):
    """Eight numbers of a tile, `step` apart, turned."""
    a, b, c, d = load(source, start), load(source, start + step), load(source, start + 2 * step), load(source, start + 3 * step)
    start += 4 * step
    e, f, g, h = load(source, start), load(source, start + step), load(source, start + 2 * step), load(source, start + 3 * step)
    none = everywhere(np.float32(0))
    store(target, to, add_times(subtract(a, g), np.float32(5.25), subtract(e, c)))
    even, odd = add_times(add(c, g), np.float32(-4.25), e), add_times(add(b, f), np.float32(-4.25), d)
    store(target, to + apart, add(even, odd))
    store(target, to + 2 * apart, subtract(even, odd))
    even = add_times(add_times(g, np.float32(0.25), c), np.float32(-1.25), e)
    odd = add_times(add_times(add_times(none, np.float32(0.5), b), np.float32(-2.5), d), np.float32(2), f)
    store(target, to + 3 * apart, add(even, odd))
    store(target, to + 4 * apart, subtract(even, odd))
    even = add_times(add_times(g, np.float32(4), c), np.float32(-5), e)
    odd = add_times(add_times(add_times(none, np.float32(2), b), np.float32(-2.5), d), np.float32(0.5), f)
    store(target, to + 5 * apart, add(even, odd))
    store(target, to + 6 * apart, subtract(even, odd))
    store(target, to + 7 * apart, add_times(subtract(h, b), np.float32(5.25), subtract(d, f)))


@no_type_check
@inlined
def _out_of(source, start, step, target, to, apart, wide, wanted, bias):
    """Eight products turned back: `wanted` numbers of the `wide` (four or six) that they make, with the bias."""
    zero = add(load(source, start), bias)
    one, two = load(source, start + step), load(source, start + 2 * step)
    even, odd = add(one, two), subtract(one, two)
    one, two = load(source, start + 3 * step), load(source, start + 4 * step)
    even_two, odd_two = add(one, two), subtract(one, two)
    one, two = load(source, start + 5 * step), load(source, start + 6 * step)
    even_half, odd_half = add(one, two), subtract(one, two)
    infinite = load(source, start + 7 * step)
    store(target, to, add(add(add(zero, even), even_two), even_half))
    even, odd = add(even, bias), add(odd, bias)
    if wanted > 1:
        store(target, to + apart, add_times(add_times(odd, np.float32(2), odd_two), np.float32(1 / 2), odd_half))
    if wanted > 2:
        store(target, to + 2 * apart, add_times(add_times(even, np.float32(4), even_two), np.float32(1 / 4), even_half))
    if wanted > 3:
        last = add(odd, infinite) if wide == 4 else odd
        store(target, to + 3 * apart, add_times(add_times(last, np.float32(8), odd_two), np.float32(1 / 8), odd_half))
    if wanted > 4:
        store(target, to + 4 * apart, add_times(add_times(even, np.float32(16), even_two), np.float32(1 / 16), even_half))
    if wanted > 5:
        odd = add(odd, infinite)
        store(target, to + 5 * apart, add_times(add_times(odd, np.float32(32), odd_two), np.float32(1 / 32), odd_half))


@no_type_check
@compiled
def _turn(
    picture, size, height, width, channels, padding, step, across, first, last, turned, turned_size, apart, between, room
):
    """Tiles of a picture [row, column, channel], turned, into matrices [product, tile, channel].

    False, with nothing done, where that does not lie within memory of the sizes given.
    """
    count = last - first
    if height * width * channels > size or channels % WIDTH or across < 1 or first < 0 or count < 0:
        return False
    if room < 2 * PRODUCTS * WIDTH or count * channels > apart or (PRODUCTS - 1) * apart + count * channels > turned_size:
        return False
    source, middle, target = floats(picture), floats(between), floats(turned)
    patch = PRODUCTS * WIDTH
    for tile in range(first, last):
        top, left = tile // across * step - padding, tile % across * step - padding
        inside = top >= 0 and left >= 0 and top + TILE <= height and left + TILE <= width
        for channel in range(0, channels, WIDTH):
            if inside:
                for column in range(TILE):
                    start = (top * width + left + column) * channels + channel
                    _into(source, start, width * channels, middle, column * WIDTH, TILE * WIDTH)
            else:
                _cut(source, height, width, channels, top, left, channel, middle, patch)
                for column in range(TILE):
                    start = patch + column * WIDTH
                    _into(middle, start, TILE * WIDTH, middle, column * WIDTH, TILE * WIDTH)
            for row in range(TILE):
                to = row * TILE * apart + (tile - first) * channels + channel
                _into(middle, row * TILE * WIDTH, WIDTH, target, to, apart)
    return True


@no_type_check
@inlined
def _cut(source, height, width, channels, top, left, channel, target, to):
    """A tile of eight channels as it is, zero outside the picture."""
    none = everywhere(np.float32(0))
    for row in range(top, top + TILE):
        for column in range(left, left + TILE):
            if 0 <= row < height and 0 <= column < width:
                store(target, to, load(source, (row * width + column) * channels + channel))
            else:
                store(target, to, none)
            to += WIDTH


@no_type_check
@compiled
def _turn_back(
    products, size, apart, filters, step, across, first, last, picture, picture_size, height, width, bias, biased, between, room
):
    """Matrices [product, tile, filter] turned back, into a picture [row, column, filter]; tiles may stick out of it.

    False, with nothing done, where that does not lie within memory of the sizes given.
    """
    count = last - first
    if height * width * filters > picture_size or filters % WIDTH or filters > biased or first < 0 or count < 0:
        return False
    if across != -(-width // step) or last > -(-height // step) * across or room < TILE * TILE * WIDTH:
        return False
    if count * filters > apart or (PRODUCTS - 1) * apart + count * filters > size:
        return False
    source, middle, target, biases = floats(products), floats(between), floats(picture), floats(bias)
    none = everywhere(np.float32(0))
    for tile in range(first, last):
        top, left = tile // across * step, tile % across * step
        rows, columns = min(step, height - top), min(step, width - left)
        for channel in range(0, filters, WIDTH):
            for column in range(TILE):
                start = column * apart + (tile - first) * filters + channel
                _out_of(source, start, TILE * apart, middle, column * WIDTH, TILE * WIDTH, step, rows, none)
            own = load(biases, channel)
            for row in range(rows):
                to = ((top + row) * width + left) * filters + channel
                _out_of(middle, row * TILE * WIDTH, WIDTH, target, to, filters, step, columns, own)
    return True
