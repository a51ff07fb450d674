"""Many small pictures on one: a bare grid of tiles, and the overview of a layer by its units' best boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from torchlurk.records import Box, Layer, Ranking
from torchlurk.rendering import boxes, labels
from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.contact_sheet import CONTENT, MARGIN, Picture, framed, header, stacked, tile
from torchlurk.rendering.typography import Style, write

SIDE = 64
LAYER_COLUMNS = 18
LAYER_GAP_X = (CONTENT - LAYER_COLUMNS * SIDE) // (LAYER_COLUMNS - 1)
LAYER_GAP_Y = 8
CHANNEL = Style("address", 11)
CHANNEL_HEIGHT = 16
CHANNEL_BASELINE = 12
HEADER_GAP = 20


def sprite_sheet(
    pictures: Sequence[Image.Image | None], *, side: int = SIDE, columns: int = LAYER_COLUMNS, theme: Theme = LIGHT
) -> Image.Image:
    """The pictures row by row on square tiles without gaps, each fitted into its tile; an empty tile where there is none.

    Picture i is at (i % columns, i // columns) times `side`.
    """
    rows = max(1, math.ceil(len(pictures) / columns))
    sheet = Image.new("RGB", (columns * side, rows * side), theme.panel)
    for index, picture in enumerate(pictures):
        if picture is not None:
            shown = boxes.resized(picture.convert("RGB"), boxes.fit(picture.size, (side, side)))
            sheet.paste(tile(shown, (side, side), theme), (index % columns * side, index // columns * side))
    return sheet


def best_boxes(by_max: Ranking, picture: Picture, input_size: tuple[int, int]) -> list[Image.Image | None]:
    """For each unit the box of its strongest example, the whole example where it has none; None where it is unknown.

    `input_size` is (height, width) of the network's input, whose pixels the boxes are in.
    """
    return [best_box(by_max, unit, picture, input_size) for unit in range(by_max.examples.shape[0])]


def in_order_of_examples(by_max: Ranking) -> list[int]:
    """The units in the order of their strongest examples, so that each of these is opened once and none is kept."""
    strongest = by_max.examples[:, 0] if by_max.examples.shape[1] else np.zeros(len(by_max.examples))
    return [int(unit) for unit in np.argsort(strongest, kind="stable")]


def best_box(by_max: Ranking, unit: int, picture: Picture, input_size: tuple[int, int]) -> Image.Image | None:
    """The same of one unit."""
    size = (input_size[1], input_size[0])
    example = int(by_max.examples[unit, 0]) if by_max.examples.shape[1] else -1
    image = picture(example) if example >= 0 else None
    if image is not None and by_max.boxes is not None:
        x0, y0, x1, y1 = (int(side) for side in by_max.boxes[unit, 0])
        if boxes.is_part((x0, y0, x1, y1), size):
            there = boxes.scaled((x0, y0, x1, y1), (image.width / size[0], image.height / size[1]))
            image = boxes.crop(image, _inside(there, image.size))
    return image


def layer_sheet(
    layer: Layer,
    by_max: Ranking,
    picture: Picture,
    input_size: tuple[int, int],
    *,
    dead: Sequence[int] = (),
    theme: Theme = LIGHT,
) -> Image.Image:
    """An overview of a layer: each unit's best box on a tile of `SIDE` pixels, its channel below, in order of channel.

    The units in `dead` have no picture: what they did not respond to would mislead.
    """
    silent = frozenset(dead)
    tiles = {
        unit: sprite_sheet([best_box(by_max, unit, picture, input_size)], columns=1, theme=theme)
        for unit in in_order_of_examples(by_max)
    }
    grid = units_grid(dict(sorted(tiles.items())), silent, theme=theme)
    counted = f"{layer.channels:,} units" + (f", {len(silent):,} dead" if silent else "")
    heading = header(layer.name, [counted, "the box of each unit's strongest example", *labels.layer_facts(layer)], theme)
    return framed(stacked([heading, grid], HEADER_GAP, theme), MARGIN, theme)


def units_grid(
    crops: Mapping[int, Image.Image | None], silent: frozenset[int] = frozenset(), *, theme: Theme = LIGHT
) -> Image.Image:
    """Units by their channels, each the picture that it has on a tile, its channel below; none of the `silent` ones."""
    cell = (SIDE + LAYER_GAP_X, SIDE + CHANNEL_HEIGHT + LAYER_GAP_Y)
    rows = max(1, math.ceil(len(crops) / LAYER_COLUMNS))
    grid = Image.new("RGB", (CONTENT, rows * cell[1]), theme.ground)
    draw = ImageDraw.Draw(grid)
    for place, (channel, crop) in enumerate(crops.items()):
        left, top = place % LAYER_COLUMNS * cell[0], place // LAYER_COLUMNS * cell[1]
        image = None if channel in silent else crop
        grid.paste(sprite_sheet([image], columns=1, theme=theme), (left, top))
        label = f"{channel} dead" if channel in silent else str(channel)
        write(draw, (left, top + SIDE + CHANNEL_BASELINE), label, CHANNEL, theme.muted)
    return grid


def _inside(box: Box, size: boxes.Size) -> Box:
    """The part of the box inside a picture of that size, at least one pixel."""
    x0, y0 = min(max(box[0], 0), size[0] - 1), min(max(box[1], 0), size[1] - 1)
    return x0, y0, min(max(box[2], x0 + 1), size[0]), min(max(box[3], y0 + 1), size[1])
