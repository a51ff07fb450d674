"""Sprites lie where their index says; the overview of a layer shows each unit's best box."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from torchlurk.records import Layer, Ranking
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.contact_sheet import CONTENT, MARGIN
from torchlurk.rendering.sprites import best_boxes, layer_sheet, sprite_sheet

NOISE = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
SIZE = (32, 48)


def picture(example: int) -> Image.Image:
    return Image.fromarray(NOISE[example])


def ranking(examples: list[int], box: tuple[int, int, int, int] | None) -> Ranking:
    units = len(examples)
    placed = None if box is None else np.tile(np.array(box, np.int32), (units, 1, 1))
    positions = None if box is None else np.zeros((units, 1), np.int32)
    return Ranking(np.ones((units, 1), np.float32), np.array(examples, np.int64)[:, None], positions, placed)


def test_sprite_i_is_in_column_i_modulo_columns() -> None:
    tiles = [Image.new("RGB", (8, 8), (10 * i, 0, 0)) for i in range(7)]
    sheet = np.asarray(sprite_sheet([*tiles[:5], None, tiles[6]], side=8, columns=3))
    assert sheet.shape == (24, 24, 3)
    for index in (0, 1, 2, 3, 4, 6):
        row, column = divmod(index, 3)
        assert (sheet[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] == (10 * index, 0, 0)).all()
    assert (sheet[8:16, 16:24] == LIGHT.panel).all(), "an empty tile where there is no picture"


def test_the_best_box_is_the_strongest_examples_exact_crop() -> None:
    found = best_boxes(ranking([2, 0, -1], (5, 3, 16, 14)), picture, SIZE)
    np.testing.assert_array_equal(np.asarray(found[0]), NOISE[2, 3:14, 5:16])
    np.testing.assert_array_equal(np.asarray(found[1]), NOISE[0, 3:14, 5:16])
    assert found[2] is None


def test_units_without_boxes_show_the_whole_example() -> None:
    found = best_boxes(ranking([1], None), picture, SIZE)
    np.testing.assert_array_equal(np.asarray(found[0]), NOISE[1])


@pytest.mark.parametrize("box", [(-5, -5, 60, 60), (40, 30, 90, 90), (0, 0, 0, 0), (47, 31, 47, 31)])
def test_boxes_over_the_border_are_cut_to_the_input(box: tuple[int, int, int, int]) -> None:
    found = best_boxes(ranking([0], box), picture, SIZE)[0]
    assert found is not None
    assert found.width >= 1
    assert found.height >= 1


@pytest.mark.parametrize("units", [0, 1, 18, 19, 300])
def test_a_layer_of_any_width_is_drawn_the_same_each_time(units: int) -> None:
    layer = Layer("features.3", "Conv2d", "spatial", units, (8, 8), receptive_field=(11, 11), stride=(2, 2))
    examples = [unit % 4 for unit in range(units)]
    first, again = (layer_sheet(layer, ranking(examples, (5, 3, 16, 14)), picture, SIZE, dead=[0, 7]) for _ in range(2))
    assert first.width == CONTENT + 2 * MARGIN
    assert first.tobytes() == again.tobytes()
