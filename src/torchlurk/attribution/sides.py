"""Which part of a map a part of the input makes: by its sides, as windows slide along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64


class UnsuitedError(Exception):
    """The network does something on the way to the layer that windows do not know, or a window is as large as the input."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a part of a map: for each pair where it begins, how long it is, and how long the true map is.

    Reckoned with NumPy: each operation of torch would go through the function modes that are open around it.
    """

    start: Int64[np.ndarray, " pair"]
    length: int
    true: int

    def within(self) -> Bool[np.ndarray, "pair place"]:
        """For each pair and place, whether it lies on the true map."""
        places = self.start[:, None] + np.arange(self.length)
        found: Bool[np.ndarray, "pair place"] = (places >= 0) & (places < self.true)
        return found

    @property
    def at_start(self) -> bool:
        """Whether all parts begin with the true map."""
        return bool((self.start == 0).all())

    @property
    def at_end(self) -> bool:
        """Whether all parts end with the true map."""
        return bool((self.start + self.length == self.true).all())

    @property
    def inside(self) -> bool:
        """Whether nothing lies beyond the true map."""
        return bool(((self.start >= 0) & (self.start + self.length <= self.true)).all())

    def slid(self, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> Slide:
        """What a sliding window makes of this side."""
        reach = dilation * (kernel - 1) + 1
        room = self.true + 2 * padding - reach
        true = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (true - 1) * stride >= self.true + padding:
            true -= 1
        before = padding if self.at_start else 0
        after = max(0, (true - 1) * stride - padding + reach - self.true) if self.at_end else 0
        first = -((before - self.start - padding) // stride)
        skips = first * stride - padding - self.start + before
        skip = int(skips[0])
        if not bool((skips == skip).all()):
            raise UnsuitedError("windows lie differently on a grid")
        length = max(0, (before + self.length + after - skip - reach) // stride + 1)
        return Slide(Side(first, length, true), before, after, skip)

    def padded(self, before: int, after: int) -> tuple[Side, int, int]:
        """The side of a map with so many zeros at its ends, and how many of them are to be added to the part."""
        added = before if self.at_start else 0, after if self.at_end else 0
        start = self.start + before - added[0]
        return Side(start, self.length + sum(added), self.true + before + after), *added

    def cut(self, other: Side) -> tuple[Side, int]:
        """The part that both have, and how much of this side comes before it."""
        if self.true != other.true:
            raise UnsuitedError("maps of different size meet")
        before = np.maximum(self.start, other.start) - self.start
        after = np.minimum(self.start + self.length, other.start + other.length) - np.maximum(self.start, other.start)
        skip, length = int(before[0]), int(after[0])
        if not bool((before == skip).all() and (after == length).all()) or length < 1:
            raise UnsuitedError("windows of two branches do not fit together")
        return Side(self.start + skip, length, self.true), skip


@dataclass(frozen=True, slots=True)
class Slide:
    """What a sliding window makes of one side: the part is padded by `before` and `after`, and `skip` left out, for `side`.

    Its length is zero where the part is smaller than the window: of a branch that the unit does not look at.
    """

    side: Side
    before: int
    after: int
    skip: int


Sides = tuple[Side, Side]
"""Vertical, horizontal."""
