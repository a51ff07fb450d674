"""The drawn world: the same picture for the same seed and number, masks that lie where the parts are, a proper source."""

# Tolerances: outlines are polygons with many corners, and shares are of a few thousand random draws.

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from torchlurk.errors import OptionError
from torchlurk.inputs.demo import palette, parts
from torchlurk.inputs.demo.canvas import PLAIN, Canvas
from torchlurk.inputs.demo.parts import PARTS, PATTERNS
from torchlurk.inputs.demo.pictures import LABELS, Picture, draw
from torchlurk.inputs.demo.places import PLACES
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import SCENERY, SIDE
from torchlurk.inputs.demo.shapes import arch, box, curve, ellipse, polygon, ribbon, smooth
from torchlurk.inputs.demo.things import NAMES, THINGS
from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.inputs.source import Source
from torchlurk.records import Preprocessing

SEED = 11
RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Four pictures of each class."""
    return [draw(SEED, index) for index in range(4 * len(NAMES))]


def near(image: np.ndarray, colour: palette.Colour, within: float) -> np.ndarray:
    """Where the picture has about this colour, none of its channels further off than `within`."""
    return (np.abs(image.astype(float) - colour) <= within).all(-1)


def test_a_picture_depends_on_its_seed_and_number_alone(pictures: list[Picture]) -> None:
    for index in (57, 3, 20):
        again = draw(SEED, index)
        assert np.array_equal(again.image, pictures[index].image)
        assert np.array_equal(again.labels, pictures[index].labels)


def test_other_seeds_and_numbers_give_other_pictures(pictures: list[Picture]) -> None:
    everything = {picture.image.tobytes() for picture in pictures} | {draw(SEED + 1, 0).image.tobytes()}
    assert len(everything) == len(pictures) + 1


def test_the_classes_take_turns(pictures: list[Picture]) -> None:
    assert len(NAMES) >= 12
    assert [picture.class_index for picture in pictures] == list(range(len(NAMES))) * 4
    assert list(NAMES) == sorted(NAMES)


def test_pictures_are_colour_and_full_of_contrast(pictures: list[Picture]) -> None:
    for picture in pictures:
        assert picture.image.shape == (SIDE, SIDE, 3)
        assert picture.image.std() > 15


def test_every_part_is_seen_and_most_are_shared_by_classes(pictures: list[Picture]) -> None:
    seen_in = defaultdict(set)
    for picture in pictures:
        for name in picture.parts:
            seen_in[name].add(picture.class_index)
    assert set(seen_in) == set(LABELS)
    shared = {name for name in PARTS + PATTERNS if len(seen_in[name]) >= 2}
    assert len(shared) >= 18
    assert len(seen_in["window"]) >= 6
    assert len(seen_in["wheel"]) == 4
    assert len(seen_in["eye"]) == 7


def test_every_place_is_some_things_place() -> None:
    assert {place for thing in THINGS.values() for place in thing.places} == set(PLACES)


def test_parts_do_not_overlap_each_other_but_patterns_lie_on_them(pictures: list[Picture]) -> None:
    striped_wings = 0
    for picture in pictures:
        masks = picture.parts
        shown = sum(masks[name].astype(int) for name in masks if name in PARTS + SCENERY)
        assert np.max(shown) == 1
        if "wing" in masks and "stripe" in masks:
            striped_wings += int((masks["wing"] & masks["stripe"]).sum())
    assert striped_wings > 0


def test_a_mask_is_where_the_parts_colour_is() -> None:
    canvas = Canvas(SIDE, PARTS, PATTERNS)
    canvas.fill(ellipse(40, 40, 25), RED, "wheel")
    canvas.fill(box(50, 30, 80, 90), BLUE, PLAIN)
    picture = Picture(canvas.image().round().astype(np.uint8), 0, canvas.labels())
    labels = (SCENERY + PARTS).index("wheel") + 1 - len(SCENERY)
    mask = picture.labels[0] == labels
    red, blue = near(picture.image, RED, 1), near(picture.image, BLUE, 1)
    assert red.sum() > 1000
    assert not (red & ~mask).any()
    assert not (blue & mask).any()
    assert abs(int(mask.sum()) - int(red.sum())) < 120  # the rim of mixed pixels, half of which is the part's


def test_masks_follow_placing_turning_and_mirroring() -> None:
    canvas = Canvas(SIDE, ("fin",), ())
    with canvas.placed(60, 30, 10, angle=90, flip=True), canvas.placed(1, 0):
        canvas.fill(box(0, -0.5, 1, 0.5), RED, "fin")
    rows, columns = np.nonzero(canvas.labels()[0])
    # Mirrored, the box is from -2 to -1 along x; turned by 90 degrees clockwise x points down, so it is above the origin.
    assert (rows.min(), rows.max()) == (10, 19)
    assert (columns.min(), columns.max()) == (55, 64)


def test_a_pattern_ends_where_what_it_lies_on_ends_and_under_what_covers_it() -> None:
    canvas = Canvas(SIDE, ("wing", "eye"), ("stripe",))
    outline = ellipse(48, 48, 30)
    canvas.fill(outline, RED, "wing")
    canvas.fill(box(0, 40, SIDE, 56), BLUE, "stripe", within=outline)
    canvas.fill(ellipse(48, 48, 5), RED, "eye")
    wing, stripe = canvas.labels()
    blue = near(canvas.image(), BLUE, 1)
    assert blue.sum() > 700
    assert (stripe[blue] == 1).all()
    assert stripe.sum() - blue.sum() < 60  # mixed pixels at the ends
    assert stripe[48, 25] == 1
    assert stripe[48, 10] == 0
    assert stripe[48, 48] == 0
    assert wing[48, 25] == 1
    assert wing[48, 48] == 2


def test_what_shines_through_is_a_mixture() -> None:
    canvas = Canvas(SIDE, ("flame",), ())
    canvas.fill(box(0, 0, SIDE, SIDE), (0, 0, 0))
    canvas.fill(box(0, 0, 48, SIDE), (200, 100, 40), "flame", alpha=0.5)
    assert np.allclose(canvas.image()[10, 10], (100, 50, 20), atol=1.5)
    assert canvas.labels()[0, 10, 10] == 1
    assert canvas.labels()[0, 10, 60] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "colours"), [("flame", (palette.RED, palette.ORANGE, palette.LEMON)), ("wheel", (parts.TYRE,))]
)
def test_in_whole_pictures_masks_lie_on_the_parts_colours(
    pictures: list[Picture], name: str, colours: tuple[palette.Colour, ...]
) -> None:
    found = [picture for picture in pictures if name in picture.parts and NAMES[picture.class_index] != "bicycle"]
    assert len(found) >= 4
    inside, outside = [], []
    for picture in found:
        mask = picture.parts[name]
        coloured = np.any([near(picture.image, colour, 45) for colour in colours], axis=0)
        inside.append(coloured[mask].mean())
        outside.append(coloured[~mask].mean())
    assert min(inside) > 0.25
    assert np.median(inside) > 4 * np.median(outside)  # a night may have the colour of tyres, an evening that of fire


def test_light_comes_from_above_whatever_way_a_thing_is_turned() -> None:
    for angle, flip in ((0, False), (90, True), (180, False)):
        canvas = Canvas(SIDE, (), ())
        with canvas.placed(48, 48, 30, angle=angle, flip=flip):
            canvas.solid(ellipse(0, 0, 1), RED, depth=0.2)
        brightness = canvas.image().sum(-1)
        assert brightness[22:30, 44:52].mean() > brightness[66:74, 44:52].mean()


def test_shapes_have_the_area_that_geometry_gives_them() -> None:
    def area(points: np.ndarray) -> float:
        x, y = points.T
        return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2

    assert area(box(0, 0, 2, 3)) == 6
    assert area(box(0, 0, 2, 3, 0.5)) == pytest.approx(6 - (4 - np.pi) * 0.25, rel=0.01)
    assert area(ellipse(5, 5, 2, 3, angle=30)) == pytest.approx(np.pi * 6, rel=0.01)
    assert area(arch(0, 0, 2, 3)) == pytest.approx(4 + np.pi / 2, rel=0.01)
    assert area(ribbon(polygon((0, 0), (4, 0)), 1)) == pytest.approx(4 + np.pi / 4, rel=0.02)
    assert area(smooth((1, 0), (0, 1), (-1, 0), (0, -1))) == pytest.approx(np.pi, rel=0.15)


def test_curves_go_through_their_knots() -> None:
    knots = ((0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0))
    for knot in knots:
        assert np.abs(curve(*knots) - knot).sum(1).min() < 1e-12


def test_dice_are_fair_and_bounded() -> None:
    dice = Dice(0, 0)
    numbers = [dice.whole(1, 6) for _ in range(6000)]
    assert set(numbers) == {1, 2, 3, 4, 5, 6}
    assert np.allclose(np.bincount(numbers)[1:] / 1000, 1, atol=0.15)
    kinds = [dice.weighted({"a": 3.0, "b": 1.0}) for _ in range(4000)]
    assert kinds.count("a") / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_contrasting_colour_differs_from_all_others_where_one_can() -> None:
    for index in range(50):
        colour = palette.contrasting(Dice(1, index), palette.PAINTS, palette.RED, palette.SKY)
        assert min(palette.distance(colour, palette.RED), palette.distance(colour, palette.SKY)) > 110
    assert palette.contrasting(Dice(0, 0), (palette.RED,), palette.RED) is not None


def test_the_world_is_a_source() -> None:
    world = DemoWorld(50, seed=4)
    assert isinstance(world, Source)
    assert len(world.examples) == 50
    assert world.examples[23].path == f"{NAMES[3]}/000023.png"
    assert world.examples[23].class_index == 3
    assert [one.name for one in world.classes] == list(NAMES)
    assert world.skipped == ()
    item = world.read(23)
    assert item.class_index == 3
    assert np.array_equal(item.values, draw(4, 23).image)
    masks = world.masks(23)
    assert set(masks) <= set(world.parts)
    assert all(np.array_equal(masks[name], mask) for name, mask in draw(4, 23).parts.items())


def test_the_fingerprint_tells_worlds_apart() -> None:
    worlds = [DemoWorld(), DemoWorld(1201), DemoWorld(seed=1), DemoWorld(limit=600)]
    assert len({world.fingerprint() for world in worlds}) == 4
    assert DemoWorld().fingerprint() == DemoWorld(1200, 0).fingerprint()
    assert all(len(world.fingerprint()) == 64 for world in worlds)


def test_a_limited_world_keeps_the_names_of_its_pictures() -> None:
    whole, some = DemoWorld(90), DemoWorld(90, limit=3)
    assert len(some.examples) == 3
    for example in some.examples:
        number = int(example.path.split("/")[1].removesuffix(".png"))
        assert whole.examples[number].path == example.path
        assert np.array_equal(some.read(example.index).values, whole.read(number).values)
        assert some.masks(example.index).keys() == whole.masks(number).keys()


def test_a_world_is_read_as_the_model_wants_it() -> None:
    world = DemoWorld(3, preprocessing=Preprocessing(resize=(48,), crop=(32, 40)))
    assert world.read(0).values.shape == (32, 40, 3)
    smaller = Image.fromarray(draw(0, 0).image).resize((48, 48), Image.Resampling.BILINEAR)
    assert np.array_equal(world.read(0).values, np.asarray(smaller)[8:40, 4:44])


@pytest.mark.parametrize(("images", "seed"), [(0, 0), (5, -1)])
def test_a_world_without_pictures_is_refused(images: int, seed: int) -> None:
    with pytest.raises(OptionError, match="at least one image"):
        DemoWorld(images, seed)


def test_drawing_needs_no_torch() -> None:
    code = "import torchlurk.inputs.demo.pictures as p, sys; p.draw(0, 0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
