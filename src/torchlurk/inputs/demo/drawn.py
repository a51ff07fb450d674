"""Pictures to start with, drawn by code: more things than the demo's, and surfaces, as large as ImageNet networks take them."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from torchlurk.errors import OptionError
from torchlurk.inputs.demo import household, textures
from torchlurk.inputs.demo.light import lit_from_a_side
from torchlurk.inputs.demo.pictures import Drawing, draw
from torchlurk.inputs.demo.things import AIR, COAST, GARDEN, LAND, THINGS, Thing
from torchlurk.option_values import as_declared

SIDE = 256
"""Height and width of a picture: what most ImageNet networks resize to before they crop."""
VERSION = "1"
"""Part of the fingerprint: to be raised whenever a picture changes."""

SURFACES = ("bricks", "chequers", "dots", "honeycomb", "stripes", "waves", "zigzags")

MORE: Mapping[str, Thing] = {
    "apple": Thing(household.apple, GARDEN, foot=0.72, sizes=(30, 44), tilt=6),
    "ball": Thing(household.ball, LAND, foot=0.85, reach=0.9, sizes=(28, 44), tilt=40),
    "balloon": Thing(household.balloon, AIR, reach=0.9, sizes=(32, 42), tilt=6),
    "clock": Thing(household.clock, {"paper": 5, "street": 1, "meadow": 1}, reach=0.95, sizes=(34, 48), tilt=6),
    "cup": Thing(household.cup, {"paper": 4, "meadow": 1, "beach": 1, "snow": 1}, foot=0.6, reach=1.05, sizes=(34, 48)),
    "umbrella": Thing(household.umbrella, {**COAST, "street": 3}, sizes=(34, 44), tilt=18),
    **{name: Thing(getattr(textures, name), {"paper": 1}, sizes=(62, 90), tilt=45) for name in SURFACES},
}
DRAWING = Drawing(dict(sorted({**THINGS, **MORE}.items())), pixels=SIDE, oversample=2, finish=lit_from_a_side)
NAMES = tuple(DRAWING.things)
"""The classes, in the order of their indices."""
IMAGES = 12 * len(NAMES)
MOST_IMAGES = 10_000_000
"""The class of each is listed."""


class DrawnPictures:
    """A data set of (picture, class index), drawn by code when it is asked for; `classes` has the names, `targets` the class
    of each picture. The same seed and number always give the same picture.

    Raises `OptionError` where there is no picture.
    """

    @as_declared
    def __init__(self, images: int = IMAGES, seed: int = 0) -> None:
        if not 0 < images <= MOST_IMAGES or seed < 0:
            told = f"give from 1 to {MOST_IMAGES:,} images and a seed of 0 or more"
            raise OptionError(f"{images} drawn pictures with seed {seed}", told)
        self.seed = seed
        self.classes = list(NAMES)
        self.targets = [index % len(NAMES) for index in range(images)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        number = range(len(self))[index]
        return Image.fromarray(draw(self.seed, number, DRAWING).image), self.targets[number]

    def __repr__(self) -> str:
        return f"<{len(self)} drawn pictures of {len(self.classes)} classes>"


@as_declared
def drawn(images: int = IMAGES, seed: int = 0) -> DrawnPictures:
    """Pictures to start with, 256 × 256, drawn by code: things and surfaces of 33 classes, `images` of them.

    A data set for `analyze`, to look at, and to train on: `len(…)`, `[i]` gives (picture, class index), `.classes` the names.
    What `drawn` is on the command line. Raises `OptionError` where there is no picture.
    """
    return DrawnPictures(images, seed)
