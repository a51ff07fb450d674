"""The tree as an SVG file: well-formed, complete, safe, at the right places."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from torchlurk.anatomy import Contribution, Makeup, PathPicture, Prediction, TreeNode, UnitPath
from torchlurk.rendering.tree import CARD_WIDTH, draw_tree, focus
from torchlurk.units import Unit

SVG = "{http://www.w3.org/2000/svg}"


def node(
    units: tuple[Unit, ...], share: float | None = None, children: tuple[TreeNode, ...] = (), bypasses: bool = False
) -> TreeNode:
    branch = UnitPath(units, (1, 1))
    values = np.zeros((40, 40, 3), np.float32)
    values[10:20, 5:15] = 1.0
    given = None if share is None else Contribution(units[-1], 2 * share, share, bypasses, 3.0, (1, 1), (5, 10, 15, 20))
    return TreeNode(
        branch,
        3.0,
        (1, 1),
        (5, 10, 15, 20),
        given,
        Makeup(branch, 2.0, 0.5, (), ()),
        PathPicture(branch, "guided", values, (5, 10, 15, 20)),
        children,
    )


ROOT = Unit("late", 1)
HOSTILE = Unit('a<script>alert("1")</script>&', 2)
PICTURE = np.full((40, 40, 3), 90, np.uint8)


def drawn() -> ElementTree.Element:
    children = (node((ROOT, HOSTILE), 0.5), node((ROOT, Unit("early", 3)), -0.25, bypasses=True))
    exemplars = {ROOT: [Image.new("RGB", (8, 8))] * 9}
    text = draw_tree(
        node((ROOT,), None, children), PICTURE, (Prediction(0, "cat & dog", 1.0, 0.9),), lambda unit: exemplars.get(unit, ())
    )
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(one.text or "") for one in root.iter(f"{SVG}text")]


def test_it_says_addresses_shares_and_predictions() -> None:
    found = texts(drawn())
    assert {"late:1", "early:3", "cat & dog", "90 %", "+50 %", "−25 %"} <= set(found)


def test_a_picture_of_nothing_says_so_in_its_place() -> None:
    seen = node((ROOT,))
    blank = replace(seen, picture=replace(seen.picture, values=np.zeros_like(seen.picture.values)))
    for one, words in ((seen, False), (blank, True)):
        root = ElementTree.fromstring(draw_tree(one, PICTURE, (), lambda unit: ()))
        assert ({"nothing by", "guided"} <= set(texts(root))) is words


def test_names_are_text_and_never_markup() -> None:
    root = drawn()
    assert not list(root.iter(f"{SVG}script"))
    assert str(HOSTILE) in [one.text for one in root.iter(f"{SVG}title")]


def test_pictures_are_inside_the_file() -> None:
    found = [one.get("href", "") for one in drawn().iter(f"{SVG}image")]
    assert len(found) == 1 + 3 * 2 + 4  # the image, two of each node, four exemplars of the root
    assert all(one.startswith("data:image/") for one in found)


def test_a_skip_is_dashed_and_what_speaks_against_has_another_colour() -> None:
    speaks_for, skips = list(drawn().iter(f"{SVG}path"))
    assert skips.get("stroke-dasharray")
    assert not speaks_for.get("stroke-dasharray")
    assert speaks_for.get("stroke") != skips.get("stroke")
    assert float(speaks_for.get("stroke-width", 0)) == 2 * float(skips.get("stroke-width", 0))


def test_cards_do_not_overlap_and_lie_on_the_page() -> None:
    root = drawn()
    cards = [one for one in root.iter(f"{SVG}rect") if one.get("width") == f"{CARD_WIDTH}"]
    spots = sorted((float(one.get("x", 0)), float(one.get("y", 0)), float(one.get("height", 0))) for one in cards)
    assert len(spots) == 3
    assert spots[1][0] == spots[2][0] > spots[0][0] + CARD_WIDTH
    assert spots[2][1] >= spots[1][1] + spots[1][2]
    assert all(x + CARD_WIDTH <= float(root.get("width", 0)) and y + h <= float(root.get("height", 0)) for x, y, h in spots)


def test_focus_is_a_square_around_what_there_is() -> None:
    values = np.zeros((60, 80, 3), np.float32)
    values[10:50, 30:40] = 1.0
    x0, y0, x1, y1 = focus(values)
    assert y0 in (10, 11)
    assert y1 in (49, 50)
    assert abs((x1 - x0) - (y1 - y0)) <= 1
    assert (x0 + x1) / 2 == 35
    corner = np.zeros((60, 80, 3), np.float32)
    corner[0, 79] = -1.0
    assert focus(corner) == (48, 0, 80, 32)
    assert focus(np.zeros((60, 80, 3), np.float32)) == (0, 0, 80, 60)
