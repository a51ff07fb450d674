"""A canvas that, while it is painted, writes down which part each pixel belongs to.

Everything is painted at several times the final size and averaged down, so edges are clean; the labels are those at
the centres of the final pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from torchlurk.inputs.demo.palette import Colour, lit, shaded
from torchlurk.inputs.demo.shapes import Points, ribbon

OVERSAMPLE = 4
LIGHT_FROM = (-0.55, -0.83)
"""Where the light comes from, as a direction on the picture; turning or mirroring a thing does not turn the light."""

Pixels = Float[np.ndarray, "height width 3"]
"""A picture as painted, 0..255."""

PLAIN = ""
"""Painted as this, a region belongs to no part; painted as None, it keeps the labels it has."""


class Canvas:
    """A square picture in the making, with two planes of labels: parts, and patterns lying on parts.

    Label 0 is none, label n+1 the n-th name. Points are in the units of the innermost `placed`; at first the picture is `side`
    of them wide, which become `pixels`, or as many pixels where that is None.
    """

    def __init__(
        self,
        side: int,
        parts: Sequence[str],
        patterns: Sequence[str],
        *,
        pixels: int | None = None,
        oversample: int = OVERSAMPLE,
    ) -> None:
        self.side = side
        self._oversample = oversample
        self._size = (pixels or side) * oversample
        self._scale = self._size / side
        self._part_labels = {PLAIN: 0} | {name: index + 1 for index, name in enumerate(parts)}
        self._pattern_labels = {name: index + 1 for index, name in enumerate(patterns)}
        self._image = Image.new("RGB", (self._size, self._size))
        self._parts = Image.new("L", (self._size, self._size))
        self._patterns = Image.new("L", (self._size, self._size))
        self._brushes = {id(plane): ImageDraw.Draw(plane) for plane in (self._image, self._parts, self._patterns)}
        self._matrix = np.eye(2) * self._scale
        self._origin = np.zeros(2)

    @contextmanager
    def placed(self, x: float, y: float, scale: float = 1, *, angle: float = 0, flip: bool = False) -> Iterator[None]:
        """Within it, the origin is at (x, y), lengths are `scale` times as long, turned `angle` degrees clockwise, mirrored."""
        matrix, origin = self._matrix, self._origin
        cosine, sine = math.cos(math.radians(angle)) * scale, math.sin(math.radians(angle)) * scale
        self._origin = np.array([x, y]) @ matrix + origin
        self._matrix = np.diag([-1.0 if flip else 1.0, 1.0]) @ np.array([[cosine, sine], [-sine, cosine]]) @ matrix
        try:
            yield
        finally:
            self._matrix, self._origin = matrix, origin

    def fill(
        self, outline: Points, colour: Colour, part: str | None = PLAIN, *, alpha: float = 1, within: Points | None = None
    ) -> None:
        """Paints a region in one colour; `within` cuts it to another outline, `alpha` 0..1 lets what is below shine through."""
        points = self._pixels(outline)
        if within is None and alpha >= 1:
            corners = points.ravel().tolist()
            self._brushes[id(self._image)].polygon(corners, colour)
            for plane, label in self._labels(part):
                self._brushes[id(plane)].polygon(corners, label)
            return
        self._stamp(colour, part, alpha, points, None if within is None else self._pixels(within))

    def solid(
        self, outline: Points, colour: Colour, part: str | None = PLAIN, *, depth: float = 0.12, within: Points | None = None
    ) -> None:
        """Paints a region that looks round: darker away from the light, lighter towards it; `depth` in units of the canvas."""
        self.fill(outline, colour, part, within=within)
        points = self._pixels(outline)
        edge = None if within is None else self._pixels(within)
        reach = depth * math.sqrt(abs(np.linalg.det(self._matrix)))
        towards = np.array(LIGHT_FROM) * reach
        self._stamp(shaded(colour, 0.2), None, 1, points, edge, without=points + towards)
        self._stamp(lit(colour, 0.34), None, 1, points, edge, without=points - towards * 0.45)

    def stroke(
        self,
        path: Points,
        width: float | Sequence[float],
        colour: Colour,
        part: str | None = None,
        *,
        within: Points | None = None,
    ) -> None:
        """Paints a band along the path, round at its ends; see `ribbon` and `fill`."""
        self.fill(ribbon(path, width), colour, part, within=within)

    def gradient(self, top: Colour, bottom: Colour, part: str, y0: float = 0, y1: float | None = None) -> None:
        """Paints the rows from y0 to y1, over the whole width, from one colour to the other."""
        first, last = round(y0 * self._scale), round((self.side if y1 is None else y1) * self._scale)
        share = np.linspace(0, 1, max(last - first, 1))[:, None, None]
        rows = (np.array(top) * (1 - share) + np.array(bottom) * share).round().astype(np.uint8)
        self._image.paste(Image.fromarray(rows).resize((self._size, last - first), Image.Resampling.NEAREST), (0, first))
        for plane, label in self._labels(part):
            plane.paste(label, (0, first, self._size, last))

    def image(self) -> Pixels:
        """The picture as painted so far."""
        return np.asarray(self._image.reduce(self._oversample), np.float32)

    def labels(self) -> UInt8[np.ndarray, "plane height width"]:
        """The labels of parts, then of patterns, at the centre of each pixel."""
        middle = slice(self._oversample // 2, None, self._oversample)
        return np.stack([np.asarray(plane)[middle, middle] for plane in (self._parts, self._patterns)])

    def _pixels(self, points: Points) -> Points:
        return points @ self._matrix + self._origin

    def _labels(self, part: str | None) -> list[tuple[Image.Image, int]]:
        """The planes that painting this part writes to, with the label: a part hides the patterns below it."""
        if part is None:
            return []
        if part in self._pattern_labels:
            return [(self._patterns, self._pattern_labels[part])]
        return [(self._parts, self._part_labels[part]), (self._patterns, 0)]

    def _stamp(
        self, colour: Colour, part: str | None, alpha: float, inside: Points, also: Points | None, without: Points | None = None
    ) -> None:
        """Paints where `inside` and `also` overlap, less `without`; only the pixels around it are touched."""
        low, high = inside.min(0), inside.max(0)
        if also is not None:
            low, high = np.maximum(low, also.min(0)), np.minimum(high, also.max(0))
        x0, y0 = (max(int(value), 0) for value in low)
        x1, y1 = (min(int(value) + 2, self._size) for value in high)
        if x0 >= x1 or y0 >= y1:
            return
        mask = self._mask(inside, (x0, y0), (x1 - x0, y1 - y0))
        if also is not None:
            mask.paste(0, mask=self._mask(also, (x0, y0), mask.size, outside=True))
        if without is not None:
            ImageDraw.Draw(mask).polygon((without - (x0, y0)).ravel().tolist(), 0)
        for plane, label in self._labels(part):
            plane.paste(label, (x0, y0), mask)
        self._image.paste(colour, (x0, y0), mask if alpha >= 1 else mask.point([round(level * alpha) for level in range(256)]))

    @staticmethod
    def _mask(points: Points, origin: tuple[int, int], size: tuple[int, int], *, outside: bool = False) -> Image.Image:
        mask = Image.new("L", size, 255 if outside else 0)
        ImageDraw.Draw(mask).polygon((points - origin).ravel().tolist(), 0 if outside else 255)
        return mask
