"""Figures without pyplot, places on them in inches, and what is written there: the style that all figures share."""

from __future__ import annotations

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchlurk.rendering.colour import LIGHT, Colour

SMALL, MEDIUM, LARGE = 7.5, 9.0, 14.0

# Lengths in inches.
MARGIN = 0.3
GAP = 0.1
TILE = 1.15
TILES = 9
TILE_COLUMNS = 18
"""Characters below a tile."""
ACROSS = TILES * TILE + (TILES - 1) * GAP
"""What a figure is wide, without its margins."""
HEADER = 0.85
LINE = 0.25
TITLE = 0.22


class PictureFigure(Figure):
    """A matplotlib figure that a notebook draws by itself, whatever its backend."""

    def _repr_png_(self) -> bytes:
        target = BytesIO()
        self.savefig(target, format="png")
        return target.getvalue()


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at that place, in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def write(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    size: float,
    *,
    weight: str = "normal",
    family: str = "sans-serif",
    colour: Colour = LIGHT.ink,
) -> None:
    """Text with its upper left corner at that place, in inches from the figure's; never read as a formula."""
    across, down = figure.get_size_inches()
    figure.text(
        left / across,
        1 - top / down,
        text,
        fontsize=size,
        weight=weight,
        family=family,
        color=rgb(colour),
        va="top",
        parse_math=False,
    )


def rgb(colour: Colour) -> tuple[float, ...]:
    """The colour as matplotlib has it."""
    return tuple(value / 255 for value in colour)
