"""Parts that things of different kinds share: each is painted by one function and labelled with its own name.

A part is placed in the units of the thing it belongs to, where a thing is about 2 long.
"""

from __future__ import annotations

import numpy as np

from torchlurk.inputs.demo import palette
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.palette import Colour, lit, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.shapes import Points, arch, box, drop, ellipse, line, polygon, ribbon, smooth

PARTS = (
    "wheel", "window", "door", "roof", "chimney", "lamp", "flag", "sail", "smoke", "flame",
    "wing", "fin", "tail", "eye", "ear", "nose", "beak", "leg", "antenna", "shell",
    "leaf", "petal", "stem", "trunk", "crown", "fruit",
)  # fmt: skip
PATTERNS = ("stripe", "spot")
"""What lies on a part or a body without ending it: a striped wing is a wing and striped."""

TYRE = (52, 50, 74)


def wheel(canvas: Canvas, x: float, y: float, radius: float, rim: Colour, *, spokes: int = 0) -> None:
    """A wheel with a rim and, where `spokes` is not 0, spokes instead of a disc."""
    canvas.solid(ellipse(x, y, radius), TYRE, "wheel", depth=radius * 0.25)
    canvas.fill(ellipse(x, y, radius * 0.66), shaded(rim, 0.35) if spokes else rim, None)
    for spoke in range(spokes):
        turn = np.pi * spoke / spokes
        dx, dy = radius * 0.62 * np.cos(turn), radius * 0.62 * np.sin(turn)
        canvas.fill(line(x - dx, y - dy, x + dx, y + dy, radius * 0.16), lit(rim), None)
    canvas.fill(ellipse(x, y, radius * 0.27), shaded(rim, 0.45) if not spokes else lit(rim), None)


def wire_wheel(canvas: Canvas, x: float, y: float, radius: float, rim: Colour, *, spokes: int = 5) -> None:
    """A thin wheel that one can look through."""
    canvas.fill(ellipse(x, y, radius), lit(rim, 0.5), "wheel", alpha=0.35)
    for spoke in range(spokes):
        turn = np.pi * (spoke + 0.3) / spokes
        dx, dy = radius * 0.9 * np.cos(turn), radius * 0.9 * np.sin(turn)
        canvas.fill(line(x - dx, y - dy, x + dx, y + dy, radius * 0.055), lit(rim, 0.6), None)
    canvas.fill(ribbon(ellipse(x, y, radius * 0.9, start=0, stop=359), radius * 0.2), TYRE, "wheel")
    canvas.fill(ribbon(ellipse(x, y, radius * 0.78, start=0, stop=359), radius * 0.06), rim, None)
    canvas.fill(ellipse(x, y, radius * 0.16), TYRE, None)


def glass(dice: Dice, *, night: bool) -> Colour:
    """The colour of a window pane: by night there is light behind it."""
    if night or dice.chance(0.12):
        return palette.varied(dice, (255, 217, 112))
    return palette.varied(dice, dice.pick(((173, 222, 240), (120, 182, 214), (205, 236, 240), (96, 140, 178))))


def window(canvas: Canvas, outline: Points, pane: Colour, frame: Colour, *, bars: str = "", thick: float = 0.05) -> None:
    """A pane in a frame, with a glint; `bars` is '', '|' or '+'."""
    x0, y0 = outline.min(0)
    x1, y1 = outline.max(0)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    extent = np.array([x1 - x0, y1 - y0])
    inner = middle + (outline - middle) * (1 - np.minimum(2 * thick / extent, 0.6))
    canvas.fill(outline, frame, "window")
    canvas.fill(inner, pane, None)
    slant = (x1 - x0) * 0.3
    left = x0 + (x1 - x0) * 0.34
    canvas.fill(polygon((left, y0), (left + slant, y0), (left, y1), (left - slant, y1)), lit(pane, 0.7), None, within=inner)
    if bars:
        canvas.fill(box(middle[0] - thick * 0.4, y0, middle[0] + thick * 0.4, y1), frame, None, within=outline)
    if bars == "+":
        canvas.fill(box(x0, middle[1] - thick * 0.4, x1, middle[1] + thick * 0.4), frame, None, within=outline)


def door(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour, *, arched: bool = False) -> None:
    """A wooden door with a panel and a knob."""
    wide = x1 - x0
    shape = arch if arched else box
    canvas.fill(shape(x0 - wide * 0.1, y0 - wide * 0.1, x1 + wide * 0.1, y1), lit(colour, 0.6), "door")
    canvas.solid(shape(x0, y0, x1, y1), colour, None, depth=wide * 0.1)
    canvas.fill(box(x0 + wide * 0.47, y0, x0 + wide * 0.53, y1), shaded(colour), None)
    canvas.fill(ellipse(x0 + wide * 0.76, y0 + (y1 - y0) * 0.58, wide * 0.1), palette.LEMON, None)


def roof(canvas: Canvas, outline: Points, colour: Colour, *, rows: int = 4) -> None:
    """A roof with rows of tiles."""
    canvas.solid(outline, colour, "roof", depth=0.07)
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    for row in range(1, rows):
        y = y0 + (y1 - y0) * row / rows
        canvas.fill(box(x0, y, x1, y + (y1 - y0) * 0.07), shaded(colour, 0.26), None, within=outline)


def chimney(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    """A chimney with a rim."""
    rim = (x1 - x0) * 0.18
    canvas.solid(box(x0, y0, x1, y1), colour, "chimney", depth=(x1 - x0) * 0.3)
    canvas.fill(box(x0 - rim, y0, x1 + rim, y0 + (y1 - y0) * 0.24, rim), shaded(colour, 0.35), "chimney")


def smoke(canvas: Canvas, dice: Dice, x: float, y: float, size: float) -> None:
    """Puffs that rise from (x, y) and drift, larger as they go."""
    drift = dice.between(0.5, 1.1)
    colour = dice.pick((palette.WHITE, (226, 226, 236), (205, 205, 222)))
    for step in (2, 1, 0):
        radius = size * (0.55 + 0.28 * step)
        centre = (x + size * drift * step * 1.05, y - size * (0.5 + 1.1 * step))
        canvas.solid(ellipse(*centre, radius, radius * 0.86), colour, "smoke", depth=radius * 0.4)


def lamp(canvas: Canvas, x: float, y: float, radius: float, *, glow: bool = False, colour: Colour = palette.LEMON) -> None:
    """A round lamp; by night it glows."""
    if glow:
        canvas.fill(ellipse(x, y, radius * 2.3), colour, None, alpha=0.3)
    canvas.fill(ellipse(x, y, radius), shaded(colour, 0.3), "lamp")
    canvas.fill(ellipse(x, y, radius * 0.72), lit(colour), None)


def flag(canvas: Canvas, dice: Dice, x: float, y: float, size: float, colour: Colour) -> None:
    """A pennant that waves to the right of a pole whose top is at (x, y)."""
    canvas.fill(line(x, y, x, y + size * 1.5, size * 0.12), palette.COCOA, PLAIN)
    sag = dice.between(-0.15, 0.2) * size
    upper, lower = (x, y + size * 0.06), (x, y + size * 0.86)
    if dice.chance(0.5):
        outline = polygon(upper, (x + size * 1.25, y + size * 0.45 + sag), lower)
    else:
        middle, outer = x + size * 0.6, x + size * 1.15
        outline = polygon(
            upper,
            (middle, upper[1] + sag),
            (outer, upper[1] - sag * 0.4),
            (outer, lower[1] - sag * 0.4),
            (middle, lower[1] + sag),
            lower,
        )
    canvas.solid(outline, colour, "flag", depth=size * 0.12)


def sail(canvas: Canvas, outline: Points, colour: Colour) -> None:
    """A sail full of wind."""
    canvas.solid(outline, colour, "sail", depth=0.09)


def flame(canvas: Canvas, x: float, y: float, width: float, length: float) -> None:
    """Fire that shoots down from (x, y)."""
    for share, colour in ((1.0, palette.RED), (0.72, palette.ORANGE), (0.42, palette.LEMON)):
        half, reach = width / 2 * share, length * share
        outline = smooth(
            (x - half, y),
            (x - half * 0.95, y + reach * 0.35),
            (x, y + reach),
            (x + half * 0.95, y + reach * 0.35),
            (x + half, y),
        )
        canvas.fill(outline, colour, "flame")


def eye(
    canvas: Canvas, x: float, y: float, radius: float, iris: Colour, *, look: tuple[float, float] = (0, 0), slit: bool = False
) -> None:
    """An eye with iris, pupil and a glint; `look` moves the pupil, each -1..1."""
    canvas.fill(ellipse(x, y, radius * 1.12), palette.INK, "eye")
    canvas.fill(ellipse(x, y, radius), palette.WHITE, None)
    px, py = x + look[0] * radius * 0.22, y + look[1] * radius * 0.22
    canvas.fill(ellipse(px, py, radius * 0.76), iris, None)
    canvas.fill(ellipse(px, py, radius * (0.26 if slit else 0.48), radius * 0.6 if slit else None), palette.INK, None)
    canvas.fill(ellipse(px - radius * 0.25, py - radius * 0.28, radius * 0.23), palette.WHITE, None)


def bead(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A small dark eye with a glint."""
    canvas.fill(ellipse(x, y, radius), palette.INK, "eye")
    canvas.fill(ellipse(x - radius * 0.3, y - radius * 0.35, radius * 0.36), palette.WHITE, None)


def ear(
    canvas: Canvas,
    x: float,
    y: float,
    length: float,
    width: float,
    angle: float,
    outer: Colour,
    inner: Colour,
    *,
    pointed: bool = False,
) -> None:
    """An ear that stands at (x, y) and points along `angle`, degrees clockwise from the right."""
    if pointed:
        root, side = np.array([x, y]), width / 2 * _direction(angle + 90)
        outline = np.stack([root + side, root + length * _direction(angle), root - side])
        core = root + (outline - root) * 0.62 + 0.1 * length * _direction(angle)
    else:
        outline = drop(x, y, length, width, angle, blunt=0.56)
        along = 0.16 * length * _direction(angle)
        core = drop(x + along[0], y + along[1], length * 0.72, width * 0.52, angle, blunt=0.56)
    canvas.solid(outline, outer, "ear", depth=width * 0.14)
    canvas.fill(core, inner, None)


def nose(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    """A small round triangle, point down."""
    canvas.fill(smooth((x - size, y - size * 0.5), (x + size, y - size * 0.5), (x, y + size * 0.7)), colour, "nose")
    canvas.fill(ellipse(x - size * 0.3, y - size * 0.36, size * 0.26), lit(colour, 0.7), None)


def beak(canvas: Canvas, outline: Points, colour: Colour) -> None:
    """A horny beak."""
    canvas.solid(outline, colour, "beak", depth=0.04)


def leg(canvas: Canvas, path: Points, width: float, colour: Colour) -> None:
    """A leg with its foot at the end of the path."""
    canvas.solid(ribbon(path, width), colour, "leg", depth=width * 0.25)


def paw(canvas: Canvas, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
    """A foot seen from the front, with toes."""
    canvas.solid(ellipse(x, y, rx, ry), colour, "leg", depth=rx * 0.25)
    for toe in (-0.33, 0.33):
        canvas.fill(line(x + toe * rx, y + ry * 0.25, x + toe * rx, y + ry * 0.75, rx * 0.13), shaded(colour, 0.5), None)


def antenna(canvas: Canvas, path: Points, width: float, colour: Colour) -> None:
    """A feeler with a knob at the end of the path."""
    canvas.fill(ribbon(path, width), colour, "antenna")
    canvas.fill(ellipse(path[-1, 0], path[-1, 1], width * 1.3), colour, "antenna")


def leaf(canvas: Canvas, x: float, y: float, length: float, width: float, angle: float, colour: Colour) -> None:
    """A leaf with a midrib, its stem at (x, y)."""
    outline = drop(x, y, length, width, angle, blunt=0.5)
    canvas.solid(outline, colour, "leaf", depth=width * 0.2)
    tip = np.array([x, y]) + length * 0.88 * _direction(angle)
    canvas.fill(line(x, y, tip[0], tip[1], width * 0.1), shaded(colour, 0.3), None)


def petal(canvas: Canvas, x: float, y: float, length: float, width: float, angle: float, colour: Colour) -> None:
    """A petal that grows from (x, y) along `angle`, darker at its foot."""
    outline = drop(x, y, length, width, angle, blunt=0.66)
    canvas.fill(outline, shaded(colour, 0.22), "petal")
    canvas.fill(np.array([x, y]) + (outline - (x, y)) * (0.93, 0.93) + 0.05 * length * _direction(angle), colour, None)


def stem(canvas: Canvas, path: Points, width: float, colour: Colour) -> None:
    """A stalk along the path."""
    canvas.solid(ribbon(path, width), colour, "stem", depth=width * 0.3)


def bush(canvas: Canvas, dice: Dice, x: float, y: float, size: float, colour: Colour) -> None:
    """A low bush that stands at (x, y), at times in bloom: a small crown without a trunk."""
    for dx, dy, radius in ((-0.75, -0.4, 0.62), (0.75, -0.42, 0.64), (0.0, -0.75, 0.8)):
        canvas.solid(ellipse(x + dx * size, y + dy * size, radius * size), colour, "crown", depth=size * 0.3)
    canvas.fill(box(x - 1.1 * size, y - 0.5 * size, x + 1.1 * size, y, 0.3 * size), colour, "crown")
    if dice.chance(0.4):
        bloom = dice.pick(palette.BLOSSOMS)
        for dx, dy in ((-0.8, -0.5), (-0.2, -1.0), (0.3, -0.5), (0.85, -0.6)):
            canvas.fill(ellipse(x + dx * size, y + dy * size, size * 0.16), bloom, None)


def fruit(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """A round fruit on a short stalk."""
    canvas.fill(line(x, y - radius * 0.7, x + radius * 0.35, y - radius * 1.5, radius * 0.3), palette.COCOA, None)
    canvas.solid(ellipse(x, y, radius), colour, "fruit", depth=radius * 0.5)
    canvas.fill(ellipse(x - radius * 0.35, y - radius * 0.35, radius * 0.26), lit(colour, 0.8), None)


def stripes(
    canvas: Canvas, within: Points, colour: Colour, *, count: int, share: float = 0.5, angle: float = 0, bend: float = 0
) -> None:
    """Bands across an outline at equal distances, along `angle`; `share` is how much they cover, `bend` bows them."""
    middle = (within.min(0) + within.max(0)) / 2
    along, across = _direction(angle), _direction(angle + 90)
    reach = (within - middle) @ across
    step = (reach.max() - reach.min()) / count
    half = np.abs((within - middle) @ along).max() * 1.05
    for number in range(count):
        centre = middle + across * (reach.min() + step * (number + 0.5))
        path = smooth(
            *(tuple(centre + along * half * t + across * bend * half * (1 - t * t)) for t in (-1, -0.5, 0, 0.5, 1)),
            closed=False,
        )
        canvas.fill(ribbon(path, step * share), colour, "stripe", within=within)


def spots(canvas: Canvas, dice: Dice, within: Points, colour: Colour, *, count: int, radius: float) -> None:
    """Round spots scattered over an outline, apart from each other where there is room."""
    low, high = within.min(0), within.max(0)
    placed: list[np.ndarray] = []
    for _ in range(count * 4):
        centre = low + (high - low) * (dice.between(0.08, 0.92), dice.between(0.08, 0.92))
        if len(placed) < count and all(np.linalg.norm(centre - other) > radius * 2.5 for other in placed):
            placed.append(centre)
            size = radius * dice.between(0.75, 1.2)
            canvas.fill(ellipse(centre[0], centre[1], size), colour, "spot", within=within)


def _direction(angle: float) -> np.ndarray:
    return np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
