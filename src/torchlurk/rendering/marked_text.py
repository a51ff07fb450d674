"""Text around a step, laid out on a grid of equal cells, and drawn with each token on the colour of a unit's value."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from PIL import Image, ImageDraw

from torchlurk.input_records import TextExample
from torchlurk.rendering.colour import LIGHT, Colour, Theme
from torchlurk.rendering.marks import Look, Marks, look
from torchlurk.rendering.steps import visible
from torchlurk.rendering.text import display_columns
from torchlurk.rendering.typography import ELLIPSIS, Style, width, write

TEXT = Style("address", 13)
SMALLER = tuple(Style(TEXT.face, size) for size in range(TEXT.size, 6, -1))
LINE_HEIGHT = 22
CELL_TOP, CELL_BOTTOM = 2, 20
"""Of the coloured ground, from the top of a line."""
BASELINE = 15
OUTLINE = 2
UNDERLINE = 2
NOTHING = "∅"
"""Stands for a token without characters."""
CARRIER = "\u25cc"
"""The dotted circle that carries a combining mark where a token begins with one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of one token beside each other on a line, from `column` on; `step` is None for what belongs to no token."""

    text: str
    step: int | None
    column: int
    columns: int


Line = tuple[Piece, ...]


def excerpt(text: TextExample, centre: int, columns: int, lines: int, *, apart: str = "") -> tuple[Line, ...]:
    """The token at a step with as much around it as `lines` of `columns` cells hold; an ellipsis where more is cut off.

    `apart` stands between tokens. A token that is longer than all of it is shown from its beginning.
    """
    tokens = text.tokens
    if not tokens:
        return ()
    start, stop = _range(tokens, min(max(centre, 0), len(tokens) - 1), columns, lines, apart)
    cells: list[tuple[str, int | None]] = [(ELLIPSIS, None)] if start > 0 else []
    for step in range(start, stop):
        cells += [(one, None) for one in apart] if step > start else []
        cells += [(one, step) for one in _clusters(tokens[step])]
    cells += [(ELLIPSIS, None)] if stop < len(tokens) else []
    return tuple(_line(line) for line in _wrapped(cells, columns, lines))


def draw_lines(lines: Sequence[Line], columns: int, marks: Marks, scale: float, theme: Theme = LIGHT) -> Image.Image:
    """The lines as a picture of `columns` cells: grounds first, then what is outlined, then the characters."""
    cell = cell_width()
    image = Image.new("RGB", (columns * cell + 2 * OUTLINE, max(1, len(lines)) * LINE_HEIGHT), theme.ground)
    draw = ImageDraw.Draw(image)
    pieces = [
        (row, piece, Look(theme.muted) if piece.step is None else look(marks, piece.step, scale, theme))
        for row, line in enumerate(lines)
        for piece in line
    ]
    for row, piece, shown in pieces:
        _ground(draw, _box(row, piece, cell), shown)
    for row, piece, _ in pieces:
        if piece.step is not None and marks.is_strongest(piece.step):
            x0, y0, x1, y1 = _box(row, piece, cell)
            draw.rectangle((x0 - OUTLINE, y0 - OUTLINE, x1 + OUTLINE, y1 + OUTLINE), outline=theme.ink, width=OUTLINE)
    for row, piece, shown in pieces:
        _write(draw, piece, row * LINE_HEIGHT + BASELINE, cell, shown.ink)
    return image


@lru_cache(maxsize=1)
def cell_width() -> int:
    """Pixels of a cell: what a character of the monospaced face advances."""
    return round(width("0", TEXT))


def _ground(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], shown: Look) -> None:
    x0, _, x1, y1 = box
    if shown.ground is not None:
        draw.rectangle(box, fill=shown.ground)
    elif shown.line is not None:
        draw.rectangle((x0, y1 - UNDERLINE + 1, x1, y1), fill=shown.line)


def _write(draw: ImageDraw.ImageDraw, piece: Piece, baseline: int, cell: int, ink: Colour) -> None:
    column = piece.column
    for run in _runs(piece.text):
        cells = display_columns(run)
        middle = OUTLINE + (column + cells / 2) * cell
        write(draw, (middle, baseline), run, _narrowed(run, cells * cell), ink, align="centre")
        column += cells


def _box(row: int, piece: Piece, cell: int) -> tuple[int, int, int, int]:
    """The pixels of a piece, the last ones included, as Pillow draws rectangles."""
    left, top = OUTLINE + piece.column * cell, row * LINE_HEIGHT
    return left, top + CELL_TOP, left + piece.columns * cell - 1, top + CELL_BOTTOM - 1


def _range(tokens: Sequence[str], centre: int, columns: int, lines: int, apart: str) -> tuple[int, int]:
    """The tokens that fit, half-open: as many cells before the centre as after it, or more where the other side ends."""
    room = columns * lines - (lines - 1)  # a wide character that does not fit leaves a cell at the end of its line

    def cost(step: int) -> int:
        return display_columns(_shown(tokens[step])) + len(apart)

    def fitting(steps: range, most: int) -> tuple[int, int]:
        """How many of the steps in that order fit, and how many cells they take."""
        taken = number = 0
        for step in steps:
            if taken + cost(step) > most:
                break
            taken, number = taken + cost(step), number + 1
        return number, taken

    room -= cost(centre)
    before, after = range(centre - 1, -1, -1), range(centre + 1, len(tokens))
    all_before, all_after = fitting(before, room), fitting(after, room)
    if all_before[0] == len(before) and all_after[0] == len(after) and all_before[1] + all_after[1] <= room:
        return 0, len(tokens)
    room -= 2  # for an ellipsis at either end
    left, taken = fitting(before, max(room // 2, room - all_after[1]))
    right, _ = fitting(after, room - taken)
    return centre - left, centre + 1 + right


def _wrapped(cells: Sequence[tuple[str, int | None]], columns: int, lines: int) -> list[list[tuple[str, int | None]]]:
    """The cells broken into lines; what a single token has too many is cut off."""
    found: list[list[tuple[str, int | None]]] = [[]]
    taken = 0
    for cluster, step in cells:
        wide = display_columns(cluster)
        if taken + wide > columns:
            if len(found) == lines:
                break
            found.append([])
            taken = 0
        found[-1].append((cluster, step))
        taken += wide
    return found


def _line(cells: Sequence[tuple[str, int | None]]) -> Line:
    pieces: list[Piece] = []
    column = 0
    for step, found in groupby(cells, key=lambda cell: cell[1]):
        text = "".join(cluster for cluster, _ in found)
        wide = display_columns(text)
        pieces.append(Piece(text, step, column, wide))
        column += wide
    return tuple(pieces)


def _shown(token: str) -> str:
    """The token in one line, in characters that take a cell or two, or none as combining marks do; never none at its start."""
    shown = unicodedata.normalize("NFC", visible(token)) or NOTHING
    return shown if display_columns(shown[0]) else CARRIER + shown


def _clusters(token: str) -> Iterator[str]:
    """Characters, each with the combining marks behind it."""
    cluster = ""
    for character in _shown(token):
        if cluster and not unicodedata.combining(character):
            yield cluster
            cluster = ""
        cluster += character
    yield cluster


@lru_cache(maxsize=4096)
def _narrowed(run: str, room: int) -> Style:
    """The style in which what is written leaves its cells as little as can be: other faces have wider characters."""
    return next((style for style in SMALLER if width(run, style) <= room), SMALLER[-1])


def _runs(text: str) -> Iterator[str]:
    """What may be written at once without leaving its cells: a run of ASCII, or one character of another script."""
    for ascii_only, run in groupby(text, key=str.isascii):
        if ascii_only:
            yield "".join(run)
        else:
            yield from _clusters("".join(run))
