"""Pictures read between their pixels, and the way back, compiled for the CPU.

Torch takes about twice as long, with the grid of places that it wants made first. There and back are two loops on purpose: one
loop for both, with the corners looked at one by one, takes a third longer.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchlurk.compiled.functions import compiled, inlined


def sampled(
    pictures: Float32[Tensor, "view channel height width"], places: Float[Tensor, "view 2 3"], size: tuple[int, int]
) -> Float32[Tensor, "view channel rows columns"]:
    """Views of (rows, columns) `size`, bilinear between pixels, zero outside.

    The pixel in column c and row r of a view is read at `places` @ (c, r, 1), in columns and rows of its picture.
    """
    if pictures.dtype is not torch.float32 or not pictures.is_cpu or places.shape != (len(pictures), 2, 3):
        raise ValueError(f"places of {tuple(places.shape)} are not 2 by 3 for each of {tuple(pictures.shape)} float32 pictures")
    found: Tensor = _Sampled.apply(pictures, places.to(torch.float32), size)  # type: ignore[no-untyped-call]
    return found


class _Sampled(torch.autograd.Function):
    """Gradients go back to the pictures alone."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.places, ctx.shape = places.contiguous().numpy(), pictures.shape
        views = pictures.new_empty(*pictures.shape[:2], *size)
        _do(_read, pictures.detach().contiguous().numpy(), ctx.places, views.numpy())
        return views

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        back = signal.new_zeros(ctx.shape)
        _do(_add, back.numpy(), ctx.places, signal.contiguous().numpy())
        return back, None, None


def _do(kernel: Any, *arrays: np.ndarray) -> None:
    if not kernel(*arrays):
        raise ValueError(f"{[one.shape for one in arrays]} are not pictures, a place each, and views of them")


@no_type_check
@compiled
def _fits(pictures, places, views):
    """Whether there is a place and a view for each picture."""
    alike = pictures.shape[0] == views.shape[0] == places.shape[0] and pictures.shape[1] == views.shape[1]
    return alike and places.shape[1] == 2 and places.shape[2] == 3


@no_type_check
@compiled
def _read(pictures, places, views):
    """Each view of its picture; False, with nothing done, where there is not one for each."""
    if not _fits(pictures, places, views):
        return False
    height, width = pictures.shape[2:]
    channels, rows, columns = views.shape[1:]
    for view in range(len(views)):
        for row in range(rows):
            for column in range(columns):
                left, top, shares = _place(places[view], column, row)
                if 0 <= left < width - 1 and 0 <= top < height - 1:
                    for channel in range(channels):
                        picture, below = pictures[view, channel, top], pictures[view, channel, top + 1]
                        high = picture[left] * shares[0] + picture[left + 1] * shares[1]
                        low = below[left] * shares[2] + below[left + 1] * shares[3]
                        views[view, channel, row, column] = high + low
                else:
                    for channel in range(channels):
                        views[view, channel, row, column] = 0
                    for corner in range(4):
                        x, y = left + corner % 2, top + corner // 2
                        if 0 <= x < width and 0 <= y < height:
                            for channel in range(channels):
                                views[view, channel, row, column] += pictures[view, channel, y, x] * shares[corner]
    return True


@no_type_check
@compiled
def _add(pictures, places, views):
    """What comes back from each view, added where it was read; False, with nothing done, where there is not one for each."""
    if not _fits(pictures, places, views):
        return False
    height, width = pictures.shape[2:]
    channels, rows, columns = views.shape[1:]
    for view in range(len(views)):
        for row in range(rows):
            for column in range(columns):
                left, top, shares = _place(places[view], column, row)
                if 0 <= left < width - 1 and 0 <= top < height - 1:
                    for channel in range(channels):
                        picture, below = pictures[view, channel, top], pictures[view, channel, top + 1]
                        value = views[view, channel, row, column]
                        picture[left] += value * shares[0]
                        picture[left + 1] += value * shares[1]
                        below[left] += value * shares[2]
                        below[left + 1] += value * shares[3]
                else:
                    for corner in range(4):
                        x, y = left + corner % 2, top + corner // 2
                        if 0 <= x < width and 0 <= y < height:
                            for channel in range(channels):
                                pictures[view, channel, y, x] += views[view, channel, row, column] * shares[corner]
    return True


@no_type_check
@inlined
def _place(place, column, row):
    """Where a pixel is read: the pixel left above, and the shares of the four around."""
    column, row, one = np.float32(column), np.float32(row), np.float32(1)
    x = place[0, 0] * column + (place[0, 1] * row + place[0, 2])
    y = place[1, 0] * column + (place[1, 1] * row + place[1, 2])
    left, top = np.floor(x), np.floor(y)
    x, y = x - left, y - top
    return int(left), int(top), ((one - y) * (one - x), (one - y) * x, y * (one - x), y * x)
