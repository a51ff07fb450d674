"""One picture of the drawn world: a thing made of shared parts in a scene, with the mask of every part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt8

from torchlurk.inputs.demo.canvas import OVERSAMPLE, Canvas, Pixels
from torchlurk.inputs.demo.parts import PARTS, PATTERNS
from torchlurk.inputs.demo.places import PLACES
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import SCENERY, SIDE, Scene, ripples, shadow
from torchlurk.inputs.demo.things import THINGS, Thing

VERSION = "1"
"""Part of the fingerprint: to be raised whenever a picture changes."""
LABELS = PARTS + PATTERNS + SCENERY
"""Everything that has masks."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn picture; `labels` holds, for parts and for patterns, which one each pixel shows (0: none)."""

    image: UInt8[np.ndarray, "height width channel"]
    class_index: int
    labels: UInt8[np.ndarray, "plane height width"]

    @property
    def parts(self) -> Mapping[str, Bool[np.ndarray, "height width"]]:
        """Where each part, pattern and piece of scenery is to be seen; only those that are."""
        planes = ((SCENERY + PARTS, self.labels[0]), (PATTERNS, self.labels[1]))
        masks = {name: plane == label + 1 for names, plane in planes for label, name in enumerate(names)}
        return {name: mask for name, mask in masks.items() if mask.any()}


MARGIN = 1.5
"""Units of the scene between a thing and the border, where there is room."""
GRAIN = 1.7
"""Standard deviation of the paper's grain, in grey levels."""

Finish = Callable[[Pixels, Bool[np.ndarray, "height width"], Dice], Pixels]
"""From a picture as painted, 0..255, and where no part of a thing is, to the picture that is shown."""


def on_paper(image: Pixels, bare: Bool[np.ndarray, "height width"], dice: Dice) -> Pixels:
    """The picture with the grain of the paper."""
    return image + GRAIN * dice.generator.standard_normal((*bare.shape, 1))


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the pictures of a world are drawn: of which things, how many pixels wide, how fine, and what follows the painting."""

    things: Mapping[str, Thing] = field(default_factory=lambda: THINGS)
    pixels: int = SIDE
    oversample: int = OVERSAMPLE
    finish: Finish = on_paper


DEMO_DRAWING = Drawing()


def draw(seed: int, index: int, drawing: Drawing = DEMO_DRAWING) -> Picture:
    """Picture `index` of the world with this seed; the classes take turns."""
    dice, class_index = Dice(seed, index), index % len(drawing.things)
    thing = tuple(drawing.things.values())[class_index]
    canvas = Canvas(SIDE, SCENERY + PARTS, PATTERNS, pixels=drawing.pixels, oversample=drawing.oversample)
    scene = PLACES[dice.weighted(dict(thing.places))](canvas, dice)
    _put(canvas, dice, thing, scene)
    labels = canvas.labels()
    image = drawing.finish(canvas.image(), labels[0] <= len(SCENERY), dice)
    return Picture(image.round().clip(0, 255).astype(np.uint8), class_index, labels)


def _put(canvas: Canvas, dice: Dice, thing: Thing, scene: Scene) -> None:
    """Paints the thing into the scene: somewhere, turned, mirrored, on its shadow or in its waves."""
    size = dice.between(*thing.sizes)
    room = max(0.0, SIDE / 2 - MARGIN - thing.reach * size)
    x = SIDE / 2 + dice.between(-room, room)
    angle, flip = dice.between(-thing.tilt, thing.tilt), dice.chance(0.5)
    y = SIDE / 2 + dice.between(-room, room) if thing.foot is None else scene.floor
    if thing.foot is not None and not scene.afloat:
        shadow(canvas, x, y, thing.foot * size)
    with canvas.placed(x, y, size, angle=angle, flip=flip):
        thing.paint(canvas, dice, scene)
    if thing.foot is not None and scene.afloat:
        ripples(canvas, x, y, thing.foot * size, scene.tones[-1])
