"""Animals that sit and look at us; they stand on y = 0 and are about 2 high."""

from __future__ import annotations

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, mix, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, curve, ellipse, polygon, ribbon, smooth

IRISES: tuple[Colour, ...] = (palette.AMBER, palette.GREEN, palette.SKY, palette.TEAL, palette.LEMON, palette.BROWN)
OWL_IRISES: tuple[Colour, ...] = (palette.AMBER, palette.ORANGE, palette.LEMON, palette.AQUA)
RABBIT_FURS = (*palette.FURS, palette.WHITE, palette.WHITE, palette.CREAM, palette.SILVER)
BOTH = (-1, 1)
"""Left and right."""

CAT_BODY = smooth(
    (0, -0.98), (0.36, -0.8), (0.52, -0.3), (0.46, -0.02), (0, 0.02), (-0.46, -0.02), (-0.52, -0.3), (-0.36, -0.8)
)
CAT_BREAST = smooth((0, -0.9), (0.2, -0.6), (0.16, -0.2), (-0.16, -0.2), (-0.2, -0.6))
CAT_HEAD = smooth((0, -0.44), (0.38, -0.34), (0.56, 0.0), (0.46, 0.28), (0, 0.42), (-0.46, 0.28), (-0.56, 0.0), (-0.38, -0.34))
RABBIT_BODY = smooth((0, -0.92), (0.34, -0.7), (0.5, -0.26), (0.36, 0.0), (-0.36, 0.0), (-0.5, -0.26), (-0.34, -0.7))
RABBIT_HEAD = smooth(
    (0, -0.36), (0.32, -0.26), (0.46, 0.06), (0.3, 0.32), (0, 0.38), (-0.3, 0.32), (-0.46, 0.06), (-0.32, -0.26)
)
CARROT = smooth((-0.26, -0.28), (0.05, -0.68), (0.2, -0.72), (0.22, -0.58), (0.02, -0.42))
OWL_BODY = smooth(
    (0, -1.62), (0.42, -1.5), (0.6, -1.05), (0.58, -0.5), (0.34, -0.1), (0, -0.02), (-0.34, -0.1), (-0.58, -0.5),
    (-0.6, -1.05), (-0.42, -1.5),
)  # fmt: skip
OWL_BELLY = smooth((0, -1.0), (0.34, -0.8), (0.36, -0.4), (0, -0.1), (-0.36, -0.4), (-0.34, -0.8))
OWL_WING = smooth((-0.06, -0.06), (0.12, 0.0), (0.2, 0.36), (0.1, 0.72), (-0.04, 0.86), (-0.14, 0.5))
OWL_TAIL = smooth((-0.2, -0.3), (0.2, -0.3), (0.16, 0.24), (0, 0.28), (-0.16, 0.24))
OWL_BEAK = smooth((-0.09, -1.08), (0, -1.14), (0.09, -1.08), (0, -0.86))
BRANCH = ribbon(curve((-1.1, -0.02), (-0.3, -0.08), (0.5, -0.03), (1.1, -0.12)), (0.16, 0.2, 0.12))


def cat(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A cat, tabby or of one colour."""
    fur = contrasting(dice, palette.FURS, *scene.tones, least=120)
    pale, marks = lit(fur, 0.6), shaded(fur, 0.38) if sum(fur) > 330 else lit(fur, 0.35)
    tail = _cat_tail(dice)
    canvas.solid(tail, fur, "tail", depth=0.06)
    tabby = dice.chance(0.55)
    if tabby:
        parts.stripes(canvas, tail, marks, count=5, share=0.4)
    canvas.solid(CAT_BODY, fur, depth=0.12)
    canvas.fill(CAT_BREAST, pale, None)
    if tabby:
        _flank_stripes(canvas, marks)
    for x in (-0.2, 0.2):
        parts.paw(canvas, x, -0.07, 0.17, 0.12, pale if dice.chance(0.5) else fur)
    with canvas.placed(0, -1.2, angle=dice.between(-9, 9)):
        _cat_head(canvas, fur, marks if tabby else None)
        _cat_face(canvas, dice, fur, pale)


def _cat_tail(dice: Dice) -> Points:
    side = dice.pick(BOTH)
    tip = (side * dice.between(0.68, 0.95), -0.95)
    return ribbon(curve((side * 0.35, -0.12), (side * 0.8, -0.1), (side * 0.92, -0.5), tip), (0.2, 0.19, 0.17))


def _flank_stripes(canvas: Canvas, marks: Colour) -> None:
    for sign in BOTH:
        for y in (-0.62, -0.44, -0.26):
            band = curve((sign * 0.62, y - 0.04), (sign * 0.4, y), (sign * 0.24, y + 0.05))
            canvas.stroke(band, (0.09, 0.08, 0.03), marks, "stripe", within=CAT_BODY)


def _cat_head(canvas: Canvas, fur: Colour, marks: Colour | None) -> None:
    for sign in BOTH:
        parts.ear(canvas, sign * 0.36, -0.22, 0.46, 0.42, -90 + sign * 16, fur, mix(fur, palette.PINK, 0.75), pointed=True)
    canvas.solid(CAT_HEAD, fur, depth=0.1)
    if marks is None:
        return
    for x in (-0.14, 0.0, 0.14):
        mark = polygon((x, -0.42), (x * 0.8, -0.24 - 0.05 * (x == 0)))
        canvas.stroke(mark, (0.09, 0.05), marks, "stripe", within=CAT_HEAD)
    for sign in BOTH:
        for y in (0.06, 0.18):
            mark = polygon((sign * 0.58, y - 0.05), (sign * 0.38, y))
            canvas.stroke(mark, (0.08, 0.04), marks, "stripe", within=CAT_HEAD)


def _cat_face(canvas: Canvas, dice: Dice, fur: Colour, pale: Colour) -> None:
    canvas.fill(ellipse(0, 0.21, 0.24, 0.16), pale, None)
    iris, look, slit = dice.pick(IRISES), (dice.between(-1, 1), dice.between(-0.6, 0.6)), dice.chance(0.5)
    for sign in BOTH:
        parts.eye(canvas, sign * 0.235, -0.03, 0.15, iris, look=look, slit=slit)
    parts.nose(canvas, 0, 0.15, 0.075, palette.ROSE if sum(fur) > 250 else palette.PINK)
    whisker = palette.WHITE if sum(fur) < 420 else palette.SLATE
    for sign in BOTH:
        canvas.stroke(curve((0, 0.2), (sign * 0.06, 0.28), (sign * 0.14, 0.26)), 0.028, palette.COCOA)
        for y in (0.16, 0.25):
            canvas.stroke(polygon((sign * 0.3, y), (sign * 0.68, y + (y - 0.2) * 1.1)), 0.02, whisker)


def rabbit(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A rabbit with long ears, at times with a carrot."""
    fur = contrasting(dice, RABBIT_FURS, *scene.tones, least=110)
    side = dice.pick(BOTH)
    canvas.solid(ellipse(side * 0.5, -0.2, 0.18), palette.WHITE if sum(fur) < 690 else palette.PINK, "tail", depth=0.06)
    canvas.solid(RABBIT_BODY, fur, depth=0.12)
    canvas.fill(ellipse(0, -0.38, 0.25, 0.32), lit(fur, 0.55), None)
    for sign in BOTH:
        parts.paw(canvas, sign * 0.3, -0.06, 0.24, 0.11, fur)
    if dice.chance(0.35):
        _carrot(canvas)
    for sign in BOTH:
        parts.paw(canvas, sign * 0.13, -0.52, 0.1, 0.13, fur)
    with canvas.placed(0, -1.05, angle=dice.between(-8, 8)):
        _rabbit_ears(canvas, dice, fur, side)
        canvas.solid(RABBIT_HEAD, fur, depth=0.09)
        _rabbit_face(canvas, dice, lit(fur, 0.55))


def _rabbit_ears(canvas: Canvas, dice: Dice, fur: Colour, side: int) -> None:
    """Both upright, or the one on `side` flopped."""
    spread, flop = dice.between(8, 22), dice.chance(0.25)
    for sign in BOTH:
        angle = -90 + sign * (spread + (38 if flop and sign == side else 0))
        parts.ear(canvas, sign * 0.18, -0.24, dice.between(0.72, 0.84), 0.27, angle, fur, mix(fur, palette.PINK, 0.75))


def _rabbit_face(canvas: Canvas, dice: Dice, pale: Colour) -> None:
    iris, look = dice.pick(IRISES), (dice.between(-1, 1), dice.between(-0.6, 0.6))
    for sign in BOTH:
        parts.eye(canvas, sign * 0.22, -0.04, 0.13, iris, look=look)
        canvas.fill(ellipse(sign * 0.3, 0.16, 0.09, 0.055), palette.PINK, None, alpha=0.7)
    canvas.fill(ellipse(0, 0.18, 0.17, 0.12), pale, None)
    canvas.fill(polygon((-0.06, 0.22), (0.06, 0.22), (0.055, 0.34), (-0.055, 0.34)), palette.WHITE, None)
    parts.nose(canvas, 0, 0.12, 0.07, palette.ROSE)


def _carrot(canvas: Canvas) -> None:
    for angle in (-60, -90, -30):
        parts.leaf(canvas, 0.16, -0.66, 0.3, 0.12, angle, palette.GREEN)
    canvas.solid(CARROT, palette.ORANGE, "fruit", depth=0.05)


def owl(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """An owl on a branch or on the ground, its wings closed or spread."""
    plume = contrasting(dice, palette.PLUMES, *scene.tones, least=110)
    pale = lit(plume, 0.55)
    if dice.chance(0.6):
        _branch(canvas, dice, contrasting(dice, (palette.BROWN, palette.COCOA), *scene.tones, least=60))
    canvas.solid(OWL_TAIL, shaded(plume, 0.25), "tail", depth=0.06)
    for sign in BOTH:
        angle = -90 + sign * dice.between(12, 30)
        parts.ear(canvas, sign * 0.36, -1.42, 0.42, 0.3, angle, plume, shaded(plume, 0.3), pointed=True)
    canvas.solid(OWL_BODY, plume, depth=0.13)
    _owl_belly(canvas, dice, plume, pale)
    _owl_wings(canvas, plume, spread=dice.between(0, 1) ** 2 * 62)
    _owl_face(canvas, dice, pale)
    for sign in BOTH:
        for toe in (-0.07, 0.0, 0.07):
            path = curve((sign * 0.18 + toe * 0.5, -0.12 - 0.05), (sign * 0.18 + toe, -0.12 + 0.1))
            parts.leg(canvas, path, 0.075, palette.ORANGE)


def _branch(canvas: Canvas, dice: Dice, bark: Colour) -> None:
    canvas.solid(BRANCH, bark, "trunk", depth=0.05)
    for x, angle in ((-0.8, -120), (0.86, -50), (0.7, 60)):
        length, turn = dice.between(0.28, 0.4), angle + dice.between(-15, 15)
        parts.leaf(canvas, x, -0.06, length, 0.19, turn, dice.pick(palette.LEAVES))


def _owl_belly(canvas: Canvas, dice: Dice, plume: Colour, pale: Colour) -> None:
    canvas.fill(OWL_BELLY, pale, None)
    if dice.chance(0.5):
        parts.spots(canvas, dice, OWL_BELLY, shaded(plume, 0.1), count=9, radius=0.06)
    else:
        parts.stripes(canvas, OWL_BELLY, mix(pale, shaded(plume, 0.1), 0.75), count=4, share=0.35, bend=-0.12)


def _owl_wings(canvas: Canvas, plume: Colour, *, spread: float) -> None:
    for sign in BOTH:
        with canvas.placed(sign * 0.52, -1.06, angle=-sign * spread, flip=sign < 0):
            canvas.solid(OWL_WING, shaded(plume, 0.2), "wing", depth=0.07)
            for y in (0.32, 0.5, 0.68):
                path = curve((-0.12, y), (0.02, y + 0.06), (0.16, y - 0.02))
                canvas.stroke(path, 0.03, shaded(plume, 0.45), within=OWL_WING)


def _owl_face(canvas: Canvas, dice: Dice, pale: Colour) -> None:
    iris, look = dice.pick(OWL_IRISES), (dice.between(-1, 1), dice.between(-1, 1))
    radius = dice.between(0.2, 0.235)
    for sign in BOTH:
        canvas.fill(ellipse(sign * 0.25, -1.2, radius * 1.4), pale, None)
    for sign in BOTH:
        parts.eye(canvas, sign * 0.25, -1.2, radius, iris, look=look)
    parts.beak(canvas, OWL_BEAK, palette.varied(dice, palette.AMBER))
