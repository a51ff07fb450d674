"""The drawn worlds as sources of examples, with the mask of every part: the demo's, and the pictures to start with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from PIL import Image

from torchlurk.errors import OptionError
from torchlurk.inputs.demo import drawn
from torchlurk.inputs.demo.pictures import DEMO_DRAWING, LABELS, VERSION, Drawing, Picture, draw
from torchlurk.inputs.demo.scenery import SIDE
from torchlurk.inputs.items import Item
from torchlurk.inputs.pictures.preprocessing import prepare
from torchlurk.inputs.presence import DEMO, DRAWN
from torchlurk.inputs.source import ExampleList, PictureSource, spread
from torchlurk.records import Class, Example, Preprocessing, Skip

IMAGES = 1200
"""How many pictures the demo's study is made of: 60 of each class."""
SEED = 0
KEPT = 128 << 20
"""Bytes of drawn pictures and their labels that are kept: drawing takes ten times as long as what follows it."""
PREPROCESSING = Preprocessing(resize=(SIDE, SIDE), crop=(SIDE, SIDE), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
"""What the demo network was trained with; pictures are drawn at this size."""


class DemoWorld(PictureSource):
    """The pictures of the demo's world with this seed; see `Source`. They are drawn when they are first read.

    With `limit` there are only that many of them, evenly spread, under the names they have without it. Raises
    `OptionError` where there is no picture.
    """

    name = DEMO
    skipped: tuple[Skip, ...] = ()
    parts: tuple[str, ...] = LABELS
    """The names of all parts, patterns on them, and pieces of scenery."""
    drawing: Drawing = DEMO_DRAWING
    version = VERSION
    """Of the drawing."""

    def __init__(
        self, images: int = IMAGES, seed: int = SEED, preprocessing: Preprocessing = PREPROCESSING, limit: int | None = None
    ) -> None:
        if images < 1 or seed < 0:
            raise OptionError(f"a world of {images} images with seed {seed}", "give at least one image and a seed of 0 or more")
        self.preprocessing = preprocessing
        self._seed = seed
        self._chosen = spread(images, limit)
        self._drawn: dict[int, Picture] = {}
        names = tuple(self.drawing.things)
        class_indices = np.array(self._chosen) % len(names)
        paths = [f"{names[index % len(names)]}/{index:06d}.png" for index in self._chosen]
        self.examples: Sequence[Example] = ExampleList(paths, class_indices)
        self.classes: Sequence[Class] = tuple(Class(index, name, name) for index, name in enumerate(names))

    def read(self, index: int) -> Item:
        """See `Source`."""
        picture = self._picture(index)
        return Item(prepare(Image.fromarray(picture.image), self.preprocessing), picture.class_index)

    def masks(self, index: int) -> Mapping[str, Bool[np.ndarray, "height width"]]:
        """Where each part is to be seen in example `index`, at the size it is drawn in; only parts that are there."""
        return self._picture(index).parts

    def _picture(self, index: int) -> Picture:
        picture = self._drawn.get(index) or draw(self._seed, self._chosen[index], self.drawing)
        if (len(self._drawn) + 1) * (picture.image.nbytes + picture.labels.nbytes) <= KEPT:
            self._drawn[index] = picture
        return picture

    def fingerprint(self) -> str:
        """See `Source`: a picture depends on the drawing's version, the seed and its number alone."""
        return hashlib.sha256(f"{self.name} {self.version} {self._seed} {self._chosen}".encode()).hexdigest()


class DrawnWorld(DemoWorld):
    """The pictures to start with, as a source: what `drawn` gives; as they are where nothing says how to prepare them."""

    name = DRAWN
    drawing = drawn.DRAWING
    version = drawn.VERSION

    def __init__(
        self,
        images: int = drawn.IMAGES,
        seed: int = SEED,
        preprocessing: Preprocessing | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(images, seed, preprocessing or Preprocessing(), limit)
