"""Things that sail and fly: the boat floats on y = 0, the others are around the origin; about 2 long."""

from __future__ import annotations

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, box, ellipse, polygon, smooth

HULL = smooth(
    (-0.95, -0.46), (-0.4, -0.42), (0.5, -0.42), (1.0, -0.54), (0.9, -0.28), (0.68, -0.02), (0.3, 0.06), (-0.5, 0.06),
    (-0.78, -0.06), (-0.9, -0.26),
)  # fmt: skip
FUSELAGE = smooth(
    (-1.0, -0.16),
    (-0.6, -0.24),
    (0.2, -0.28),
    (0.7, -0.22),
    (0.98, 0.02),
    (0.7, 0.2),
    (0.1, 0.22),
    (-0.5, 0.12),
    (-0.92, -0.04),
)
FAR_WING = polygon((-0.12, -0.1), (0.18, -0.1), (-0.12, -0.58), (-0.34, -0.58))
RUDDER = smooth((-0.98, -0.62), (-0.78, -0.6), (-0.5, -0.1), (-0.86, -0.06), (-0.95, -0.3))
ELEVATOR = polygon((-0.98, -0.12), (-0.68, -0.12), (-0.86, 0.08), (-1.06, 0.08))
COCKPIT = smooth((0.55, -0.2), (0.78, -0.15), (0.86, -0.04), (0.58, -0.04))
MIDDLE_FIN = smooth((-0.06, 0.2), (0.06, 0.2), (0.08, 0.74), (0, 0.84), (-0.08, 0.74))


def sailboat(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A boat with one sail or two; where it floats, waves hide its keel."""
    paint = contrasting(dice, palette.PAINTS, *scene.tones)
    cloth = contrasting(dice, (palette.WHITE, palette.CREAM, *palette.PAINTS), paint, *scene.tones, least=120)
    mast, top, belly = dice.between(-0.15, 0.1), dice.between(-1.95, -1.75), dice.between(0.05, 0.16)
    if dice.chance(0.7):
        parts.flag(canvas, dice, mast, top - 0.12, 0.24, contrasting(dice, palette.PAINTS, *scene.tones))
    canvas.solid(box(mast - 0.035, top, mast + 0.035, -0.4), palette.BROWN, depth=0.02)
    with canvas.placed(mast, 0):
        _main_sail(canvas, dice, top, belly, cloth)
        if dice.chance(0.75):
            jib = smooth(
                (-0.08, top + 0.3), (-0.12, -0.9), (-0.1, -0.62), (-0.45, -0.58), (-0.78, -0.6), (-0.5 - belly * 0.3, -0.95)
            )
            other = lit(cloth, 0.3) if dice.chance(0.5) else contrasting(dice, palette.PAINTS, cloth, *scene.tones)
            parts.sail(canvas, jib, other)
    canvas.solid(HULL, paint, depth=0.1)
    band = contrasting(dice, (*palette.PAINTS, palette.WHITE), paint)
    canvas.fill(box(-1.1, -0.34, 1.1, -0.26), band, "stripe", within=HULL)
    if dice.chance(0.5):
        pane = parts.glass(dice, night=scene.night)
        for x in (-0.35, -0.02, 0.31):
            parts.window(canvas, ellipse(x, -0.16, 0.085), pane, palette.CREAM, thick=0.03)


def _main_sail(canvas: Canvas, dice: Dice, top: float, belly: float, cloth: Colour) -> None:
    """The large sail behind a mast on x = 0, at times striped."""
    reach = dice.between(0.62, 0.86)
    sail = smooth(
        (0.07, top + 0.08), (0.3 + belly, top + 0.6), (reach * 0.8 + belly * 0.6, -0.85), (reach, -0.58), (0.4, -0.54),
        (0.07, -0.58), (0.07, -0.7), (0.07, top + 0.4),
    )  # fmt: skip
    parts.sail(canvas, sail, cloth)
    if dice.chance(0.5):
        colour, count, angle = contrasting(dice, palette.PAINTS, cloth), dice.whole(3, 5), dice.pick((0, 0, 12, 90))
        parts.stripes(canvas, sail, colour, count=count, share=0.45, angle=angle, bend=0.08)


def airplane(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """An airliner or a propeller plane."""
    paint = contrasting(dice, (palette.WHITE, *palette.PAINTS), *scene.tones, least=130)
    trim = contrasting(dice, palette.PAINTS, paint, *scene.tones)
    canvas.solid(FAR_WING, shaded(trim, 0.25), "wing", depth=0.05)
    canvas.solid(RUDDER, trim, "fin", depth=0.07)
    canvas.solid(FUSELAGE, paint, depth=0.1)
    if dice.chance(0.6):
        canvas.fill(box(-1.1, 0.06, 1.1, 0.12), trim, "stripe", within=FUSELAGE)
    _cabin_windows(canvas, dice, parts.glass(dice, night=scene.night), shaded(paint, 0.3))
    canvas.solid(ELEVATOR, shaded(trim, 0.1), "fin", depth=0.04)
    sweep = dice.between(-0.6, -0.35)
    wing = smooth((0.24, 0.06), (0.05, 0.2), (sweep + 0.2, 0.72), (sweep - 0.06, 0.76), (sweep + 0.05, 0.4), (-0.22, 0.06))
    canvas.solid(wing, trim, "wing", depth=0.07)
    if dice.chance(0.35):
        parts.stripes(canvas, wing, lit(trim, 0.7), count=4, share=0.4, angle=-10)
    if dice.chance(0.5):
        canvas.fill(ellipse(1.02, -0.01, 0.05, 0.4), palette.WHITE, None, alpha=0.5)
        canvas.solid(ellipse(0.98, 0.0, 0.08, 0.1), shaded(trim, 0.2), depth=0.03)
    else:
        canvas.solid(box(-0.04, 0.24, 0.32, 0.44, 0.1), lit(paint, 0.2), depth=0.06)
        canvas.fill(ellipse(0.3, 0.34, 0.05, 0.1), palette.INK)


def _cabin_windows(canvas: Canvas, dice: Dice, pane: Colour, frame: Colour) -> None:
    count, size = dice.whole(3, 5), dice.between(0.075, 0.1)
    for number in range(count):
        parts.window(canvas, ellipse(-0.38 + 0.82 * number / count, -0.1, size, size * 1.2), pane, frame, thick=0.022)
    parts.window(canvas, COCKPIT, pane, frame, thick=0.02)


def rocket(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A rocket under way."""
    paint = contrasting(dice, (palette.WHITE, palette.CREAM, palette.SILVER, *palette.PAINTS), *scene.tones)
    trim = contrasting(dice, palette.PAINTS, paint, *scene.tones)
    fat = dice.between(0.34, 0.42)
    parts.flame(canvas, 0, 0.52, dice.between(0.4, 0.56), dice.between(0.62, 0.84))
    for side in (-fat, fat):
        out = 0.22 * side / fat
        fin = smooth(
            (side * 0.8, 0.02), (side + out, 0.34), (side + out * 0.28 / 0.22, 0.78), (side * 0.9, 0.56), (side * 0.6, 0.5)
        )
        canvas.solid(fin, trim, "fin", depth=0.07)
    canvas.solid(box(-0.2, 0.5, 0.2, 0.64, 0.04), palette.SLATE, depth=0.05)
    body = smooth(
        (0, -1.0), (fat * 0.55, -0.68), (fat, -0.1), (fat * 0.92, 0.32), (fat * 0.6, 0.58), (-fat * 0.6, 0.58),
        (-fat * 0.92, 0.32), (-fat, -0.1), (-fat * 0.55, -0.68),
    )  # fmt: skip
    _rocket_body(canvas, dice, body, paint, trim)
    pane = parts.glass(dice, night=scene.night)
    for y, radius in dice.pick((((-0.22, 0.19),), ((-0.28, 0.16), (0.08, 0.12)))):
        parts.window(canvas, ellipse(0, y, radius), pane, shaded(trim, 0.3), thick=0.05)
    canvas.solid(MIDDLE_FIN, shaded(trim, 0.12), "fin", depth=0.05)


def _rocket_body(canvas: Canvas, dice: Dice, body: Points, paint: Colour, trim: Colour) -> None:
    """The body with its nose cone, at times with stripes."""
    canvas.solid(body, paint, depth=0.16)
    canvas.fill(box(-1, -1.1, 1, -0.58), trim, PLAIN, within=body)
    canvas.fill(box(0.1, -1.1, 1, -0.58), shaded(trim, 0.22), None, within=body)
    if dice.chance(0.6):
        for number in range(dice.whole(1, 2)):
            canvas.fill(box(-1, 0.26 + 0.15 * number, 1, 0.34 + 0.15 * number), trim, "stripe", within=body)
