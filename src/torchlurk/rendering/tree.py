"""The tree beneath a unit as one SVG file that needs nothing else: pictures are inside, text is text.

From left to right: the image with its predictions, the unit, the units that it is made of, and theirs. Each node shows
what of the image reaches the unit through it (at its own place, signed around grey), the same place of the image, and
what the unit is usually excited by.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from torchlurk.anatomy import Prediction, TreeNode
from torchlurk.records import Box
from torchlurk.rendering.boxes import fit, resized
from torchlurk.rendering.colour import LIGHT, Colour, Theme, signed
from torchlurk.rendering.encoding import encode, to_image
from torchlurk.rendering.labels import number, off, percent
from torchlurk.rendering.labels import prediction as said
from torchlurk.rendering.text import shortened
from torchlurk.units import Unit

Exemplars = Callable[[Unit], Sequence[Image.Image]]
"""What a unit is usually excited by, strongest first, cut out; nothing where no study tells."""

ON_GREY: Colour = (255, 255, 255)
"""Words on a picture that shows nothing."""

AGAINST: Colour = (181, 82, 0)
"""The colour of what speaks against a unit; what speaks for it has the theme's accent. Both are told apart by anyone."""

# Lengths in pixels.
MARGIN = 24
IMAGE = 224
PICTURE = 92
SMALL = 44
GAP = 6
PAD = 8
LINE = 16
CARD_WIDTH = 2 * PAD + 2 * PICTURE + GAP
ROW_GAP = 14
COLUMN_GAP = 76
BAR = 48
FINE = 2
"""How many pixels of a picture there are to each on the page, for screens that are finer."""
WIDEST_EDGE, THINNEST_EDGE = 8.0, 1.0
LEAST_SIDE = 32
"""Pixels of the image that a node shows at least."""
LEFT_OUT = 0.02
"""The share of a picture's magnitude that may lie outside of what a node shows, at each of its four sides."""
TEXT, SMALL_TEXT = 11, 10
LONGEST_ADDRESS, LONGEST_LABEL, LONGEST_FACTS = 30, 20, 42
MOST_EXEMPLARS = 4
SANS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(slots=True)
class _Placed:
    """A node with the upper left corner of its card."""

    node: TreeNode
    level: int
    x: float
    y: float
    children: list[_Placed]


def draw_tree(
    root: TreeNode,
    image: UInt8[np.ndarray, "height width channel"],
    predictions: Sequence[Prediction],
    exemplars: Exemplars,
    *,
    images: int = 1,
    warning: str = "",
    theme: Theme = LIGHT,
) -> str:
    """The tree as the text of an SVG file. `image` is what the network saw, of the size that boxes are measured in: the mean of
    `images` many, as everything is. `warning` says why the pictures are not to be trusted.
    """
    height = _card_height(root, exemplars)
    left = MARGIN + IMAGE + COLUMN_GAP
    below_image = LINE * (len(predictions) + 7)
    placed, _ = _place(root, left, MARGIN + max(0, (IMAGE - height) / 2), height, 0, 0)
    every = _all(placed)
    start = placed.y + (height - IMAGE) / 2
    width = max(one.x for one in every) + CARD_WIDTH + MARGIN
    tall = max(max(one.y for one in every) + height, start + IMAGE + below_image) + MARGIN
    page = _Page(width, tall, theme)
    _draw_image(page, placed, image, predictions, start, images, warning)
    for one in every:
        largest = max((_share(child) for child in one.children), key=abs, default=0.0)
        for child in one.children:
            _draw_edge(page, one, child, height, abs(_share(child) / largest) if largest else 0.0)
    for one in every:
        _draw_card(page, one, height, image, list(exemplars(one.node.branch.last))[:MOST_EXEMPLARS])
    return page.text()


class _Page:
    """An SVG document that is being drawn."""

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        self.theme = theme
        size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
        self.root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
        self.rectangle(0, 0, width, height, theme.ground)

    def text(self) -> str:
        return ElementTree.tostring(self.root, "unicode")

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Colour | None,
        *,
        stroke: Colour | None = None,
        round: int = 0,
    ) -> None:
        shape = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "rx": f"{round}"}
        colours = {"fill": _css(fill) if fill else "none"} | ({"stroke": _css(stroke)} if stroke else {})
        ElementTree.SubElement(self.root, "rect", shape | colours)

    def write(
        self, x: float, y: float, words: str, *, colour: Colour | None = None, size: int = TEXT, mono: bool = False,
        bold: bool = False, end: bool = False, halo: bool = False, title: str = "",
    ) -> None:  # fmt: skip
        """Words on the line whose upper edge is at `y`, with a `halo` where edges may run behind them; `title` is shown on
        hovering.
        """
        given = {"x": f"{x:g}", "y": f"{y + size:g}", "font-size": f"{size}", "font-family": MONO if mono else SANS}
        given |= {"fill": _css(colour or self.theme.ink), "font-weight": "600" if bold else "400"}
        given |= {"text-anchor": "end"} if end else {}
        given |= {"stroke": _css(self.theme.ground), "stroke-width": "4", "paint-order": "stroke"} if halo else {}
        made = ElementTree.SubElement(self.root, "text", given)
        made.text = words
        if title:
            ElementTree.SubElement(made, "title").text = title

    def picture(self, x: float, y: float, size: tuple[int, int], image: Image.Image, words: str) -> None:
        """A picture in that frame, its proportions kept, centred; `words` say what it is."""
        within = fit(image.size, size)
        fine = resized(image.convert("RGB"), (within[0] * FINE, within[1] * FINE))
        media, data = encode(np.asarray(fine))
        place = {"x": f"{x + (size[0] - within[0]) / 2:g}", "y": f"{y + (size[1] - within[1]) / 2:g}"}
        place |= {"width": f"{within[0]}", "height": f"{within[1]}"}
        href = f"data:{media};base64,{base64.b64encode(data).decode()}"
        made = ElementTree.SubElement(self.root, "image", place | {"href": href, "role": "img", "aria-label": words})
        ElementTree.SubElement(made, "title").text = words

    def curve(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float, *, dashed: bool
    ) -> None:
        middle = (start[0] + end[0]) / 2
        way = f"M{start[0]:g},{start[1]:g} C{middle:g},{start[1]:g} {middle:g},{end[1]:g} {end[0]:g},{end[1]:g}"
        given = {"d": way, "fill": "none", "stroke": _css(colour), "stroke-width": f"{width:.1f}", "stroke-opacity": "0.55"}
        ElementTree.SubElement(self.root, "path", given | ({"stroke-dasharray": "8 5"} if dashed else {}))


def _place(node: TreeNode, x: float, top: float, height: float, row: float, level: int) -> tuple[_Placed, float]:
    """The node in the middle of its children's rows, and the first row below them."""
    step = height + ROW_GAP
    if not node.children:
        return _Placed(node, level, x, top + row * step, []), row + 1
    children = []
    for child in node.children:
        placed, row = _place(child, x + CARD_WIDTH + COLUMN_GAP, top, height, row, level + 1)
        children.append(placed)
    return _Placed(node, level, x, (children[0].y + children[-1].y) / 2, children), row


def _all(placed: _Placed) -> list[_Placed]:
    return [placed, *(one for child in placed.children for one in _all(child))]


def _card_height(root: TreeNode, exemplars: Exemplars) -> int:
    shown = any(exemplars(node.branch.last) for node in root.nodes())
    return 2 * PAD + 2 * LINE + PICTURE + (GAP + SMALL if shown else 0)


def _draw_image(
    page: _Page,
    root: _Placed,
    image: UInt8[np.ndarray, "height width channel"],
    predictions: Sequence[Prediction],
    start: float,
    images: int,
    warning: str,
) -> None:
    scale = min(IMAGE / image.shape[1], IMAGE / image.shape[0])
    page.picture(MARGIN, start, (IMAGE, IMAGE), to_image(image), "the image as the network sees it")
    left, top = ((IMAGE - side * scale) / 2 for side in (image.shape[1], image.shape[0]))
    for one in reversed(_all(root)):
        x0, y0, x1, y1 = (side * scale for side in focus(one.node.picture.values))
        colour = page.theme.accent if one is root else page.theme.ground
        page.rectangle(MARGIN + left + x0, start + top + y0, x1 - x0, y1 - y0, None, stroke=colour)
    y = float(start + IMAGE + LINE // 2)
    for prediction in predictions:
        share = 0.0 if np.isnan(prediction.probability) else prediction.probability
        page.rectangle(MARGIN, y + 2, max(1.0, BAR * share), LINE - 4, page.theme.accent)
        page.write(MARGIN + BAR + GAP, y, shortened(prediction.label, LONGEST_LABEL), title=prediction.label)
        page.write(MARGIN + IMAGE, y, said(prediction), colour=page.theme.muted, end=True)
        y += LINE
    y += LINE / 2
    told = [mean_of(images)] if images > 1 else []
    told += [f"pictures: {root.node.picture.method}; edges: share of what makes the unit", "frames: the places of the pictures"]
    told += warning.split(": ") if warning else []
    for line, words in enumerate(told):
        page.write(MARGIN, y + line * LINE, words, colour=page.theme.muted, size=SMALL_TEXT)


def mean_of(images: int) -> str:
    """What all of a tree is where several images are shown at once."""
    return f"the mean over {images} images"


def _share(placed: _Placed) -> float:
    return 0.0 if placed.node.contribution is None else placed.node.contribution.share


def _draw_edge(page: _Page, parent: _Placed, child: _Placed, height: float, strength: float) -> None:
    """`strength` is the child's share over that of the strongest of its siblings."""
    given, share = child.node.contribution, _share(child)
    colour = page.theme.accent if share >= 0 else AGAINST
    width = max(THINNEST_EDGE, WIDEST_EDGE * strength)
    start, end = (parent.x + CARD_WIDTH, parent.y + height / 2), (child.x, child.y + height / 2)
    page.curve(start, end, colour, width, dashed=given is not None and given.bypasses)
    sign = "+" if share > 0 else ""
    page.write(child.x - GAP, end[1] - TEXT - 5, sign + percent(share), colour=colour, bold=True, end=True, halo=True)


def _draw_card(
    page: _Page,
    one: _Placed,
    height: float,
    image: UInt8[np.ndarray, "height width channel"],
    exemplars: Sequence[Image.Image],
) -> None:
    node, theme = one.node, page.theme
    page.rectangle(one.x, one.y, CARD_WIDTH, height, theme.panel, stroke=theme.line, round=6)
    x, y = one.x + PAD, one.y + PAD
    address = str(node.branch.last)
    page.write(x, y, _ending(address, LONGEST_ADDRESS), mono=True, bold=True, title=address)
    y += LINE
    facts = _facts(node)
    page.write(x, y, shortened(facts, LONGEST_FACTS), colour=theme.muted, size=SMALL_TEXT, title=facts)
    y += LINE
    x0, y0, x1, y1 = focus(node.picture.values)
    picture = to_image(signed(node.picture.values[y0:y1, x0:x1].astype(np.float64)))
    beside = x + PICTURE + GAP
    page.picture(x, y, (PICTURE, PICTURE), to_image(image[y0:y1, x0:x1]), "the same place of the image")
    page.picture(beside, y, (PICTURE, PICTURE), picture, f"{address} by {node.picture.method}")
    if not node.picture.values.any():
        for line, words in enumerate(("nothing by", node.picture.method)):
            page.write(beside + PAD, y + PICTURE / 2 + (line - 1) * LINE, words, colour=ON_GREY, size=SMALL_TEXT)
    y += PICTURE + GAP
    for number_, exemplar in enumerate(exemplars):
        page.picture(x + number_ * (SMALL + GAP), y, (SMALL, SMALL), exemplar, f"exemplar {number_ + 1} of {address}")


def _facts(node: TreeNode) -> str:
    if node.off:
        return off(node)
    given = node.contribution
    if given is not None and given.bypasses:  # no room for its activation beside that
        return f"gives {number(given.contribution)}  ·  over a skip"
    facts = [f"activation {number(node.activation)}"]
    if given is not None:
        facts.append(f"gives {number(given.contribution)}")
    return "  ·  ".join(facts)


def focus(values: Float32[np.ndarray, "height width channel"]) -> Box:
    """A square, as far as the picture allows, around where it is: outside there is little of its magnitude.

    All of it where it is nothing. Small ones are kept at `LEAST_SIDE`, so that one sees where one is.
    """
    height, width = values.shape[:2]
    magnitude = np.abs(values).sum(2, dtype=np.float64)
    total = magnitude.sum()
    if not total > 0:
        return 0, 0, width, height
    (x0, x1), (y0, y1) = (_middle(np.cumsum(magnitude.sum(axis)) / total) for axis in (0, 1))
    side = max(x1 - x0, y1 - y0, LEAST_SIDE)
    left, top = (_start((low + high - side) / 2, side, size) for low, high, size in ((x0, x1, width), (y0, y1, height)))
    return left, top, min(width, left + side), min(height, top + side)


def _middle(cumulated: Float64[np.ndarray, " place"]) -> tuple[int, int]:
    """From where to where the middle of it is, an equal little being left out at each end."""
    return int(np.searchsorted(cumulated, LEFT_OUT)), int(np.searchsorted(cumulated, 1 - LEFT_OUT)) + 1


def _start(wanted: float, side: int, size: int) -> int:
    return max(0, min(round(wanted), size - side))


def _ending(text: str, most: int) -> str:
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
