"""What a picture must stand while it is made: random placements, drawn anew for every picture at every step.

Each transform is an affine map; a chain of them is one, so a picture is resampled once. Coordinates count pixels from the
centre, x before y. A placement says where in the picture a pixel of the view comes from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from torchlurk import compiled
from torchlurk.synthesis.canvas import GREY

PIXEL_MIDDLE = 0.5
"""Of a pixel's side: where its value is."""

Draws = Float[Tensor, "view draw"]
"""Uniform random numbers from 0 to 1, of which each transform uses as many columns as it says."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Views of a picture: pixel p of a view of (height, width) comes from `matrix` @ p + `offset` in the picture."""

    matrix: Float[Tensor, "view 2 2"]
    offset: Float[Tensor, "view 2"]
    height: int
    width: int

    def then(self, matrix: Float[Tensor, "view 2 2"], height: int, width: int) -> Placement:
        """The placement of a view of this view, whose pixel p comes from `matrix` @ p."""
        return Placement(self.matrix @ matrix, self.offset, height, width)

    def moved(self, by: Float[Tensor, "view 2"], height: int, width: int) -> Placement:
        """The placement of a view of this view, whose pixel p comes from p + `by`."""
        return Placement(self.matrix, self.offset + (self.matrix @ by[:, :, None])[:, :, 0], height, width)


@runtime_checkable
class Transform(Protocol):
    """One random change of where a view looks."""

    @property
    def draws(self) -> int:
        """How many random numbers it takes."""

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """The placement after it; `progress` is how far the run has come, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pad:
    """`pixels` of grey on every side."""

    pixels: int
    draws: int = 0

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """A larger view."""
        return Placement(before.matrix, before.offset, before.height + 2 * self.pixels, before.width + 2 * self.pixels)


@dataclass(frozen=True, slots=True)
class Jitter:
    """A cut that is `pixels` smaller, at a random whole offset."""

    pixels: int
    draws: int = 2

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """A smaller view."""
        offsets = (draws * (self.pixels + 1)).floor().clamp(max=self.pixels) - self.pixels / 2
        return before.moved(offsets, before.height - self.pixels, before.width - self.pixels)


@dataclass(frozen=True, slots=True)
class Scale:
    """Magnified by a random factor between two, about the centre."""

    least: float
    most: float
    draws: int = 1

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """A view of the same size."""
        factor = self.least + draws[:, 0] * (self.most - self.least)
        return before.then(torch.eye(2, device=draws.device) / factor[:, None, None], before.height, before.width)


@dataclass(frozen=True, slots=True)
class Rotate:
    """Turned about the centre by a random angle of at most `degrees` to either side."""

    degrees: float
    draws: int = 1

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """A view of the same size."""
        angle = (2 * draws[:, 0] - 1) * math.radians(self.degrees)
        cosine, sine = angle.cos(), angle.sin()
        rows = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        return before.then(rows, before.height, before.width)


@dataclass(frozen=True, slots=True)
class Crop:
    """A box whose side is a share of the picture's, falling over the run, about a random centre near the middle.

    The view has the picture's size, so it magnifies. The centre is normal around the middle, in shares of the side.
    """

    first: float
    last: float
    spread: float
    draws: int = 2

    def place(self, before: Placement, draws: Draws, progress: float) -> Placement:
        """A view of the same size."""
        side = self.first + progress * (self.last - self.first)
        size = torch.tensor([before.width, before.height], device=draws.device)
        edge = torch.finfo(draws.dtype).eps
        by = torch.special.ndtri(draws.clamp(edge, 1 - edge)) * self.spread * size
        matrix = torch.eye(2, device=draws.device).expand(len(draws), 2, 2) * side
        moved = before.moved(by, before.height, before.width)
        return moved.then(matrix, before.height, before.width)


@dataclass(frozen=True, slots=True)
class Views:
    """What the network sees of a picture at each step: `count` views of it, transformed, with normal `noise` (in the 0..1
    range) added.
    """

    transforms: tuple[Transform, ...] = ()
    count: int = 1
    noise: float = 0.0

    @property
    def draws(self) -> int:
        """How many uniform random numbers a view takes."""
        return sum(one.draws for one in self.transforms)

    def placement(self, draws: Draws, progress: float, height: int, width: int) -> Placement:
        """Where the views of a picture of (height, width) look."""
        count = len(draws)
        matrix = torch.eye(2, device=draws.device).expand(count, 2, 2)
        placed = Placement(matrix, torch.zeros(count, 2, device=draws.device), height, width)
        used = 0
        for one in self.transforms:
            placed = one.place(placed, draws[:, used : used + one.draws], progress)
            used += one.draws
        return placed

    def extent(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the chain gives a view of a picture of that size."""
        placed = self.placement(torch.full((1, self.draws), 0.5), 0.0, height, width)
        return placed.height, placed.width

    def of(
        self,
        pictures: Float[Tensor, "unit channel height width"],
        draws: Draws,
        progress: float,
        size: tuple[int, int],
    ) -> Float[Tensor, "view channel rows columns"]:
        """The views, `count` of each picture after one another, of (rows, columns) `size` about their middle; no noise yet."""
        repeated = pictures.repeat_interleave(self.count, dim=0) if self.count > 1 else pictures
        if not self.transforms and size == tuple(pictures.shape[2:]):
            return repeated
        return seen(repeated, self.placement(draws, progress, *pictures.shape[2:]), size)


def seen(
    pictures: Float[Tensor, "view channel height width"], placed: Placement, size: tuple[int, int]
) -> Float[Tensor, "view channel rows columns"]:
    """The pictures where a placement looks, bilinear between pixels, grey outside."""
    quicker = compiled.module("torchlurk.synthesis.sampling")
    if quicker is not None and pictures.device.type == "cpu" and pictures.dtype is torch.float32:
        read: Tensor = quicker.sampled(pictures - GREY, _places(placed, (pictures.shape[2], pictures.shape[3]), size), size)
        return read + GREY
    height, width = pictures.shape[2:]
    halves = torch.tensor([width / 2, height / 2], device=pictures.device)
    own = torch.tensor([size[1] / 2, size[0] / 2], device=pictures.device)
    theta = torch.cat([placed.matrix * own / halves[:, None], (placed.offset / halves)[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [len(pictures), pictures.shape[1], *size], align_corners=False)
    return F.grid_sample(pictures - GREY, grid, align_corners=False) + GREY


def _places(placed: Placement, within: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "view 2 3"]:
    """Where the pixel in a column and row of a view of `size` is, in columns and rows of a picture of the size `within`."""
    middle, own = (torch.tensor(one[::-1]) / 2 - PIXEL_MIDDLE for one in (within, size))
    first = placed.offset + middle - (placed.matrix * own).sum(2)
    return torch.cat([placed.matrix, first[:, :, None]], dim=2)


def scaled(views: Views, factor: float) -> Views:
    """The same for pictures `factor` times as large: pixels in proportion, shares and angles as they are."""
    return Views(tuple(_scaled(one, factor) for one in views.transforms), views.count, views.noise)


def _scaled(one: Transform, factor: float) -> Transform:
    if isinstance(one, Pad):
        return Pad(round(one.pixels * factor))
    if isinstance(one, Jitter):
        return Jitter(2 * round(one.pixels * factor / 2))  # an odd number would put every view half a pixel off
    return one
