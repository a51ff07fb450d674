"""What each element of a tensor depends on in the network's input, as intervals of rows and columns, and how they combine.

An interval is kept as (-low, high), so that a union is the larger of each number and nothing at all is minus infinity.
Every operation of a network then does one of three things with intervals: it moves them, it takes their maximum over
whole dimensions (`over`), or it takes the maximum over a few places along a dimension (`through`). Dimensions along
which all elements agree are kept at size 1, as broadcasting allows: a convolution's output holds its rows as one number
per height and its columns as one per width.

Beside the true interval, which ends at the input's border because padding depends on nothing, a second one is kept that
goes on beyond it, as if padding were more image. It tells the size of a receptive field larger than the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

Intervals = Float32[Tensor, "side *#dims"]
"""`side`: -low and high (exclusive) of the true interval, then of the unbounded one; the other dimensions broadcast."""

NOTHING = -math.inf
NO_SOURCE = torch.iinfo(torch.int64).min
TRUE, UNBOUNDED = slice(0, 2), slice(2, 4)


@dataclass(frozen=True, slots=True)
class Reach:
    """The input rows and columns that each element of a tensor of `shape` depends on.

    An element that depends on nothing is -inf in both `rows` and `columns`. `height` and `width` are those of the input.
    """

    rows: Intervals
    columns: Intervals
    shape: tuple[int, ...]
    height: int
    width: int

    @property
    def empty(self) -> bool:
        """Whether no element depends on any pixel."""
        return self.rows.numel() == 0 or bool((self.rows[0] == NOTHING).all())

    def each(self, change: Callable[[Intervals], Intervals], shape: Sequence[int]) -> Reach:
        """The same change made to rows and columns; `shape` is that of the tensor afterwards."""
        return replace(self, rows=change(self.rows), columns=change(self.columns), shape=tuple(shape))

    def compact(self) -> Reach:
        """The same, with dimensions along which all elements agree at size 1."""
        rows, columns = _compact(self.rows), _compact(self.columns)
        return self if rows is self.rows and columns is self.columns else replace(self, rows=rows, columns=columns)

    def aligned(self, shape: Sequence[int]) -> Reach:
        """As operand of a pointwise operation with result `shape`: missing leading dimensions added."""
        missing = len(shape) - len(self.shape)
        return self.each(lambda sides: sides.reshape(sides.shape[0], *[1] * missing, *sides.shape[1:]), shape)

    def reshaped(self, shape: Sequence[int]) -> Reach:
        """After a view: the same elements, in row-major order, in another shape, of which one size may be -1."""
        known = math.prod(size for size in shape if size >= 0)
        shape = [math.prod(self.shape) // max(1, known) if size < 0 else size for size in shape]
        return self.each(lambda sides: _reshaped(sides, self.shape, tuple(shape)), shape)

    def permuted(self, dims: Sequence[int]) -> Reach:
        """With dimensions in another order."""
        order = [dim % len(self.shape) for dim in dims]
        moved = [self.shape[dim] for dim in order]
        return self.each(lambda sides: sides.permute(0, *(dim + 1 for dim in order)), moved)

    def full(self, dims: Iterable[int]) -> Reach:
        """With the dimensions given at their true size."""
        wanted = {dim % max(1, len(self.shape)) for dim in dims}
        return self.each(lambda sides: _full(sides, self.shape, wanted), self.shape)

    def over(self, dims: Iterable[int]) -> Reach:
        """The union over whole dimensions, which stay at size 1, as after a sum."""
        rank = max(1, len(self.shape))
        wanted = sorted({dim % rank for dim in dims}) if self.shape else []
        shape = [1 if dim in wanted else size for dim, size in enumerate(self.shape)]
        return replace(
            self,
            rows=_over(self.rows, wanted, self.height),
            columns=_over(self.columns, wanted, self.width),
            shape=tuple(shape),
        )

    def total(self) -> Reach:
        """The union of all elements, as reach of a single number."""
        return self.over(range(len(self.shape))).each(lambda sides: sides.reshape(sides.shape[0]), ())

    def through(self, dim: int, sources: Int64[Tensor, "place tap"]) -> Reach:
        """Along `dim`, the union for each new place over the places that it reads.

        Sources outside of the tensor are padding: they depend on nothing, but the unbounded interval goes on there.
        NO_SOURCE stands for none.
        """
        size = self.shape[dim]
        shape = [*self.shape[:dim], sources.shape[0], *self.shape[dim + 1 :]]
        inside = (sources >= 0) & (sources < size)
        uniform = bool(inside.any(1).all())

        def gathered(sides: Tensor) -> Tensor:
            if uniform and sides.shape[dim + 1] == 1:
                return sides
            return _through(_full(sides, self.shape, {dim}), dim + 1, sources)

        return self.each(gathered, shape)


def of_steps(shape: Sequence[int], axis: int) -> Reach:
    """The reach of a sequence: each element depends on its own step, which are columns, along `axis`; there is one row."""
    rows = _pixels(1).reshape(4, *[1] * len(shape))
    columns = _pixels(shape[axis]).reshape(4, *[1] * axis, shape[axis], *[1] * (len(shape) - 1 - axis))
    return Reach(rows, columns, tuple(shape), 1, shape[axis])


def of_image(shape: Sequence[int]) -> Reach:
    """The reach of the input itself: each pixel depends on itself. Its last two dimensions are height and width.

    A signal (batch, channel, time) or a vector (batch, feature) has height 1.
    """
    height, width = (shape[-2], shape[-1]) if len(shape) > 3 else (1, shape[-1])
    tall = len(shape) > 3
    rows = _pixels(height).reshape(4, *[1] * (len(shape) - 2), height, 1) if tall else _pixels(1).reshape(4, *[1] * len(shape))
    columns = _pixels(width).reshape(4, *[1] * (len(shape) - 1), width)
    return Reach(rows, columns, tuple(shape), height, width)


def union(reaches: Sequence[Reach], shape: Sequence[int]) -> Reach:
    """The elementwise union, with broadcasting, of reaches of tensors that combine to one of `shape`."""
    operands = [one.aligned(shape) for one in reaches]
    rows = reduce(torch.maximum, [one.rows for one in operands])
    columns = reduce(torch.maximum, [one.columns for one in operands])
    return replace(operands[0], rows=rows, columns=columns)


def joined(reaches: Sequence[Reach], dim: int, shape: Sequence[int]) -> Reach:
    """The reaches of tensors laid end to end along `dim`."""
    parts = [one.full([dim]) for one in reaches]
    return replace(
        parts[0],
        rows=_joined([one.rows for one in parts], dim + 1),
        columns=_joined([one.columns for one in parts], dim + 1),
        shape=tuple(shape),
    )


def nothing(like: Reach, shape: Sequence[int]) -> Reach:
    """The reach of a constant tensor."""
    sides = torch.full((4, *[1] * len(shape)), NOTHING)
    return replace(like, rows=sides, columns=sides, shape=tuple(shape))


def everything(like: Reach, shape: Sequence[int]) -> Reach:
    """The reach of a tensor each of whose elements may depend on the whole input."""
    rows = torch.tensor([0.0, like.height, math.inf, math.inf]).reshape(4, *[1] * len(shape))
    columns = torch.tensor([0.0, like.width, math.inf, math.inf]).reshape(4, *[1] * len(shape))
    return replace(like, rows=rows, columns=columns, shape=tuple(shape))


def _pixels(length: int) -> Tensor:
    place = torch.arange(length, dtype=torch.float32)
    return torch.stack([-place, place + 1, -place, place + 1])


def _compact(sides: Tensor) -> Tensor:
    for dim in range(1, sides.dim()):
        if sides.shape[dim] > 1:
            first = sides.narrow(dim, 0, 1)
            if bool((sides == first).all()):
                sides = first.clone()
    return sides


def _full(sides: Tensor, shape: Sequence[int], wanted: Iterable[int]) -> Tensor:
    return sides.expand(sides.shape[0], *(size if dim in wanted else sides.shape[dim + 1] for dim, size in enumerate(shape)))


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    sizes = [max(part.shape[other] for part in parts) for other in range(parts[0].dim())]
    return torch.cat([part.expand(*sizes[:dim], part.shape[dim], *sizes[dim + 1 :]) for part in parts], dim)


def _reshaped(sides: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Only groups of dimensions that vary are written out before they are cut anew."""
    expanded, target = [sides.shape[0]], [sides.shape[0]]
    for before, after in _groups(old, new):
        varies = any(sides.shape[dim + 1] > 1 for dim in before)
        expanded += [old[dim] if varies else 1 for dim in before]
        target += [new[dim] if varies else 1 for dim in after]
    return sides.expand(expanded).reshape(target)


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[range, range]]:
    """The finest cut of two shapes, of as many elements, into consecutive groups of equal products."""
    if math.prod(old) == 0:
        return [(range(len(old)), range(len(new)))]
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        left = right = 1
        while True:
            if left <= right and i < len(old) and (left < right or i == start_i):
                left, i = left * old[i], i + 1
            elif j < len(new) and (right < left or j == start_j):
                right, j = right * new[j], j + 1
            else:
                break
        groups.append((range(start_i, i), range(start_j, j)))
    return groups


def _over(sides: Tensor, dims: Sequence[int], length: int) -> Tensor:
    varying = [dim + 1 for dim in dims if sides.shape[dim + 1] > 1]
    if not varying:
        return sides
    along_image = any(bool((_slope(sides, dim) != 0).any()) for dim in varying)
    union = sides.amax(varying, keepdim=True)
    # A union along the image that covers all of it would cover more of a larger image; one over channels would not.
    whole = _covers(union, length)
    if not along_image:
        whole &= ~_covers(sides, length).amax(varying, keepdim=True)
    return torch.cat([union[TRUE], torch.where(whole, math.inf, union[UNBOUNDED])])


def _covers(sides: Tensor, length: int) -> Tensor:
    return (sides[:1] == 0) & (sides[1:2] == length)


def _slope(sides: Tensor, dim: int) -> Tensor:
    """How far the unbounded interval moves, on average, from one place along `dim` to the next; 0 where it does not
    move as a whole. The dimension of sides stays, at size 1.
    """
    size = sides.shape[dim]
    if size == 1:
        return torch.zeros_like(sides[:1])
    move = (sides[UNBOUNDED].narrow(dim, size - 1, 1) - sides[UNBOUNDED].narrow(dim, 0, 1)) / (size - 1)
    steady = torch.isfinite(move).all(0, keepdim=True) & (-move[:1] == move[1:])
    return torch.where(steady, move[1:], 0.0)


def _through(sides: Tensor, dim: int, sources: Tensor) -> Tensor:
    size = sides.shape[dim]
    flat = sources.flatten()
    nearest = flat.clamp(0, size - 1)
    missing = (flat == NO_SOURCE).reshape(-1, *[1] * (sides.dim() - 1 - dim))
    beyond = torch.where(flat == NO_SOURCE, 0, flat - nearest).reshape(missing.shape)
    values = sides.index_select(dim, nearest)
    outside = missing | (beyond != 0)
    going_on = _slope(sides, dim) * beyond
    unbounded = values[UNBOUNDED] + torch.cat([-going_on, going_on])
    values = torch.cat([values[TRUE].masked_fill(outside, NOTHING), unbounded.masked_fill(missing, NOTHING)])
    return values.reshape(*values.shape[:dim], *sources.shape, *values.shape[dim + 1 :]).amax(dim + 1)
