"""Things that grow; they stand on y = 0 and are about 2 high."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, mix, shaded, varied
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import box, curve, ellipse, polygon, ribbon, smooth

BARKS: tuple[Colour, ...] = (palette.BROWN, palette.COCOA, (168, 122, 92), (120, 100, 104))
AUTUMN: tuple[Colour, ...] = (palette.ORANGE, palette.AMBER, palette.RED, palette.PINK, palette.CORAL)
CAPS = (palette.RED, palette.CORAL, palette.ORANGE, palette.PLUM, palette.BROWN, palette.ROSE, palette.TEAL, palette.AMBER)
CLAYS: tuple[Colour, ...] = ((204, 112, 82), palette.TEAL, palette.BLUE, palette.CREAM)
POT = polygon((-0.34, -0.42), (0.34, -0.42), (0.25, 0.0), (-0.25, 0.0))
LOBES = ((-0.45, -1.08, 0.4), (0.45, -1.1, 0.42), (-0.28, -1.5, 0.38), (0.3, -1.52, 0.38))
"""x, y and radius of what a round crown is made of, beside its middle."""
FRUITS = ((-0.5, -1.0), (-0.18, -1.45), (0.1, -1.05), (0.42, -1.42), (0.52, -0.98), (-0.42, -1.42))


def tree(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A round tree, a fir or a palm."""
    kinds: tuple[Callable[[Canvas, Dice, Scene], None], ...] = (_round_tree, _round_tree, _fir, _palm)
    if scene.cold:
        kinds = (_round_tree, _fir, _fir)
    elif scene.warm:
        kinds = (_palm, _palm, _round_tree)
    dice.pick(kinds)(canvas, dice, scene)


def flower(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A daisy or a tulip, in the ground or in a pot."""
    green = contrasting(dice, palette.LEAVES, *scene.tones, least=100)
    lean, top = dice.between(-0.18, 0.18), dice.between(-1.45, -1.25)
    potted = dice.chance(0.35)
    foot = -0.42 if potted else 0.0
    parts.stem(canvas, curve((0, foot), (lean * 0.2, foot * 0.6 + top * 0.3), (lean, top)), 0.1, green)
    for side in (-1, 1):
        height, length, width = foot - dice.between(0.06, 0.32), dice.between(0.5, 0.72), dice.between(0.22, 0.32)
        parts.leaf(canvas, lean * 0.12, height, length, width, -90 + side * dice.between(38, 66), green)
    colour = contrasting(dice, palette.BLOSSOMS, *scene.tones, green, least=140)
    if dice.chance(0.3):
        _tulip(canvas, dice, lean, top, colour)
    else:
        _daisy(canvas, dice, lean, top, colour)
    if potted:
        _pot(canvas, dice, contrasting(dice, CLAYS, *scene.tones))


def mushroom(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A toadstool; now and then somebody lives in it."""
    cap = contrasting(dice, CAPS, *scene.tones)
    pale = varied(dice, dice.pick((palette.CREAM, palette.WHITE, (244, 226, 208))))
    if dice.chance(0.4):
        with canvas.placed(dice.pick((-0.66, 0.66)), 0, dice.between(0.32, 0.45), angle=dice.between(-10, 10)):
            _toadstool(canvas, dice, cap, pale, 0.5, -1.6, 0)
    for side in (-1, 1):
        if dice.chance(0.6):
            length, angle = dice.between(0.4, 0.6), -90 + side * dice.between(25, 55)
            green = contrasting(dice, palette.LEAVES, *scene.tones, least=80)
            parts.leaf(canvas, side * 0.3, 0, length, 0.18, angle, green)
    stout, top = dice.between(0.24, 0.36), dice.between(-1.7, -1.4)
    _toadstool(canvas, dice, cap, pale, stout, top, dice.whole(4, 7))
    if stout > 0.29 and dice.chance(0.6):
        colour = contrasting(dice, (palette.BROWN, palette.TEAL, palette.BLUE), pale)
        parts.door(canvas, -0.13, -0.42, 0.13, 0, colour, arched=True)


def _toadstool(canvas: Canvas, dice: Dice, colour: Colour, pale: Colour, stout: float, top: float, dots: int) -> None:
    brim, wide = top * 0.52, dice.between(0.78, 0.95)
    stalk = smooth(
        (-stout * 0.7, brim), (stout * 0.7, brim), (stout * 0.85, brim * 0.4), (stout * 1.15, 0), (-stout * 1.15, 0),
        (-stout * 0.85, brim * 0.4),
    )  # fmt: skip
    canvas.solid(stalk, pale, "stem", depth=0.1)
    canvas.solid(ellipse(0, brim, wide * 0.8, 0.13), shaded(pale, 0.18), PLAIN, depth=0.03)
    cap = smooth(
        (-wide, brim + 0.02), (-wide * 0.82, brim + (top - brim) * 0.62), (-wide * 0.3, top), (wide * 0.3, top),
        (wide * 0.82, brim + (top - brim) * 0.62), (wide, brim + 0.02), (wide * 0.45, brim - 0.08), (0, brim - 0.11),
        (-wide * 0.45, brim - 0.08),
    )  # fmt: skip
    canvas.solid(cap, colour, "crown", depth=0.14)
    parts.spots(canvas, dice, cap, lit(pale, 0.3), count=dots, radius=dice.between(0.1, 0.14))


def _daisy(canvas: Canvas, dice: Dice, x: float, y: float, colour: Colour) -> None:
    count, length = dice.whole(6, 12), dice.between(0.52, 0.66)
    width, turn = min(0.42, 3.0 * length / count), dice.between(0, 60)
    for number in range(count):
        parts.petal(canvas, x, y, length, width, turn + 360 * number / count, colour)
    hearts = (palette.AMBER, palette.LEMON, palette.COCOA, palette.BROWN)
    heart = dice.pick(hearts) if palette.distance(colour, palette.AMBER) > 150 else palette.COCOA
    radius = dice.between(0.17, 0.26)
    canvas.solid(ellipse(x, y, radius), heart, depth=0.06)
    for turn in np.radians(np.arange(0, 360, 60)):
        seed = ellipse(x + radius * 0.5 * np.cos(turn), y + radius * 0.5 * np.sin(turn), 0.035)
        canvas.fill(seed, shaded(heart, 0.35), None)


def _tulip(canvas: Canvas, dice: Dice, x: float, y: float, colour: Colour) -> None:
    length, behind = dice.between(0.72, 0.88), shaded(colour, 0.2)
    for angle, tone in ((-112, behind), (-68, behind), (-128, colour), (-52, colour), (-90, lit(colour, 0.12))):
        parts.petal(canvas, x, y + 0.22, length * (0.96 if angle == -90 else 1), 0.46, angle, tone)


def _pot(canvas: Canvas, dice: Dice, clay: Colour) -> None:
    canvas.solid(POT, clay, depth=0.09)
    if dice.chance(0.4):
        parts.stripes(canvas, POT, lit(clay, 0.5), count=3, share=0.3)
    canvas.solid(box(-0.4, -0.52, 0.4, -0.38, 0.04), shaded(clay, 0.12), depth=0.05)


def _round_tree(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    green = contrasting(dice, (*palette.LEAVES, *palette.LEAVES, *AUTUMN), *scene.tones, least=100)
    wide = dice.between(0.13, 0.18)
    trunk = smooth((-wide, -1.0), (wide, -1.0), (wide * 0.8, -0.4), (wide * 1.8, 0), (-wide * 1.8, 0), (-wide * 0.8, -0.4))
    bark = contrasting(dice, BARKS, *scene.tones, least=90)
    canvas.solid(trunk, bark, "trunk", depth=0.07)
    canvas.stroke(curve((0, -0.7), (0.3, -0.92)), (0.1, 0.06), bark, "trunk")
    for x, y, radius in ((dice.between(-0.1, 0.1), -1.35, 0.58), *LOBES):
        canvas.solid(ellipse(x, y, radius, radius * 0.95), green, "crown", depth=0.1)
    canvas.fill(ellipse(0, -1.2, 0.5, 0.42), green, "crown")
    for _ in range(dice.whole(5, 9)):
        tuft = ellipse(dice.between(-0.62, 0.62), dice.between(-1.6, -0.92), 0.11, 0.06, start=180, stop=360)
        canvas.fill(tuft, lit(green, 0.3) if dice.chance(0.6) else shaded(green, 0.2), None)
    if dice.chance(0.5):
        colour = contrasting(dice, (palette.RED, palette.AMBER, palette.PLUM, palette.ORANGE), green)
        for x, y in FRUITS:
            parts.fruit(canvas, x + dice.between(-0.08, 0.08), y + dice.between(-0.08, 0.08), 0.105, colour)


def _fir(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    green = contrasting(dice, (palette.PINE, palette.TEAL, palette.GREEN, (70, 130, 110)), *scene.tones, least=100)
    canvas.solid(box(-0.13, -0.45, 0.13, 0), contrasting(dice, BARKS, *scene.tones, least=90), "trunk", depth=0.07)
    tiers, half = dice.whole(3, 4), dice.between(0.62, 0.78)
    for tier in range(tiers):
        base, share = -0.32 - 1.2 * tier / tiers, 1 - 0.62 * tier / (tiers - 1)
        tall, width = 0.78 - 0.1 * tier, half * share
        outline = smooth(
            (0, base - tall), (width * 0.4, base - tall * 0.42), (width, base + 0.03), (width * 0.4, base - 0.03),
            (0, base + 0.06), (-width * 0.4, base - 0.03), (-width, base + 0.03), (-width * 0.4, base - tall * 0.42),
        )  # fmt: skip
        canvas.solid(outline, mix(green, palette.LIGHT, 0.06 * tier), "crown", depth=0.09)
    if dice.chance(0.3):
        for x, y in ((-0.3, -0.5), (0.22, -0.62), (-0.12, -0.95), (0.18, -1.2), (0.42, -0.4)):
            parts.fruit(canvas, x, y, 0.075, dice.pick((palette.RED, palette.AMBER, palette.ROSE)))


def _palm(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    green = contrasting(dice, palette.LEAVES, *scene.tones, least=110)
    lean = dice.between(-0.35, 0.35)
    path = curve((-lean * 0.6, 0), (-lean * 0.1, -0.55), (lean * 0.6, -1.3))
    bark = contrasting(dice, BARKS, *scene.tones, least=90)
    trunk = ribbon(path, (0.24, 0.17, 0.14))
    canvas.solid(trunk, bark, "trunk", depth=0.06)
    for x, y in path[2::3]:
        canvas.stroke(curve((x - 0.08, y), (x, y + 0.03), (x + 0.08, y)), 0.035, shaded(bark, 0.35), within=trunk)
    x, y = path[-1]
    for angle, behind in ((-15, 0), (-165, 0), (25, 1), (155, 1), (-52, 0), (-128, 0), (-92, 1)):
        length, turn = dice.between(0.72, 0.92), angle + dice.between(-9, 9)
        parts.leaf(canvas, x, y, length, 0.27, turn, shaded(green, 0.16) if behind else green)
    for dx in (-0.1, 0.1):
        parts.fruit(canvas, x + dx, y + 0.09, 0.1, palette.BROWN)
