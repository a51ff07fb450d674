"""Boxes are cut out, outlined and enlarged at exactly the right pixels."""

# Tolerances are of whole pixels.

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from torchlurk.rendering.boxes import crop, fit, is_part, is_whole, outline, resized, scaled, times

WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (90, 120, 150)


def numbered(width: int, height: int) -> Image.Image:
    """A picture in which every pixel says where it is: red x, green y."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, np.full_like(x, 7)], axis=2).astype(np.uint8))


def test_a_crop_holds_exactly_the_pixels_of_the_box() -> None:
    part = np.asarray(crop(numbered(20, 10), (3, 2, 11, 9)))
    assert part.shape == (7, 8, 3)
    assert part[0, 0].tolist() == [3, 2, 7]
    assert part[-1, -1].tolist() == [10, 8, 7]


def test_the_outline_lies_directly_around_the_box_light_inside_dark_outside() -> None:
    before = Image.new("RGB", (40, 30), GREY)
    after = outline(before, (10, 8, 20, 15))
    expected = np.full((30, 40, 3), GREY, np.uint8)
    for reach, colour in ((3, BLACK), (2, WHITE), (1, WHITE)):
        expected[8 - reach : 15 + reach, 10 - reach : 20 + reach] = colour
    expected[8:15, 10:20] = GREY
    np.testing.assert_array_equal(np.asarray(after), expected)
    assert set(before.get_flattened_data()) == {GREY}, "the picture given is left as it was"


def test_at_the_border_all_rings_stay_visible_inside_the_picture() -> None:
    drawn = np.asarray(outline(Image.new("RGB", (30, 30), GREY), (0, 0, 30, 30)))
    assert [tuple(int(v) for v in drawn[15, x]) for x in range(4)] == [BLACK, WHITE, WHITE, GREY]
    assert [tuple(int(v) for v in drawn[15, 29 - x]) for x in range(4)] == [BLACK, WHITE, WHITE, GREY]
    assert [tuple(int(v) for v in drawn[29 - y, 15]) for y in range(4)] == [BLACK, WHITE, WHITE, GREY]


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (29, 29, 30, 30), (0, 29, 30, 30), (14, 0, 15, 30)])
@pytest.mark.parametrize("size", [(30, 30), (1, 1), (2, 30), (5, 4)])
def test_any_box_in_any_picture_is_drawn_without_an_error(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    assert outline(Image.new("RGB", size), box).size == size


def test_a_box_is_scaled_edge_by_edge_and_never_vanishes() -> None:
    assert scaled((10, 20, 30, 40), (0.5, 2.0)) == (5, 40, 15, 80)
    assert scaled((10, 10, 11, 11), (0.1, 0.1)) == (1, 1, 2, 2)


def test_only_a_box_over_everything_is_whole() -> None:
    assert is_whole((0, 0, 5, 4), (5, 4))
    assert is_whole((-2, -2, 9, 9), (5, 4))
    assert not is_whole((0, 0, 4, 4), (5, 4))
    assert not is_whole((0, 1, 5, 4), (5, 4))


def test_neither_everything_nor_nothing_is_a_part() -> None:
    assert is_part((0, 1, 5, 4), (5, 4))
    for box in (None, (0, 0, 5, 4), (0, 0, 0, 0), (2, 2, 2, 4)):
        assert not is_part(box, (5, 4))


def test_fitting_keeps_the_proportions_and_at_least_one_pixel() -> None:
    assert fit((224, 112), (140, 140)) == (140, 70)
    assert fit((1000, 1), (100, 100)) == (100, 1)
    assert times((3, 5), 4.0) == (12, 20)


def test_few_pixels_are_enlarged_to_squares_of_their_own_colours() -> None:
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8))
    large = np.asarray(resized(picture, (14, 14)))
    for row in range(2):
        for column in range(2):
            square = large[row * 7 : row * 7 + 7, column * 7 : column * 7 + 7]
            assert (square == np.asarray(picture)[row, column]).all()


def test_squares_are_of_even_width_where_the_enlargement_is_not_a_whole_number() -> None:
    stripes = np.zeros((1, 8, 3), np.uint8)
    stripes[:, ::2] = 255
    light = np.asarray(resized(Image.fromarray(stripes), (30, 4)))[0, :, 0].reshape(-1).astype(float)  # 3.75 times
    middles_of_dark = (0, 6, 13, 21, 28)
    widths = [light[left:right].sum() / 255 for left, right in pairwise(middles_of_dark)]
    np.testing.assert_allclose(widths, 3.75, atol=0.01)


def test_a_slight_enlargement_is_smooth() -> None:
    edge = np.zeros((16, 16, 3), np.uint8)
    edge[:, 8:] = 255
    assert len(np.unique(np.asarray(resized(Image.fromarray(edge), (32, 32))))) > 3
