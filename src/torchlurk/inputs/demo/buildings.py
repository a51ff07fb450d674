"""Things that people live in; they stand on y = 0 and are about 2 high."""

from __future__ import annotations

from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.palette import Colour, contrasting, lit, mix, shaded
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene
from torchlurk.inputs.demo.shapes import Points, arch, box, ellipse, line, polygon, smooth

WALLS: tuple[Colour, ...] = (
    palette.CREAM, (246, 214, 196), (214, 226, 226), (232, 196, 152), palette.PINK, palette.LEMON, palette.AQUA,
    palette.LILAC, palette.CORAL, (210, 130, 100),
)  # fmt: skip
STONES: tuple[Colour, ...] = ((190, 190, 204), (214, 200, 180), (168, 170, 190), (226, 196, 190), (200, 206, 190))
ROOFS: tuple[Colour, ...] = (
    palette.RED, (186, 88, 74), palette.SLATE, palette.TEAL, palette.PLUM, palette.BLUE, palette.BROWN, palette.ORANGE,
)  # fmt: skip
DOORS: tuple[Colour, ...] = (
    palette.TEAL, palette.RED, palette.BROWN, palette.BLUE, palette.PLUM, palette.PINE, palette.COCOA, palette.ORANGE,
)  # fmt: skip
PLACES = (-0.52, 0.0, 0.52)
"""Where a house has its door and windows, as shares of half its width."""
ROCK = smooth((-0.72, 0.04), (-0.5, -0.16), (-0.1, -0.2), (0.4, -0.18), (0.72, 0.04))
BEAM: Colour = (255, 208, 92)


def house(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A house with a door, windows and a roof, at times with a chimney and bushes."""
    wall = contrasting(dice, WALLS, *scene.tones, least=110)
    tiles = contrasting(dice, ROOFS, wall, *scene.tones, least=120)
    half, storey = dice.between(0.64, 0.86), dice.between(0.86, 1.16)
    peak = storey + dice.between(0.6, 0.82)
    if dice.chance(0.75):
        _house_chimney(canvas, dice, half, (-peak, -storey), shaded(wall, 0.3))
    canvas.solid(box(-half, -storey, half, 0), wall, depth=0.08)
    _siding(canvas, dice, half, storey, wall)
    canvas.fill(box(-half, -0.09, half, 0), shaded(wall, 0.3), None)
    parts.roof(canvas, _gable(dice, half, storey, peak), tiles, rows=dice.whole(3, 5))
    canvas.fill(box(-half, -storey + 0.04, half, -storey + 0.1), shaded(wall, 0.28), None)
    pane, frame = parts.glass(dice, night=scene.night), lit(wall, 0.7) if sum(wall) < 600 else palette.WHITE
    bars, at = dice.pick(("+", "|", "+", "")), dice.pick(PLACES) * half
    parts.door(canvas, at - 0.15, -0.58, at + 0.15, 0, contrasting(dice, DOORS, wall), arched=dice.chance(0.4))
    arched = dice.pick((False, True))
    for x in PLACES:
        if abs(x * half - at) > 0.1 and not (x == 0.0 and half < 0.72):
            parts.window(canvas, _opening(x * half, -storey * 0.54, arched), pane, frame, bars=bars)
    if dice.chance(0.6):
        parts.window(canvas, ellipse(0, -storey - (peak - storey) * 0.34, 0.125), pane, frame, bars=bars, thick=0.045)
    for side in (-half, half):
        if dice.chance(0.35) and abs(side * 0.8 - at) > 0.3:
            size = dice.between(0.2, 0.28)
            parts.bush(canvas, dice, side * 0.92, 0.02, size, contrasting(dice, palette.LEAVES, wall, *scene.tones, least=90))


def _house_chimney(canvas: Canvas, dice: Dice, half: float, between: tuple[float, float], colour: Colour) -> None:
    x, (top, foot) = dice.pick((-1, 1)) * half * 0.52, between
    if dice.chance(0.5):
        parts.smoke(canvas, dice, x + 0.09, top - 0.02, 0.11)
    parts.chimney(canvas, x - 0.1, top + 0.02, x + 0.13, foot - 0.1, colour)


def _gable(dice: Dice, half: float, storey: float, peak: float) -> Points:
    """The outline of a roof: a triangle, or flattened at its top."""
    eaves, foot = half + 0.16, -storey + 0.04
    if dice.chance(0.6):
        return polygon((-eaves, foot), (0, -peak), (eaves, foot))
    return polygon((-eaves, foot), (-half * 0.6, -peak + 0.08), (half * 0.6, -peak + 0.08), (eaves, foot))


def _opening(x: float, y: float, arched: bool) -> Points:
    return arch(x - 0.14, y - 0.2, x + 0.14, y + 0.17) if arched else box(x - 0.15, y - 0.17, x + 0.15, y + 0.17)


def _siding(canvas: Canvas, dice: Dice, half: float, storey: float, wall: Colour) -> None:
    """Bricks, boards or plaster."""
    kind = dice.pick(("bricks", "boards", "plaster"))
    if kind == "boards":
        for row in range(1, 8):
            canvas.fill(box(-half, -storey * row / 8, half, -storey * row / 8 + 0.02), shaded(wall, 0.12), None)
    elif kind == "bricks":
        for _ in range(dice.whole(5, 10)):
            x, y = dice.between(-half, half - 0.14), dice.between(-storey, -0.15)
            canvas.fill(box(x, y, x + 0.14, y + 0.06, 0.015), shaded(wall, 0.18), None)


def lighthouse(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A lighthouse on a rock; by night it throws its light."""
    wall = contrasting(dice, (palette.WHITE, palette.CREAM, *palette.PAINTS), *scene.tones, least=120)
    band = contrasting(dice, palette.PAINTS, wall, *scene.tones)
    if scene.night:
        for side in (-2.6, 2.6):
            canvas.fill(polygon((0, -1.6), (side, -2.0), (side, -1.2)), BEAM, None, alpha=0.42)
    canvas.solid(ROCK, shaded(mix(palette.SILVER, palette.BROWN, 0.4), 0.15), depth=0.08)
    foot, neck = dice.between(0.36, 0.46), dice.between(0.2, 0.26)
    tower = polygon((-neck, -1.42), (neck, -1.42), (foot, -0.1), (-foot, -0.1))
    canvas.solid(tower, wall, depth=0.1)
    if dice.chance(0.85):
        parts.stripes(canvas, tower, band, count=dice.whole(2, 4), share=0.5, angle=dice.pick((0, 0, 0, 20, -20)), bend=0.04)
    dark = polygon((neck * 0.4, -1.42), (neck, -1.42), (foot, -0.1), (foot * 0.45, -0.1))
    canvas.fill(dark, shaded(wall, 0.9), None, alpha=0.13)
    _lantern(canvas, dice, neck, band, night=scene.night)
    pane = parts.glass(dice, night=scene.night)
    for y in dice.pick(((-1.12,), (-1.15, -0.76))):
        parts.window(canvas, arch(-0.085, y - 0.11, 0.085, y + 0.11), pane, palette.CREAM, thick=0.03)
    parts.door(canvas, -0.13, -0.5, 0.13, -0.12, contrasting(dice, DOORS, wall, band), arched=True)


def _lantern(canvas: Canvas, dice: Dice, neck: float, band: Colour, *, night: bool) -> None:
    """The gallery, the glazed room with the lamp, and its roof."""
    canvas.solid(box(-neck - 0.12, -1.5, neck + 0.12, -1.4, 0.03), shaded(band, 0.3), depth=0.03)
    pane = palette.LEMON if night else parts.glass(dice, night=False)
    parts.window(canvas, box(-neck * 0.85, -1.74, neck * 0.85, -1.5), pane, shaded(band, 0.35), bars="|", thick=0.04)
    parts.lamp(canvas, 0, -1.61, 0.08, glow=night)
    cap = neck + 0.09
    if dice.chance(0.5):
        dome = polygon((-cap, -1.72), (0, -2.02), (cap, -1.72))
    else:
        dome = smooth((-cap, -1.72), (-cap * 0.7, -1.9), (0, -2.0), (cap * 0.7, -1.9), (cap, -1.72), (0, -1.71))
    parts.roof(canvas, dome, band, rows=1)


def castle(canvas: Canvas, dice: Dice, scene: Scene) -> None:
    """A castle with two towers and a gate, at times with a keep behind."""
    stone = contrasting(dice, STONES, *scene.tones, least=110)
    tiles = contrasting(dice, ROOFS, stone, *scene.tones, least=120)
    pane, banner = parts.glass(dice, night=scene.night), contrasting(dice, palette.PAINTS, *scene.tones)
    keep, tower, reach = dice.between(1.25, 1.45), dice.between(1.02, 1.22), dice.between(0.6, 0.72)
    kept = dice.chance(0.6)
    if kept:
        _keep(canvas, dice, keep, stone, tiles, banner)
    wall = dice.between(0.66, 0.8) if kept else dice.between(0.86, 0.96)
    _curtain_wall(canvas, reach, wall, stone)
    for x, y in ((0.0, -keep + 0.36),) if kept else ((-0.16, -wall + 0.12), (0.16, -wall + 0.12)):
        parts.window(canvas, arch(x - 0.09, y - 0.26, x + 0.09, y), pane, lit(stone, 0.6), thick=0.03)
    wide, pointed = dice.between(0.22, 0.27), dice.chance(0.7)
    for x in (-reach, reach):
        with canvas.placed(x, 0):
            _tower(canvas, dice, tower, wide, stone, tiles if pointed else None, banner)
            parts.window(canvas, arch(-0.09, -tower + 0.2, 0.09, -tower + 0.48), pane, lit(stone, 0.6), thick=0.03)
    for _ in range(dice.whole(3, 7)):
        x, y = dice.between(-reach - wide * 0.6, reach + wide * 0.3), dice.between(-0.6, -0.1)
        canvas.fill(box(x, y, x + 0.13, y + 0.06, 0.02), shaded(stone, 0.2), None)
    parts.door(canvas, -0.21, -0.52, 0.21, 0, contrasting(dice, DOORS, stone), arched=True)
    canvas.fill(line(-reach - wide, 0, reach + wide, 0, 0.04), shaded(stone, 0.35), None)


def _keep(canvas: Canvas, dice: Dice, top: float, stone: Colour, tiles: Colour, banner: Colour) -> None:
    """The tower behind the wall."""
    if dice.chance(0.7):
        parts.flag(canvas, dice, 0, -top - 0.62, 0.2, banner)
    canvas.solid(box(-0.26, -top, 0.26, -0.5), shaded(stone, 0.12), depth=0.06)
    parts.roof(canvas, polygon((-0.36, -top + 0.02), (0, -top - 0.42), (0.36, -top + 0.02)), tiles, rows=3)


def _curtain_wall(canvas: Canvas, reach: float, top: float, stone: Colour) -> None:
    """The wall between the towers, with its merlons."""
    canvas.solid(box(-reach, -top, reach, 0), stone, depth=0.05)
    for number in range(5):
        x = -reach + 0.2 + number * (2 * reach - 0.4) / 5
        canvas.fill(box(x, -top - 0.1, x + 0.12, -top + 0.01), stone)


def _tower(canvas: Canvas, dice: Dice, top: float, wide: float, stone: Colour, tiles: Colour | None, banner: Colour) -> None:
    """A tower around x = 0, with a roof or, without tiles, with merlons; at times with a flag."""
    if dice.chance(0.7):
        parts.flag(canvas, dice, 0, -top - (0.58 if tiles else 0.36), 0.2, banner)
    canvas.solid(box(-wide, -top, wide, 0), lit(stone, 0.12), depth=0.08)
    if tiles:
        eaves = wide + 0.08
        parts.roof(canvas, polygon((-eaves, -top + 0.02), (0, -top - 0.46), (eaves, -top + 0.02)), tiles, rows=3)
        return
    canvas.solid(box(-wide - 0.05, -top - 0.06, wide + 0.05, -top + 0.06), stone, depth=0.03)
    for x in (-wide * 0.8, 0.0, wide * 0.8):
        canvas.fill(box(x - 0.07, -top - 0.16, x + 0.07, -top - 0.05), stone)
