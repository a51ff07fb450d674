"""A unit made by hand, its classes and its pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from torchlurk.records import Class, Exemplar, Layer, UnitRecord

Picture = Callable[[int], Image.Image | None]


@pytest.fixture
def make_record() -> Callable[..., UnitRecord]:
    """Makes a spatial unit with `k` exemplars of each kind on inputs of `side` pixels and values for `classes` classes."""

    def make(*, k: int = 9, side: int = 64, classes: int = 12, whole: bool = False, responses: int = 200) -> UnitRecord:
        rng = np.random.default_rng(k + side + classes)
        layer = Layer("features.3", "Conv2d", "spatial", 16, (8, 8), receptive_field=(11, 11), stride=(2, 2))

        def exemplar(rank: int, placed: bool) -> Exemplar:
            x, y = (int(value) for value in rng.integers(0, side - 11, 2))
            box = (0, 0, side, side) if whole else (x, y, x + 11, y + 11)
            label = f"class {rank}" if classes else None
            score = 10.0 - rank
            if placed:
                return Exemplar(rank, rank, f"c/{rank}.png", label, score, (1, 2), box, 0.9)
            return Exemplar(rank, rank, f"c/{rank}.png", label, score)

        kinds = {"max": True, "mean": False, "quantile": True}
        exemplars = {kind: tuple(exemplar(rank, placed) for rank in range(k)) for kind, placed in kinds.items()}
        values = {kind: rng.gamma(2, 3, classes).astype(np.float32) for kind in ("max", "mean")}
        figures = {"mean": 0.5, "std": 1.0, "max": 10.0, "min": 0.0, "fraction_active": 0.3, "selectivity": 0.7}
        return UnitRecord(layer, 7, figures, exemplars, values, rng.gamma(2, 2, responses).astype(np.float32))

    return make


@pytest.fixture
def make_classes() -> Callable[[int], list[Class]]:
    """So many classes."""
    return lambda count: [Class(i, f"n{i:04}", f"class number {i}") for i in range(count)]


@pytest.fixture
def make_picture() -> Callable[..., Picture]:
    """Pictures of that side, each of its own colour."""

    def make(side: int = 64, mode: str = "RGB") -> Picture:
        def picture(example: int) -> Image.Image:
            colour = (20 * example % 256, 200 - 10 * example % 200, 90)
            return Image.new("RGB", (side, side), colour).convert(mode)

        return picture

    return make
