"""Things from a house and a garden: apple, ball and cup stand on y = 0, the others are around the origin; about 2 long."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, box, curve, ellipse, line, smooth

APPLES: tuple[Colour, ...] = (palette.RED, palette.CORAL, palette.OLIVE, palette.GREEN, palette.AMBER)
FLESH = smooth((0, -0.5), (0.42, -0.66), (0.82, -0.3), (0.74, 0.34), (0.34, 0.78), (0, 0.7), (-0.34, 0.78),
               (-0.74, 0.34), (-0.82, -0.3), (-0.42, -0.66))  # fmt: skip
ENVELOPE = smooth((0, -1.0), (0.55, -0.86), (0.78, -0.38), (0.6, 0.14), (0.2, 0.56), (-0.2, 0.56), (-0.6, 0.14),
                  (-0.78, -0.38), (-0.55, -0.86))  # fmt: skip


def apple(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """An apple with a leaf."""
    with canvas.placed(0, -0.76):
        _apple(canvas, dice, scene)


def _apple(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    skin = contrasting(dice, APPLES, *scene.tones, least=110)
    canvas.solid(FLESH, skin, "fruit", depth=0.22)
    if dice.chance(0.4):
        parts.spots(canvas, dice, FLESH, lit(skin, 0.5), count=9, radius=0.04)
    parts.stem(canvas, curve((0, -0.46), (0.03, -0.7), (dice.between(0.05, 0.2), -0.92)), 0.08, palette.COCOA)
    if dice.chance(0.8):
        parts.leaf(canvas, 0.05, -0.72, dice.between(0.5, 0.75), 0.3, dice.between(-40, 5), dice.pick(palette.LEAVES))


def ball(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A ball: a beach ball with sectors, or one with bands or spots."""
    with canvas.placed(0, -0.9):
        _ball(canvas, dice, scene)


def _ball(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    first = contrasting(dice, palette.PAINTS, *scene.tones)
    second = contrasting(dice, (palette.WHITE, *palette.PAINTS), first, least=200)
    outline = ellipse(0, 0, 0.9)
    canvas.solid(outline, first, depth=0.2)
    look = dice.pick(("sectors", "sectors", "bands", "spots"))
    if look == "bands":
        parts.stripes(canvas, outline, second, count=dice.whole(1, 4), bend=dice.between(0.1, 0.3))
    if look == "spots":
        parts.spots(canvas, dice, outline, second, count=7, radius=0.17)
    if look == "sectors":
        _sectors(canvas, dice, outline, second)
    canvas.fill(ellipse(-0.35, -0.42, 0.2, 0.12, angle=-40), palette.WHITE, None, alpha=0.55)


def _sectors(canvas: Canvas, dice: Dice, outline: Points, colour: Colour) -> None:
    pole, count = (dice.between(-0.25, 0.25), dice.between(-0.25, 0.25)), dice.whole(3, 4)
    for sector in range(count):
        first, last = 360 * sector / count, 360 * (sector + 0.5) / count
        canvas.fill(np.concatenate([[pole], ellipse(0, 0, 0.95, start=first, stop=last)]), colour, "stripe", within=outline)
    canvas.fill(ellipse(*pole, 0.14), lit(colour, 0.4), None)


def balloon(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A hot-air balloon with its basket."""
    cloth = contrasting(dice, palette.PAINTS, *scene.tones)
    trim = contrasting(dice, (palette.WHITE, *palette.PAINTS), cloth, *scene.tones, least=170)
    for x in (-0.17, 0.17):
        canvas.fill(line(x * 1.5, 0.5, x * 0.8, 0.86, 0.025), palette.COCOA)
    canvas.solid(ENVELOPE, cloth, depth=0.16)
    if dice.chance(0.6):
        for share in (-0.72, 0.0, 0.72):
            canvas.fill(_gore(share), trim, "stripe", within=ENVELOPE)
    else:
        parts.stripes(canvas, ENVELOPE, trim, count=dice.whole(2, 5), bend=0.12)
    canvas.solid(box(-0.2, 0.82, 0.2, 1.08, 0.05), palette.BROWN, depth=0.06)
    parts.stripes(canvas, box(-0.2, 0.82, 0.2, 1.08), palette.COCOA, count=3, share=0.25)


def _gore(share: float) -> Points:
    """A strip of the envelope from top to bottom, at this share of its width."""
    turns = np.linspace(0.05, 3.1, 7)
    height, bulge = -1.0 + 1.56 * turns / np.pi, np.sin(turns)
    left, right = (np.stack([(share * 0.78 + side * 0.11) * bulge, height], axis=1) for side in (-1, 1))
    return np.concatenate([left, right[::-1]])


def clock(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A clock with hands, at times an alarm clock with bells."""
    rim = contrasting(dice, palette.PAINTS, *scene.tones)
    face = dice.pick((palette.WHITE, palette.CREAM, palette.INK, palette.AQUA))
    ink = palette.CREAM if face == palette.INK else palette.INK
    if dice.chance(0.45):
        for side in (-1, 1):
            parts.leg(canvas, line(side * 0.5, 0.6, side * 0.72, 0.98, 0.1), 0.05, shaded(rim, 0.4))
            canvas.solid(ellipse(side * 0.52, -0.78, 0.3, 0.22, angle=side * 35), palette.AMBER, depth=0.06)
    canvas.solid(ellipse(0, 0, 0.88), rim, depth=0.12)
    canvas.fill(ellipse(0, 0, 0.72), face)
    for hour in range(12):
        along = np.array([math.sin(math.pi * hour / 6), math.cos(math.pi * hour / 6)])
        (x0, y0), (x1, y1) = along * (0.56 if hour % 3 else 0.5), along * 0.65
        canvas.fill(line(x0, y0, x1, y1, 0.04 if hour % 3 else 0.07), ink, None)
    for length, width in ((0.38, 0.09), (0.56, 0.055)):
        turn = dice.between(0, 2 * math.pi)
        canvas.fill(line(0, 0, length * math.sin(turn), length * math.cos(turn), width), ink, None)
    canvas.fill(ellipse(0, 0, 0.07), palette.RED, None)


def cup(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A cup with a handle, at times steaming."""
    glaze = contrasting(dice, (palette.WHITE, *palette.PAINTS), *scene.tones)
    top, foot = dice.between(-1.25, -0.95), dice.between(0.4, 0.62)
    if dice.chance(0.6):
        parts.smoke(canvas, dice, -0.1, top - 0.12, 0.13)
    handle = smooth((0.6, top + 0.2), (1.05, top + 0.3), (1.0, -0.4), (0.55, -0.28), closed=False)
    canvas.stroke(handle, 0.15, shaded(glaze, 0.15))
    body = np.concatenate([curve((-0.72, top), (-0.7, -0.4), (-foot, -0.03)), curve((foot, -0.03), (0.7, -0.4), (0.72, top))])
    canvas.solid(body, glaze, depth=0.12)
    mark = contrasting(dice, (palette.WHITE, *palette.PAINTS), glaze)
    if dice.chance(0.5):
        parts.stripes(canvas, body, mark, count=dice.whole(2, 4), share=0.4)
    elif dice.chance(0.6):
        parts.spots(canvas, dice, body, mark, count=8, radius=0.1)
    canvas.fill(ellipse(0, top, 0.72, 0.15), shaded(glaze, 0.3))
    canvas.fill(ellipse(0, top + 0.03, 0.63, 0.1), dice.pick((palette.COCOA, palette.BROWN, palette.AMBER)))


def umbrella(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """An open umbrella with a bent handle."""
    cloth = contrasting(dice, palette.PAINTS, *scene.tones)
    other = contrasting(dice, (palette.WHITE, *palette.PAINTS), cloth, *scene.tones, least=170)
    grip = curve((0, -1.15), (0, 0.5), (0.05, 0.78), (0.25, 0.84), (0.38, 0.66))
    canvas.stroke(grip, 0.07, palette.COCOA, "")
    edges = np.linspace(-1, 1, dice.pick((5, 7)))
    hem = [ellipse((a + b) / 2, -0.08, (b - a) / 2, 0.13, start=180, stop=360)[::-1] for a, b in pairwise(edges)]
    canopy = np.concatenate([ellipse(0, -0.08, 1, 0.86, start=180, stop=360), *hem[::-1]])
    canvas.solid(canopy, cloth, "roof", depth=0.08)
    if dice.chance(0.8):
        for a, b in list(pairwise(edges))[dice.whole(0, 1) :: 2]:
            ribs = [curve((0, -0.96), (0.72 * x, -0.68), (x, 0.1)) for x in (a, b)]
            canvas.fill(np.concatenate([ribs[0], ribs[1][::-1]]), other, "stripe", within=canopy)
    canvas.fill(line(0, -1.08, 0, -0.92, 0.06), palette.COCOA)
