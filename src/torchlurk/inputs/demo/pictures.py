"""One picture of the drawn world: a thing made of shared parts in a scene, with the mask of every part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.parts import PARTS, PATTERNS
from torchlurk.inputs.demo.places import PLACES
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import SCENERY, SIDE, Scene, ripples, shadow
from torchlurk.inputs.demo.things import NAMES, THINGS, Thing

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
"""Pixels between a thing and the border, where there is room."""
GRAIN = 1.7
"""Standard deviation of the paper's grain, in grey levels."""


def draw(seed: int, index: int) -> Picture:
    """Picture `index` of the world with this seed; the classes take turns."""
    dice, class_index = Dice(seed, index), index % len(NAMES)
    thing = THINGS[NAMES[class_index]]
    canvas = Canvas(SIDE, SCENERY + PARTS, PATTERNS)
    scene = PLACES[dice.weighted(dict(thing.places))](canvas, dice)
    _put(canvas, dice, thing, scene)
    image = canvas.image() + GRAIN * dice.generator.standard_normal((SIDE, SIDE, 1))
    return Picture(image.round().clip(0, 255).astype(np.uint8), class_index, canvas.labels())


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
