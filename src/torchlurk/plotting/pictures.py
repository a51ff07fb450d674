"""Pictures with their boxes, on axes of a figure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from torchlurk.plotting.figures import SMALL, TILE
from torchlurk.records import Box
from torchlurk.rendering import boxes

LOWEST_TILE, HIGHEST_TILE = TILE / 4, 2 * TILE
SCREEN_DOTS = 100
"""Dots an inch, on a screen: decides whether a picture is shown as squares of its pixels."""


def tile_height(pictures: Iterable[Image.Image | None]) -> float:
    """Inches from top to bottom of a tile for pictures of the first one's shape."""
    first = next((image for image in pictures if image is not None), None)
    return TILE if first is None else min(HIGHEST_TILE, max(LOWEST_TILE, TILE * first.height / first.width))


def show_picture(axes: Axes, image: Image.Image | None, box: Box | None) -> None:
    """The picture, its pixels as squares where they are few, and the outline of the box where it is less than all."""
    axes.set_axis_off()
    if image is None:
        axes.text(0.5, 0.5, "no picture", transform=axes.transAxes, fontsize=SMALL, ha="center", va="center")
        return
    few = max(image.size) * boxes.PIXELS_FROM <= TILE * SCREEN_DOTS
    extent = (0, image.width, image.height, 0)
    axes.imshow(np.asarray(image.convert("RGB")), extent=extent, interpolation="nearest" if few else "antialiased")
    axes.set_anchor("NW")
    if box is not None and boxes.is_part(box, image.size):
        x0, y0, x1, y1 = box
        edge = [patheffects.Stroke(linewidth=3.0, foreground="black"), patheffects.Normal()]
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.5, path_effects=edge)
        axes.add_patch(frame)
        frame.set_clip_on(False)  # a box at the picture's border keeps its whole line
