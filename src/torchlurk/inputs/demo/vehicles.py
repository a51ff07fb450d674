"""Things that roll; they stand on y = 0 and are about 2 long."""

from __future__ import annotations

import numpy as np

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, mix, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import box, curve, ellipse, line, polygon, smooth

METALS = (palette.SILVER, palette.CREAM, palette.AMBER, palette.RED, palette.SKY)
DECK, FULL = 1.36, 1.78
"""Length of a row of windows beside the door, and of one above it."""


def car(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A car, at times with luggage on its roof."""
    paint = contrasting(dice, palette.PAINTS, *scene.tones)
    pane, frame = parts.glass(dice, night=scene.night), shaded(paint, 0.3)
    top, front, back = dice.between(-0.98, -0.84), dice.between(0.36, 0.6), dice.between(-0.85, -0.55)
    post = (front + back) / 2 - 0.06
    if dice.chance(0.3):
        _luggage(canvas, dice, post - 0.02, top)
    _cabin(canvas, (back, front), top, paint, pane)
    hood = dice.between(-0.56, -0.48)
    body = smooth(
        (-0.99, -0.3), (-0.94, -0.52), (-0.5, -0.57), (0.3, -0.57), (0.75, hood), (0.97, -0.38), (0.98, -0.2),
        (0.7, -0.14), (0, -0.14), (-0.8, -0.14),
    )  # fmt: skip
    canvas.solid(body, paint, depth=0.09)
    if dice.chance(0.35):
        canvas.fill(box(-1, -0.4, 1, -0.33), contrasting(dice, palette.PAINTS, paint), "stripe", within=body)
    canvas.fill(line(post, -0.5, post, -0.2, 0.025), frame, None)
    canvas.fill(line(post + 0.1, -0.42, post + 0.2, -0.42, 0.045), lit(paint, 0.6), None)
    parts.lamp(canvas, 0.88, -0.37, 0.085, glow=scene.night)
    parts.lamp(canvas, -0.92, -0.38, 0.065, colour=palette.RED)
    rim, spokes, radius = dice.pick(METALS), dice.pick((0, 0, 3, 4)), dice.between(0.21, 0.26)
    for x in (-0.56, 0.56):
        canvas.fill(ellipse(x, -0.22, radius + 0.06, start=180, stop=360), shaded(paint, 0.5), None)
        parts.wheel(canvas, x, -radius + 0.01, radius, rim, spokes=spokes)


def _cabin(canvas: Canvas, ends: tuple[float, float], top: float, paint: Colour, pane: Colour) -> None:
    back, front = ends
    roof = ((back + 0.06, top + 0.08), (back + 0.3, top), (front - 0.42, top), (front - 0.2, top + 0.08))
    canvas.solid(smooth((back - 0.12, -0.5), *roof, (front + 0.1, -0.5)), paint, depth=0.06)
    post, sill, lintel = (front + back) / 2 - 0.06, top + 0.42, top + 0.13
    rear = polygon((back + 0.04, sill), (back + 0.16, lintel), (post - 0.05, lintel), (post - 0.05, sill))
    fore = polygon((post + 0.05, sill), (post + 0.05, lintel), (front - 0.27, lintel), (front - 0.05, sill))
    for outline in (rear, fore):
        parts.window(canvas, outline, pane, shaded(paint, 0.3), thick=0.02)


def _luggage(canvas: Canvas, dice: Dice, x: float, top: float) -> None:
    """A rack on the roof with two suitcases."""
    canvas.fill(line(x - 0.36, top - 0.03, x + 0.36, top - 0.03, 0.04), palette.COCOA)
    for dx, wide in ((-0.17, 0.3), (0.16, 0.26)):
        tall, colour = dice.between(0.12, 0.22), dice.pick(palette.PAINTS)
        case = box(x + dx - wide / 2, top - 0.04 - tall, x + dx + wide / 2, top - 0.04, 0.03)
        canvas.solid(case, colour, depth=0.04)
        if dice.chance(0.4):
            parts.stripes(canvas, case, shaded(colour, 0.4), count=2, share=0.25, angle=90)


def bus(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A bus with one deck or two."""
    paint = contrasting(dice, palette.PAINTS, *scene.tones)
    trim = contrasting(dice, (*palette.PAINTS, palette.WHITE), paint)
    pane = parts.glass(dice, night=scene.night)
    double = dice.chance(0.4)
    top = dice.between(-1.55, -1.42) if double else dice.between(-1.15, -1.02)
    body = box(-1, top, 1, -0.14, dice.between(0.1, 0.2))
    canvas.solid(body, paint, depth=0.09)
    canvas.fill(box(-1, top, 1, top + 0.1), lit(paint, 0.5), None, within=body)
    banded = dice.chance(0.7)
    if banded:
        canvas.fill(box(-1, -0.5, 1, -0.38), trim, "stripe", within=body)
    count = dice.whole(3, 4)
    for y, wide in ((top + 0.2, FULL), (-0.97, DECK)) if double else ((top + 0.2, DECK),):
        _window_row(canvas, y, wide, count + (wide == FULL), pane, shaded(paint, 0.35))
    parts.door(canvas, 0.56, -0.95 if double else -0.92, 0.86, -0.15, mix(pane, trim, 0.25 if banded else 0.6))
    parts.lamp(canvas, 0.95, -0.3, 0.07, glow=scene.night)
    parts.lamp(canvas, -0.96, -0.3, 0.055, colour=palette.RED)
    rim, spokes = dice.pick(METALS), dice.pick((0, 0, 4))
    for x in (-0.58, 0.34):
        canvas.fill(ellipse(x, -0.2, 0.26, start=180, stop=360), shaded(paint, 0.5), None)
        parts.wheel(canvas, x, -0.2, 0.21, rim, spokes=spokes)


def _window_row(canvas: Canvas, y: float, wide: float, count: int, pane: Colour, frame: Colour) -> None:
    step = wide / count
    for number in range(count):
        x = -0.9 + number * step
        parts.window(canvas, box(x, y, x + step - 0.07, y + 0.34, 0.05), pane, frame, thick=0.03)


def train(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A steam engine on its rails."""
    paint = contrasting(dice, palette.PAINTS, *scene.tones)
    trim = contrasting(dice, palette.PAINTS, paint, *scene.tones)
    if dice.chance(0.8):
        parts.smoke(canvas, dice, 0.6, -1.12, 0.17)
    canvas.fill(box(-1.15, -0.03, 1.15, 0.03), palette.SLATE)
    for x in np.arange(-1.05, 1.15, 0.26):
        canvas.fill(box(x, 0.03, x + 0.13, 0.08), palette.COCOA)
    _boiler(canvas, dice, paint, trim)
    canvas.solid(box(-0.95, -1.22, -0.28, -0.3, 0.05), trim, depth=0.08)
    pane = box(-0.82, -1.08, -0.42, -0.72, dice.pick((0.02, 0.2)))
    parts.window(canvas, pane, parts.glass(dice, night=scene.night), palette.CREAM, thick=0.05)
    parts.roof(canvas, box(-1.06, -1.36, -0.17, -1.2, 0.08), shaded(paint, 0.3), rows=1)
    canvas.solid(box(-1, -0.4, 0.95, -0.26, 0.04), shaded(trim, 0.4), depth=0.04)
    canvas.solid(polygon((0.86, -0.34), (1.08, -0.02), (0.74, -0.02)), shaded(paint, 0.4), depth=0.05)
    parts.lamp(canvas, 0.92, -0.7, 0.09, glow=scene.night)
    _driving_wheels(canvas, dice)


def _boiler(canvas: Canvas, dice: Dice, paint: Colour, trim: Colour) -> None:
    parts.chimney(canvas, 0.48, -1.16, 0.7, -0.75, shaded(trim, 0.15))
    canvas.fill(ellipse(0.12, -0.86, 0.13, 0.15), palette.AMBER)
    boiler = box(-0.35, -0.86, 0.82, -0.36, 0.16)
    canvas.solid(boiler, paint, depth=0.12)
    for x in dice.pick(((0.0, 0.4), (-0.05, 0.2, 0.45))):
        canvas.fill(box(x, -0.86, x + 0.07, -0.36), trim, "stripe", within=boiler)
    canvas.solid(box(0.78, -0.82, 0.92, -0.4, 0.06), shaded(paint, 0.35), depth=0.05)


def _driving_wheels(canvas: Canvas, dice: Dice) -> None:
    """Two large and a small one, or four small ones, with the rod that drives them."""
    rim, spokes, big = dice.pick(METALS), dice.pick((3, 4)), dice.chance(0.5)
    wheels = ((-0.62, 0.27), (0.02, 0.27), (0.54, 0.17)) if big else ((-0.68, 0.2), (-0.22, 0.2), (0.24, 0.2), (0.68, 0.16))
    for x, radius in wheels:
        parts.wheel(canvas, x, -radius, radius, rim, spokes=spokes)
    swing = dice.between(-0.08, 0.08)
    canvas.fill(line(wheels[0][0], -0.2 + swing, wheels[-2][0], -0.2 + swing, 0.06), palette.SILVER, None)


def bicycle(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A bicycle with a basket or a lamp."""
    paint = contrasting(dice, palette.PAINTS[:-1], *scene.tones, least=190)
    radius, rim = dice.between(0.4, 0.47), dice.pick((palette.SILVER, palette.CREAM, paint))
    spokes = dice.whole(4, 6)
    for x in (-0.56, 0.56):
        parts.wire_wheel(canvas, x, -radius, radius, rim, spokes=spokes)
    with canvas.placed(0, -radius):
        _frame(canvas, dice, paint, scene)
        _pedals(canvas, dice)


def _frame(canvas: Canvas, dice: Dice, paint: Colour, scene: Scene) -> None:
    """Tubes, saddle and handlebar; the wheels' axles are on y = 0."""
    rear, front, hub, seat, head, fork = (-0.56, 0.0), (0.56, 0.0), (-0.06, 0.03), (-0.24, -0.56), (0.4, -0.55), (0.33, -0.8)
    tube = dice.between(0.08, 0.105)
    for start, end in ((rear, seat), (rear, hub), (seat, hub), (hub, head), (front, fork)):
        canvas.fill(line(*start, *end, tube), shaded(paint, 0.1))
    bar = seat if dice.chance(0.6) else (-0.16, -0.25)
    canvas.fill(line(*bar, *head, tube), paint)
    canvas.fill(line(*seat, -0.3, -0.7, tube * 0.8), palette.SILVER)
    saddle = smooth((-0.52, -0.78), (-0.25, -0.76), (-0.06, -0.71), (-0.32, -0.65), (-0.5, -0.65))
    canvas.solid(saddle, palette.COCOA, depth=0.04)
    canvas.stroke(curve(fork, (0.35, -0.92), (0.53, -0.94), (0.55, -0.82)), tube * 0.75, palette.INK, "")
    if dice.chance(0.4):
        _basket(canvas, dice)
    else:
        parts.lamp(canvas, 0.47, -0.66, 0.075, glow=scene.night)


def _basket(canvas: Canvas, dice: Dice) -> None:
    for x in (0.55, 0.7, 0.85):
        angle = dice.between(-120, -60)
        parts.petal(canvas, x, -0.7, 0.2, 0.14, angle, dice.pick(palette.BLOSSOMS))
    basket = polygon((0.46, -0.72), (0.96, -0.72), (0.88, -0.38), (0.54, -0.38))
    canvas.solid(basket, palette.SAND, depth=0.05)
    parts.stripes(canvas, basket, palette.BROWN, count=3, share=0.3)


def _pedals(canvas: Canvas, dice: Dice) -> None:
    x, y = -0.06, 0.03
    canvas.fill(ellipse(x, y, 0.13), palette.INK, None)
    canvas.fill(ellipse(x, y, 0.07), palette.SILVER, None)
    turn = np.radians(dice.between(0, 180))
    for sign in (-1, 1):
        foot = (x + sign * 0.2 * np.cos(turn), y + sign * 0.2 * np.sin(turn))
        canvas.fill(line(x, y, *foot, 0.045), palette.SILVER, None)
        canvas.fill(line(foot[0] - 0.08, foot[1], foot[0] + 0.08, foot[1], 0.06), palette.INK, None)
