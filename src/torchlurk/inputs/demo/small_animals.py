"""Animals that swim, fly or creep: around the origin and about 2 long; the snail is on y = 0."""

from __future__ import annotations

import numpy as np

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.animals import BOTH, IRISES
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, mix, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, curve, ellipse, mirrored, polygon, smooth

YELLOWS: tuple[Colour, ...] = (palette.AMBER, palette.LEMON, palette.ORANGE, (252, 200, 84))
GAUZES: tuple[Colour, ...] = (palette.WHITE, (222, 242, 250), (250, 236, 250))
SKINS = (palette.SAND, palette.PINK, palette.OLIVE, palette.LILAC, palette.ORANGE, palette.CREAM)

BUTTERFLY_BODY = smooth(
    (0, -0.4), (0.09, -0.28), (0.08, 0.0), (0.06, 0.5), (0, 0.62), (-0.06, 0.5), (-0.08, 0.0), (-0.09, -0.28)
)
BEE_BODY = smooth((0.45, -0.3), (0.0, -0.44), (-0.5, -0.32), (-0.82, 0.04), (-0.5, 0.38), (0.0, 0.46), (0.45, 0.34))
FLIPPER = smooth((0.22, 0.12), (0.02, 0.08), (-0.16, 0.3), (0.0, 0.36), (0.2, 0.26))
SPIRAL_TURNS, SPIRAL_STEPS = 2.25, 60


def fish(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A fish with stripes, spots or scales."""
    skin = contrasting(dice, palette.PAINTS, *scene.tones)
    trim = contrasting(dice, palette.PAINTS, skin, *scene.tones)
    mark = contrasting(dice, (palette.WHITE, *palette.PAINTS), skin, trim, least=130)
    tall = dice.between(0.42, 0.6)
    _fish_fins(canvas, tall, trim, fork=dice.between(0.36, 0.52))
    body = smooth(
        (0.92, 0.03), (0.72, -tall * 0.58), (0.2, -tall), (-0.3, -tall * 0.72), (-0.66, -0.1), (-0.66, 0.1),
        (-0.3, tall * 0.72), (0.2, tall), (0.72, tall * 0.6),
    )  # fmt: skip
    canvas.solid(body, skin, depth=0.12)
    belly = smooth((0.95, 0.2), (0.3, tall * 0.62), (-0.5, 0.16), (-0.2, tall * 1.3), (0.6, tall * 1.2))
    canvas.fill(belly, lit(skin, 0.6), None, within=body)
    _fish_pattern(canvas, dice, body, tall, skin, mark)
    canvas.stroke(curve((0.4, -tall * 0.55), (0.32, 0), (0.4, tall * 0.55)), 0.035, shaded(skin, 0.35))
    canvas.solid(FLIPPER, shaded(trim, 0.12), "fin", depth=0.04)
    radius, iris, look = dice.between(0.12, 0.16), dice.pick(IRISES), (dice.between(-1, 1), dice.between(-1, 1))
    parts.eye(canvas, 0.6, -0.12, radius, iris, look=look)
    canvas.stroke(curve((0.9, 0.14), (0.8, 0.17), (0.7, 0.13)), 0.04, shaded(skin, 0.6))


def _fish_fins(canvas: Canvas, tall: float, trim: Colour, *, fork: float) -> None:
    tail = smooth(
        (-0.5, 0), (-0.75, -0.2), (-1.05, -fork), (-0.98, -0.1), (-0.9, 0.0), (-0.98, 0.1), (-1.05, fork), (-0.75, 0.2)
    )
    canvas.solid(tail, trim, "tail", depth=0.06)
    back = smooth((-0.42, -tall * 0.7), (-0.3, -tall - 0.26), (0.0, -tall - 0.3), (0.3, -tall * 0.8), (0, -tall * 0.5))
    keel = smooth((-0.4, tall * 0.7), (-0.34, tall + 0.2), (-0.1, tall + 0.16), (0.12, tall * 0.7), (-0.1, tall * 0.5))
    for fin, foot in ((back, -0.4), (keel, 0.4)):
        canvas.solid(fin, trim, "fin", depth=0.05)
        for slant in (-0.3, -0.12, 0.06):
            ray = polygon((slant, foot * tall), (slant - 0.16, foot * 3.4 * tall))
            canvas.stroke(ray, 0.025, shaded(trim, 0.3), within=fin)


def _fish_pattern(canvas: Canvas, dice: Dice, body: Points, tall: float, skin: Colour, mark: Colour) -> None:
    kind = dice.weighted({"stripe": 0.45, "spot": 0.25, "scale": 0.3})
    if kind == "stripe":
        count = dice.whole(2, 3)
        for number in range(count):
            x = 0.2 - number * 0.7 / count
            canvas.stroke(curve((x, -tall), (x + 0.07, 0), (x, tall)), 0.42 / count, mark, "stripe", within=body)
    elif kind == "spot":
        parts.spots(canvas, dice, ellipse(-0.12, 0, 0.42, tall * 0.62), mark, count=8, radius=0.08)
    else:
        trunk = polygon((-0.7, -1), (0.34, -1), (0.34, 1), (-0.7, 1))
        for x, y in ((-0.3, -0.1), (-0.1, -0.22), (-0.1, 0.05), (0.1, -0.1), (-0.3, 0.14), (0.1, 0.18)):
            canvas.stroke(ellipse(x, y, 0.09, start=-80, stop=80), 0.03, shaded(skin, 0.25), within=trunk)


def butterfly(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A butterfly from above, with spotted or striped wings."""
    colour = contrasting(dice, palette.PAINTS, *scene.tones)
    other = contrasting(dice, (*palette.PAINTS, palette.WHITE), colour, least=130)
    _butterfly_wings(canvas, dice, colour, other)
    for sign in BOTH:
        parts.antenna(canvas, curve((sign * 0.03, -0.36), (sign * 0.12, -0.62), (sign * 0.3, -0.8)), 0.045, palette.INK)
    canvas.solid(BUTTERFLY_BODY, palette.COCOA, depth=0.04)
    canvas.solid(ellipse(0, -0.36, 0.115), palette.COCOA, depth=0.04)
    for sign in BOTH:
        parts.bead(canvas, sign * 0.075, -0.39, 0.05)


def _butterfly_wings(canvas: Canvas, dice: Dice, colour: Colour, other: Colour) -> None:
    span, drop = dice.between(0.84, 0.98), dice.between(0.6, 0.85)
    upper = smooth(
        (0.04, -0.05), (0.22, -0.48), (span * 0.75, -0.78), (span, -0.62), (span * 0.92, -0.2), (0.5, 0.06), (0.12, 0.1)
    )
    lower = smooth((0.04, 0.0), (0.4, 0.02), (span * 0.8, 0.2), (span * 0.76, drop * 0.75), (0.42, drop), (0.16, 0.45))
    striped, many = dice.chance(0.35), dice.whole(1, 2)
    for wing, tone in ((lower, mix(colour, other, 0.35) if dice.chance(0.5) else colour), (upper, colour)):
        marks = [(dice.between(0.45, 0.62), dice.between(-0.1, 0.1)) for _ in range(many)]
        for outline in (wing, mirrored(wing)):
            canvas.fill(outline, shaded(colour, 0.5), "wing")
            field = outline.mean(0) + (outline - outline.mean(0)) * 0.82
            canvas.solid(field, tone, None, depth=0.05)
            if striped:
                leans = outline.mean(0).prod() < 0
                parts.stripes(canvas, field, other, count=4, share=0.35, angle=90 if leans else 70)
            else:
                _wing_spots(canvas, outline, marks, other, shaded(colour, 0.5))


def _wing_spots(canvas: Canvas, wing: Points, marks: list[tuple[float, float]], colour: Colour, heart: Colour) -> None:
    """Spots on the way from the wing's root to its middle and beyond: how far each is, and how much lower."""
    for share, shift in marks:
        x, y = wing.mean(0) * (share * 1.9) + (0, shift)
        canvas.fill(ellipse(x, y, 0.16), colour, "spot", within=wing)
        canvas.fill(ellipse(x, y, 0.08), heart, None, within=wing)


def bee(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A bee from the side."""
    yellow = contrasting(dice, YELLOWS, *scene.tones, least=90)
    _bee_wings(canvas, dice)
    canvas.fill(polygon((-0.78, 0.0), (-1.0, 0.1), (-0.78, 0.16)), palette.INK)
    canvas.solid(BEE_BODY, yellow, depth=0.13)
    count = dice.whole(2, 4)
    for number in range(count):
        x = 0.12 - 0.8 * number / count
        band = curve((x - 0.04, -0.5), (x + 0.09, 0), (x - 0.04, 0.5))
        canvas.stroke(band, 0.4 / count, palette.INK, "stripe", within=BEE_BODY)
    for x in (-0.25, 0.0, 0.25):
        parts.leg(canvas, curve((x, 0.38), (x - 0.05, 0.52), (x + 0.04, 0.62)), 0.06, palette.INK)
    for dx, lift in ((0.0, -0.42), (0.14, -0.3)):
        path = curve((0.58 + dx, -0.24), (0.66 + dx, -0.46), (0.82 + dx, lift - 0.3))
        parts.antenna(canvas, path, 0.05, palette.INK)
    canvas.solid(ellipse(0.56, 0.0, 0.33, 0.33), mix(yellow, palette.COCOA, dice.pick((0.0, 0.75))), depth=0.09)
    parts.eye(canvas, 0.66, -0.06, 0.13, dice.pick(IRISES), look=(dice.between(-0.5, 1), dice.between(-1, 1)))
    canvas.stroke(curve((0.62, 0.16), (0.7, 0.2), (0.79, 0.14)), 0.035, palette.INK)
    canvas.fill(ellipse(0.52, 0.14, 0.07, 0.05), palette.ROSE, None, alpha=0.6)


def _bee_wings(canvas: Canvas, dice: Dice) -> None:
    gauze, beat, long = dice.pick(GAUZES), dice.between(-24, 24), dice.between(0.6, 0.78)
    wing = smooth((0, 0), (long * 0.4, -0.22), (long, -0.26), (long * 1.12, 0.0), (long, 0.22), (long * 0.4, 0.14))
    for angle, size in ((-128, 0.82), (-88, 1.0)):
        with canvas.placed(0.08, -0.32, size, angle=angle + beat):
            canvas.fill(wing, shaded(gauze, 0.3), "wing")
            canvas.fill((wing - (0.5, 0)) * 0.88 + (0.5, 0), gauze, None)
            canvas.stroke(polygon((0.1, 0), (long * 0.9, -0.03)), 0.03, shaded(gauze, 0.25))


def snail(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A snail with its house, at times on a leaf."""
    skin = contrasting(dice, SKINS, *scene.tones, least=120)
    shell = contrasting(dice, palette.PAINTS, skin, *scene.tones)
    if dice.chance(0.4):
        parts.leaf(canvas, -1.1, 0.04, 2.2, 0.34, 0, contrasting(dice, palette.LEAVES, *scene.tones, skin, least=80))
    reach, iris = dice.between(0.72, 0.84), dice.pick(IRISES)
    for dx, top in ((0.0, -1.12), (0.17, -1.04)):
        path = curve((reach - 0.1 + dx * 0.6, -0.55), (reach - 0.08 + dx, -0.8), (reach - 0.04 + dx * 1.4, top))
        canvas.stroke(path, 0.07, skin, "antenna")
        parts.eye(canvas, float(path[-1, 0]), float(path[-1, 1]), 0.095, iris)
    body = smooth(
        (-1.0, -0.01), (-0.6, -0.14), (0.2, -0.16), (0.42, -0.34), (reach - 0.22, -0.62), (reach + 0.04, -0.66),
        (reach + 0.16, -0.5), (reach, -0.14), (reach - 0.2, 0.01), (0, 0.02),
    )  # fmt: skip
    canvas.solid(body, skin, depth=0.08)
    canvas.stroke(curve((reach - 0.02, -0.4), (reach + 0.06, -0.37), (reach + 0.12, -0.42)), 0.035, shaded(skin, 0.6))
    _shell(canvas, dice, shell)


def _shell(canvas: Canvas, dice: Dice, colour: Colour) -> None:
    x, y, radius = dice.between(-0.26, -0.16), -0.6, dice.between(0.5, 0.56)
    canvas.solid(ellipse(x, y, radius), colour, "shell", depth=0.14)
    if dice.chance(0.4):
        for turn in np.radians(np.arange(0, 360, 45)):
            dx, dy = radius * 0.78 * np.cos(turn), radius * 0.78 * np.sin(turn)
            canvas.fill(ellipse(x + dx, y + dy, 0.07), lit(colour, 0.6), "spot")
    turns = np.radians(np.linspace(90, 90 + 360 * SPIRAL_TURNS, SPIRAL_STEPS))
    grow = np.linspace(1, 0.08, SPIRAL_STEPS) * radius * 0.94
    path = np.stack([x + grow * np.cos(turns), y + grow * np.sin(turns)], axis=1)
    canvas.stroke(path, (0.08, 0.05), shaded(colour, 0.32))
