"""Pieces of scenery: sky, land, water, and what is in them; rows and columns are pixels of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from torchlurk.inputs.demo import palette
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.palette import Colour, lit, mix, shaded, varied
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.shapes import box, curve, ellipse, line, polygon

SCENERY = ("sky", "cloud", "sun", "star", "water", "grass", "ground")

SIDE = 96
"""Scenes are composed for a picture this many pixels wide and high."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A painted background: the colours behind a thing (the lowest last) and the row it may stand on.

    At `night` lights are on; things are `afloat` on water; where it is `cold` or `warm` other trees grow.
    """

    tones: tuple[Colour, ...]
    floor: float
    night: bool = False
    afloat: bool = False
    cold: bool = False
    warm: bool = False


DAY_SKIES = (((124, 196, 236), (214, 238, 240)), ((158, 214, 236), (247, 239, 214)), ((116, 178, 222), (190, 226, 238)))
EVENING_SKIES = (((250, 150, 120), (255, 222, 150)), ((176, 120, 176), (252, 176, 140)), ((240, 130, 150), (255, 206, 160)))
NIGHT_SKIES = (((30, 36, 82), (74, 82, 146)), ((38, 28, 78), (110, 82, 150)), ((22, 44, 84), (56, 104, 146)))


def shadow(canvas: Canvas, x: float, y: float, half: float) -> None:
    """The shadow of a thing that stands at (x, y) and is 2 `half` wide."""
    canvas.fill(ellipse(x + half * 0.08, y, half, half * 0.13), palette.SHADE, None, alpha=0.28)


def ripples(canvas: Canvas, x: float, y: float, half: float, water: Colour) -> None:
    """Waves around a thing that floats at (x, y): they hide what is under water."""
    for row, colour in ((0.0, lit(water, 0.55)), (1.6, water)):
        knots = [(x + half * 1.25 * t / 6, y + row + (1.1 if t % 2 else -1.1) * (1 - abs(t) / 7)) for t in range(-6, 7)]
        swell = ellipse(x, y + row, half * 1.25, half * 0.34, start=0, stop=180)
        canvas.fill(np.concatenate([curve(*knots), swell]), colour, "water")


def sky(canvas: Canvas, dice: Dice, *, night: float, evening: float, clouded: float = 0.6) -> tuple[Colour, Colour, bool]:
    """Paints the sky; returns its colours above and below, and whether it is night."""
    hour = dice.weighted({"night": night, "evening": evening, "day": 1 - night - evening})
    above, below = dice.pick({"night": NIGHT_SKIES, "evening": EVENING_SKIES, "day": DAY_SKIES}[hour])
    top, bottom = varied(dice, above, 8), varied(dice, below, 8)
    canvas.gradient(top, bottom, "sky")
    if hour == "night":
        stars(canvas, dice, dice.whole(8, 18), 50)
    if dice.chance(0.45):
        sun(canvas, dice, bottom, hour)
    if dice.chance(clouded):
        white = mix(palette.WHITE, top, 0.55 if hour == "night" else 0.1)
        for _ in range(dice.whole(1, 2)):
            cloud(canvas, dice, dice.between(0, SIDE), dice.between(8, 34), dice.between(5, 11), white)
    return top, bottom, hour == "night"


def sun(canvas: Canvas, dice: Dice, sky: Colour, hour: str) -> None:
    """The sun, low in the evening; at night the moon."""
    x, y = dice.between(10, 86), dice.between(10, 26)
    if hour == "night":
        canvas.fill(ellipse(x, y, 10), lit(sky, 0.4), None, alpha=0.25)
        canvas.solid(ellipse(x, y, 6.5), (248, 240, 208), "sun", depth=2)
        return
    radius, low = (dice.between(9, 14), dice.between(30, 48)) if hour == "evening" else (dice.between(5.5, 8.5), y)
    canvas.fill(ellipse(x, low, radius * 1.7), palette.LIGHT, None, alpha=0.28)
    canvas.fill(ellipse(x, low, radius), (255, 236, 170), "sun")


def cloud(canvas: Canvas, dice: Dice, x: float, y: float, size: float, colour: Colour) -> None:
    """A cloud around (x, y)."""
    lobes = [(-0.9, 0.05, 0.5), (0.95, 0.08, 0.46), (-0.25, -0.28, 0.68), (0.45, -0.1 - dice.between(0, 0.2), 0.56)]
    for dx, dy, radius in lobes:
        canvas.fill(ellipse(x + dx * size, y + dy * size, radius * size), colour, "cloud")
    canvas.fill(box(x - 1.35 * size, y + 0.05 * size, x + 1.38 * size, y + 0.55 * size, 0.25 * size), colour, "cloud")


def stars(canvas: Canvas, dice: Dice, count: int, below: float) -> None:
    """Stars above the row `below`, a few of them large."""
    for _ in range(count):
        x, y, size = dice.between(1, 95), dice.between(1, below), dice.between(0.5, 1.0)
        if dice.chance(0.25):
            rays = zip(np.arange(8) * np.pi / 4, [size * 2.6, size * 0.6] * 4, strict=True)
            points = [(x + ray * np.sin(turn), y - ray * np.cos(turn)) for turn, ray in rays]
            canvas.fill(polygon(*points), palette.LEMON, "star")
        else:
            canvas.fill(ellipse(x, y, size), (250, 246, 230), "star")


def hills(canvas: Canvas, dice: Dice, y: float, colour: Colour, *, part: str = "grass", height: float = 6) -> None:
    """Rolling land from about row `y` down."""
    knots = [(x, y + dice.between(-height, height) / 2) for x in range(-32, SIDE + 33, 32)]
    outline = np.concatenate([curve(*knots), polygon((SIDE + 40, SIDE + 4), (-40, SIDE + 4))])
    canvas.fill(outline, colour, part)
    nearer = outline + np.array([7, 10])
    canvas.fill(nearer, shaded(colour, 0.07), None)


def tufts(canvas: Canvas, dice: Dice, top: float, green: Colour) -> None:
    """Tufts of grass and small flowers."""
    for _ in range(dice.whole(5, 11)):
        x, y = dice.between(0, SIDE), dice.between(top, SIDE)
        if dice.chance(0.35):
            canvas.fill(ellipse(x, y - 1.4, 1.3), dice.pick(palette.BLOSSOMS), None)
            canvas.fill(ellipse(x, y - 1.4, 0.5), palette.LEMON, None)
            continue
        for lean in (-1.6, 0, 1.6):
            canvas.fill(line(x, y, x + lean, y - 3, 0.8), shaded(green, 0.2), None)


def skyline(canvas: Canvas, dice: Dice, base: float, height: float, colour: Colour, night: bool) -> None:
    """Houses of a town whose feet are on row `base`; by night some windows are lit."""
    x = dice.between(-12, 0)
    while x < SIDE:
        width, tall = dice.between(9, 19), height * dice.between(0.6, 1.35)
        canvas.fill(box(x, base - tall, x + width, base + 1), colour, PLAIN)
        shine = palette.LEMON if night else lit(colour, 0.3)
        for column in np.arange(x + 2.5, x + width - 2.5, 4):
            for row in np.arange(base - tall + 2.5, base - 3, 5):
                if dice.chance(0.55):
                    canvas.fill(box(column, row, column + 1.5, row + 2), shine, None)
        x += width + dice.between(-1, 5)


def open_water(canvas: Canvas, dice: Dice, horizon: float, sky: Colour, night: bool) -> Colour:
    """Water up to the horizon, with waves; returns its colour."""
    water = varied(dice, dice.pick(((64, 158, 194), (54, 132, 182), (74, 176, 176), (92, 140, 200))))
    water = mix(mix(water, (26, 36, 88), 0.5 if night else 0), sky, 0.12)
    canvas.gradient(lit(water, 0.25), shaded(water, 0.12), "water", horizon)
    for _ in range(dice.whole(8, 15)):
        x, y = dice.between(0, SIDE), horizon + 2 + (SIDE - horizon - 2) * dice.between(0, 1) ** 1.4
        size = 1.5 + (y - horizon) * 0.1
        crests = ((x - size * 0.8, y - size * 0.35), (x, y), (x + size * 0.8, y - size * 0.35))
        canvas.stroke(curve((x - size * 1.6, y), *crests, (x + size * 1.6, y)), 0.85, lit(water, 0.5))
    return water


def weed(canvas: Canvas, dice: Dice, x: float, colour: Colour) -> None:
    """A water plant."""
    height, sway = dice.between(14, 34), dice.between(-3.5, 3.5)
    path = curve((x, 97), (x + sway, 97 - height / 3), (x - sway, 97 - height * 2 / 3), (x + sway * 0.6, 97 - height))
    canvas.stroke(path, (3.6, 3, 1), colour, PLAIN)


def bubble(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """A bubble of air."""
    canvas.fill(ellipse(x, y, radius), lit(colour, 0.6), None, alpha=0.5)
    canvas.fill(ellipse(x - radius * 0.3, y - radius * 0.3, radius * 0.35), palette.WHITE, None)


def grove(canvas: Canvas, dice: Dice, x: float, base: float, colour: Colour) -> None:
    """A tree far away: too small to have parts."""
    if dice.chance(0.4):
        fir(canvas, x, base, dice.between(8, 13), colour)
        return
    radius = dice.between(2.6, 4.4)
    canvas.fill(line(x, base, x, base - radius * 1.6, 1.1), shaded(colour, 0.2), PLAIN)
    canvas.fill(ellipse(x, base - radius * 2, radius, radius * 1.12), colour, PLAIN)


def fir(canvas: Canvas, x: float, base: float, height: float, colour: Colour) -> None:
    """A fir tree far away."""
    for step in range(3):
        top, half = base - height * (1 - 0.24 * step), height * (0.16 + 0.08 * step)
        canvas.fill(polygon((x, top), (x + half, top + height * 0.46), (x - half, top + height * 0.46)), colour, PLAIN)
