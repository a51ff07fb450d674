"""Surfaces that fill the picture: around the origin, as far as a corner of the picture may be."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from torchlurk.inputs.demo import palette
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, shaded, varied
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, box, curve, ellipse, polygon

REACH = 1.5
"""Half the width of what is painted, so that the corners are covered however a surface is turned."""
WALLS: tuple[Colour, ...] = (palette.BROWN, palette.CORAL, palette.SAND, palette.SILVER, palette.COCOA)


def bricks(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A wall of bricks, each a little different."""
    clay = dice.pick(WALLS)
    high = dice.between(0.16, 0.3)
    _ground(canvas, contrasting(dice, (palette.CREAM, palette.SLATE, palette.WHITE), clay))
    for row, y in enumerate(_steps(high)):
        for x in _steps(2.2 * high, shift=row % 2 * 1.1 * high):
            canvas.fill(box(x, y, x + 2.05 * high, y + 0.86 * high, 0.06 * high), varied(dice, clay, 16))


def chequers(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Squares of two colours."""
    light = _two(canvas, dice)
    side = dice.between(0.14, 0.34)
    for row, y in enumerate(_steps(side)):
        for x in _steps(2 * side, shift=row % 2 * side):
            canvas.fill(box(x, y, x + side, y + side), light)


def dots(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Dots in rows, each in the gap of the row before."""
    light = _two(canvas, dice)
    step, size = dice.between(0.2, 0.4), dice.between(0.22, 0.42)
    for row, y in enumerate(_steps(step * math.sqrt(0.75))):
        for x in _steps(step, shift=row % 2 * step / 2):
            canvas.fill(ellipse(x, y, step * size), light, "spot")


def honeycomb(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Six-sided cells, some of them filled."""
    wax = dice.pick((palette.AMBER, palette.LEMON, palette.ORANGE, palette.SAND, palette.AQUA))
    _ground(canvas, shaded(wax, 0.35))
    step = dice.between(0.24, 0.4)
    corners = np.radians(range(30, 390, 60))
    cell = 0.53 * step * np.stack([np.cos(corners), np.sin(corners)], axis=1)
    for row, y in enumerate(_steps(step * math.sqrt(0.75))):
        for x in _steps(step, shift=row % 2 * step / 2):
            canvas.fill(cell + np.array([x, y]), varied(dice, shaded(wax, 0.6) if dice.chance(0.25) else wax))


def stripes(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Straight stripes of two colours."""
    light = _two(canvas, dice)
    step, share = dice.between(0.12, 0.4), dice.between(0.3, 0.6)
    for y in _steps(step):
        canvas.fill(box(-REACH, y, REACH, y + step * share), light, "stripe")


def waves(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Stripes that swing."""
    _bands(canvas, dice, curve)


def zigzags(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """Stripes that turn sharply."""
    _bands(canvas, dice, polygon)


def _bands(canvas: Canvas, dice: Dice, joined: Callable[..., Points]) -> None:
    """Stripes that go up and down, `joined` from knot to knot."""
    light = _two(canvas, dice)
    step, length = dice.between(0.2, 0.4), dice.between(0.2, 0.35)
    swing, width = step * dice.between(0.5, 1.0), step * dice.between(0.2, 0.4)
    for y in _steps(step):
        knots = [(x, y + (swing if turn % 2 else 0)) for turn, x in enumerate(_steps(length))]
        canvas.stroke(joined(*knots), width, light, "stripe")


def _two(canvas: Canvas, dice: Dice) -> Colour:
    """Paints the picture in one colour, and returns another that differs well."""
    first = varied(dice, dice.pick((*palette.PAINTS, palette.INK, palette.SLATE, palette.WHITE)))
    _ground(canvas, first)
    return contrasting(dice, (*palette.PAINTS, palette.INK, palette.WHITE), first, least=220)


def _ground(canvas: Canvas, colour: Colour) -> None:
    canvas.fill(box(-REACH, -REACH, REACH, REACH), colour)


def _steps(step: float, shift: float = 0.0) -> list[float]:
    """Places at equal distances over the whole surface, and one before it."""
    return [-REACH - step + shift + index * step for index in range(math.ceil(2 * REACH / step) + 2)]
