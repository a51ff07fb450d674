"""Where things are found: places with a horizon, and coloured paper with a pattern, each painted whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from torchlurk.inputs.demo import palette, scenery
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.palette import Colour, lit, mix, shaded, varied
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import NIGHT_SKIES, SIDE, Scene
from torchlurk.inputs.demo.shapes import box, curve, ellipse, polygon

GREENS: tuple[Colour, ...] = ((150, 200, 104), (122, 186, 112), (184, 204, 104), (104, 176, 128))
DEPTHS: tuple[tuple[Colour, Colour], ...] = (
    ((120, 214, 220), (34, 112, 158)), ((100, 196, 226), (44, 80, 150)),
    ((150, 224, 204), (24, 120, 130)), ((126, 150, 216), (58, 52, 120)),
)  # fmt: skip
WEEDS = (palette.PINE, palette.GREEN, palette.PLUM, palette.ROSE)
PAPERS: tuple[Colour, ...] = (
    (250, 228, 205), (207, 229, 226), (226, 219, 240), (251, 213, 208), (220, 233, 200), (253, 236, 190),
    (200, 222, 240), (92, 122, 140), (120, 96, 140), (58, 92, 104),
)  # fmt: skip


def meadow(canvas: Canvas, dice: Dice) -> Scene:
    """Hills and grass under a sky with clouds."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.12, evening=0.2)
    horizon = dice.between(54, 66)
    green = mix(varied(dice, dice.pick(GREENS)), (34, 42, 90), 0.55 if night else 0)
    far = horizon - dice.between(5, 13)
    scenery.hills(canvas, dice, far, mix(green, bottom, 0.5))
    if dice.chance(0.6):
        distant = mix(shaded(green, 0.12), bottom, 0.4)
        for _ in range(dice.whole(2, 7)):
            scenery.grove(canvas, dice, dice.between(0, SIDE), far + dice.between(4, 9), distant)
    scenery.hills(canvas, dice, horizon, green)
    scenery.tufts(canvas, dice, horizon + 6, green)
    return Scene((top, bottom, green), dice.between(80, 88), night)


def street(canvas: Canvas, dice: Dice) -> Scene:
    """A road before a town."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.2, evening=0.25)
    horizon = dice.between(62, 70)
    for row in (1, 0):
        colour = mix(bottom, palette.NAVY if night else palette.SLATE, 0.4 - 0.2 * row)
        scenery.skyline(canvas, dice, horizon, dice.between(10, 20) + 9 * row, colour, night)
    pavement = varied(dice, mix((214, 204, 190), palette.NAVY, 0.5 if night else 0))
    road = varied(dice, mix((132, 134, 150), palette.INK, 0.45 if night else 0))
    canvas.gradient(lit(pavement, 0.2), pavement, "ground", horizon)
    curb = horizon + dice.between(7, 11)
    canvas.gradient(road, shaded(road, 0.15), "ground", curb)
    canvas.fill(box(0, curb - 1, SIDE, curb + 0.6), shaded(pavement, 0.2), None)
    shift = dice.between(0, 20)
    for dash in range(6):
        canvas.fill(box(dash * 20 - shift, 91.5, dash * 20 - shift + 11, 93.3), lit(road, 0.6), None)
    return Scene((top, bottom, road), dice.between(82, 88), night)


def beach(canvas: Canvas, dice: Dice) -> Scene:
    """Sand before the sea."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.08, evening=0.3)
    horizon = dice.between(50, 58)
    scenery.open_water(canvas, dice, horizon, bottom, night)
    shore = horizon + dice.between(10, 16)
    sand = varied(dice, mix((244, 216, 160), (60, 60, 120), 0.5 if night else 0))
    knots = [(x, shore + dice.between(-2.5, 2.5)) for x in range(-16, SIDE + 17, 16)]
    coast = np.concatenate([curve(*knots), polygon((SIDE + 20, SIDE), (-20, SIDE))])
    canvas.fill(coast - (0, 2.2), lit(bottom, 0.7), "water")
    canvas.fill(coast, sand, "ground")
    for _ in range(dice.whole(4, 9)):
        pebble = ellipse(dice.between(0, SIDE), dice.between(shore + 8, SIDE), dice.between(0.5, 1.1))
        canvas.fill(pebble, shaded(sand, 0.25), None)
    return Scene((top, bottom, sand), dice.between(81, 88), night, warm=True)


def sea(canvas: Canvas, dice: Dice) -> Scene:
    """The open sea; things float on it."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.15, evening=0.35)
    horizon = dice.between(48, 62)
    water = scenery.open_water(canvas, dice, horizon, bottom, night)
    return Scene((top, bottom, water), dice.between(78, 86), night, afloat=True)


def underwater(canvas: Canvas, dice: Dice) -> Scene:
    """Below the waves, with rays of light, weeds and bubbles."""
    top, bottom = dice.pick(DEPTHS)
    canvas.gradient(top, bottom, "water")
    for _ in range(dice.whole(0, 4)):
        x, width = dice.between(-10, 90), dice.between(5, 13)
        ray = polygon((x, 0), (x + width, 0), (x + width * 1.4 - 22, SIDE), (x - 30, SIDE))
        canvas.fill(ray, lit(top, 0.5), None, alpha=0.16)
    sand = mix((238, 212, 160), bottom, dice.between(0.25, 0.5))
    scenery.hills(canvas, dice, dice.between(80, 88), sand, part="ground", height=3)
    for _ in range(dice.whole(2, 5)):
        x = dice.between(2, 94)
        scenery.weed(canvas, dice, x, mix(dice.pick(WEEDS), bottom, 0.35))
    for _ in range(dice.whole(3, 8)):
        scenery.bubble(canvas, dice.between(4, 92), dice.between(4, 80), dice.between(1, 2.6), top)
    return Scene((mix(top, bottom, 0.5), bottom), 84)


def clouds(canvas: Canvas, dice: Dice) -> Scene:
    """High up in the sky."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.15, evening=0.3)
    for _ in range(dice.whole(2, 4)):
        white = mix(palette.WHITE, top, 0.45 if night else 0.08)
        scenery.cloud(canvas, dice, dice.between(0, SIDE), dice.between(8, 90), dice.between(8, 15), white)
    return Scene((top, bottom), 84, night)


def space(canvas: Canvas, dice: Dice) -> Scene:
    """Among stars and planets."""
    top, bottom = dice.pick(NIGHT_SKIES)
    canvas.gradient(shaded(top, 0.3), bottom, "sky")
    scenery.stars(canvas, dice, dice.whole(16, 34), SIDE)
    for _ in range(dice.whole(0, 2)):
        x, y, radius = dice.between(8, 88), dice.between(8, 88), dice.between(4, 11)
        colour = varied(dice, dice.pick(palette.PAINTS))
        ringed = dice.chance(0.5)
        if ringed:
            canvas.fill(ellipse(x, y, radius * 1.8, radius * 0.45, angle=-20), lit(colour, 0.4), PLAIN)
            canvas.fill(ellipse(x, y, radius * 1.4, radius * 0.25, angle=-20), bottom, PLAIN)
        canvas.solid(ellipse(x, y, radius, radius * (0.95 if ringed else 1)), colour, PLAIN, depth=radius * 0.5)
    return Scene((top, bottom), 84, night=True)


def snow(canvas: Canvas, dice: Dice) -> Scene:
    """A white field while it snows."""
    top, bottom, night = scenery.sky(canvas, dice, night=0.25, evening=0.2, clouded=0.2)
    white = mix((246, 249, 252), (70, 84, 150), 0.45 if night else 0)
    horizon = dice.between(58, 68)
    scenery.hills(canvas, dice, horizon - dice.between(4, 10), mix(white, bottom, 0.45), part="ground")
    green = mix(palette.PINE, bottom, 0.35)
    for _ in range(dice.whole(1, 5)):
        scenery.fir(canvas, dice.between(0, SIDE), horizon - dice.between(-2, 4), dice.between(9, 17), green)
    scenery.hills(canvas, dice, horizon, white, part="ground")
    for _ in range(dice.whole(10, 26)):
        canvas.fill(ellipse(dice.between(0, SIDE), dice.between(0, SIDE), dice.between(0.5, 1.2)), palette.WHITE, None)
    return Scene((top, bottom, white), dice.between(80, 87), night, cold=True)


def paper(canvas: Canvas, dice: Dice) -> Scene:
    """Coloured paper with a pattern, as in a picture book."""
    base = varied(dice, dice.pick(PAPERS))
    other = lit(base, 0.45) if dice.chance(0.6) else shaded(base, 0.1)
    canvas.gradient(base, base, PLAIN)
    dice.pick((_plain, _dots, _bands, _rays, _disc, _checks))(canvas, dice, other)
    return Scene((base, other), dice.between(80, 87))


def _plain(canvas: Canvas, dice: Dice, other: Colour) -> None:
    canvas.gradient(other, other, PLAIN, dice.between(62, 74))


def _dots(canvas: Canvas, dice: Dice, other: Colour) -> None:
    step, radius = dice.between(9, 16), dice.between(1.4, 2.8)
    for row, y in enumerate(np.arange(0, SIDE + step, step * 0.87)):
        for x in np.arange(-step / 2 * (row % 2), SIDE + step, step):
            canvas.fill(ellipse(x, y, radius), other, "spot")


def _bands(canvas: Canvas, dice: Dice, other: Colour) -> None:
    step, lean = dice.between(9, 18), dice.between(-40, 40)
    for x in np.arange(-60, SIDE + 60, step):
        canvas.fill(polygon((x, 0), (x + step / 2, 0), (x + step / 2 + lean, SIDE), (x + lean, SIDE)), other, "stripe")


def _rays(canvas: Canvas, dice: Dice, other: Colour) -> None:
    x, y, count = dice.between(38, 58), dice.between(46, 70), dice.whole(8, 12)
    turn = dice.between(0, np.pi)
    for ray in range(count):
        edges = [turn + 2 * np.pi * (ray + side) / count for side in (0, 0.5)]
        ends = [(x + 140 * np.cos(edge), y + 140 * np.sin(edge)) for edge in edges]
        canvas.fill(polygon((x, y), *ends), other, None)


def _disc(canvas: Canvas, dice: Dice, other: Colour) -> None:
    canvas.fill(ellipse(48, 48, dice.between(34, 42)), other, None)


def _checks(canvas: Canvas, dice: Dice, other: Colour) -> None:
    step = dice.between(10, 18)
    for row, y in enumerate(np.arange(0, SIDE, step)):
        for x in np.arange(step * (row % 2), SIDE, 2 * step):
            canvas.fill(box(x, y, x + step, y + step), other, None)


PLACES: dict[str, Callable[[Canvas, Dice], Scene]] = {
    "meadow": meadow, "street": street, "beach": beach, "sea": sea, "underwater": underwater,
    "clouds": clouds, "space": space, "snow": snow, "paper": paper,
}  # fmt: skip
