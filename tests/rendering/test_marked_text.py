"""Text is laid out on cells around a step, and drawn with each token's ground in its own cells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.input_records import TextExample
from torchlurk.rendering.colour import DARK, LIGHT, Theme
from torchlurk.rendering.marked_text import (
    BASELINE,
    CELL_BOTTOM,
    CELL_TOP,
    LINE_HEIGHT,
    OUTLINE,
    cell_width,
    draw_lines,
    excerpt,
)
from torchlurk.rendering.marks import Marks
from torchlurk.rendering.text import display_columns


def text(*tokens: str) -> TextExample:
    return TextExample(tokens, (), (0, len(tokens)))


def written(lines: object) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines]


def test_a_text_that_fits_is_whole_and_broken_into_lines() -> None:
    lines = excerpt(text(*"one two three"), 4, 5, 3)
    assert written(lines) == ["one t", "wo th", "ree"]
    assert [(piece.step, piece.column) for piece in lines[1]] == [(5, 0), (6, 1), (7, 2), (8, 3), (9, 4)]


def test_a_longer_text_is_cut_around_the_step_with_ellipses() -> None:
    (line,) = excerpt(text(*"abcdefghijklmnopqrstuvwxyz"), 12, 9, 1)
    assert written([line]) == ["…jklmnop…"]
    assert written(excerpt(text(*"abcdefghijklmnopqrstuvwxyz"), 1, 9, 1)) == ["abcdefg…"]
    assert written(excerpt(text(*"abcdefghijklmnopqrstuvwxyz"), 25, 9, 1)) == ["…tuvwxyz"]


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert written(excerpt(text("a\n", "\t", "", "\x07", "\u202e"), 0, 40, 1)) == ["a↵→∅��"]


def test_words_stand_apart_and_what_is_between_them_is_of_no_step() -> None:
    (line,) = excerpt(text("the", "cat"), 0, 40, 1, apart=" ")
    assert [(piece.text, piece.step, piece.column) for piece in line] == [("the", 0, 0), (" ", None, 3), ("cat", 1, 4)]


def test_wide_characters_take_two_cells_and_combining_marks_none() -> None:
    (line,) = excerpt(text("キ", "x\u0323", "z"), 0, 40, 1)
    assert [(piece.column, piece.columns) for piece in line] == [(0, 2), (2, 1), (3, 1)]


def test_a_mark_that_is_a_token_of_its_own_stands_on_a_dotted_circle_and_is_drawn() -> None:
    tokens = text("e", "\u0301", "\u05d0", "\u05b8\u05b0")
    lines = excerpt(tokens, 0, 4, 2)
    assert [piece.columns for line in lines for piece in line] == [1] * 4
    assert [piece.text[0] for line in lines for piece in line] == ["e", "\u25cc", "\u05d0", "\u25cc"]
    draw_lines(lines, 4, Marks(np.full(4, np.nan, np.float32), (0, 0)), 1.0)


def test_a_token_longer_than_all_of_it_is_shown_from_its_beginning() -> None:
    assert written(excerpt(text("a", "b" * 99, "c"), 1, 5, 2)) == ["…bbbb", "bbbbb"]


def test_an_empty_text_has_no_lines() -> None:
    assert excerpt(text(), 0, 40, 3) == ()


@pytest.mark.slow
@given(st.lists(st.text(max_size=6), max_size=30), st.integers(0, 40), st.integers(2, 20), st.integers(1, 4))
def test_no_line_is_wider_and_the_step_is_always_in(tokens: list[str], centre: int, columns: int, lines: int) -> None:
    found = excerpt(text(*tokens), centre, columns, lines)
    assert len(found) <= lines
    for line in found:
        assert sum(piece.columns for piece in line) <= columns
        assert all(one.column + one.columns == other.column for one, other in pairwise(line))
    if tokens and columns * lines > 8:
        assert min(centre, len(tokens) - 1) in {piece.step for line in found for piece in line}
    steps = [piece.step for line in found for piece in line if piece.step is not None]
    assert steps == sorted(steps)
    assert all(display_columns(piece.text) == piece.columns for line in found for piece in line)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_each_ground_is_in_its_own_cells_and_the_strongest_is_outlined(theme: Theme) -> None:
    marks = Marks(np.array([1, -1, 0, 1, 1], np.float32), (0, 4), reach=(0, 3), strongest=(1, 2))
    lines = excerpt(text(*"     "), 0, 3, 2)
    pixels = np.asarray(draw_lines(lines, 3, marks, 1.0, theme))
    cell = cell_width()

    def ground(row: int, column: int, y: int = CELL_TOP + 3) -> tuple[int, ...]:
        return tuple(pixels[row * LINE_HEIGHT + y, OUTLINE + column * cell + cell // 2])

    assert [ground(0, column) for column in range(3)] == [theme.accent, theme.opposite, theme.ground]
    assert ground(1, 0) == theme.ground, "what was not seen has no ground"
    assert ground(1, 0, CELL_BOTTOM - 1) == theme.accent, "it has a line"
    assert ground(1, 1) == theme.panel, "burn-in is grey"
    left = OUTLINE + cell
    assert tuple(pixels[CELL_TOP + 4, left - 1]) == tuple(pixels[CELL_TOP + 4, left + cell]) == theme.ink


def test_characters_keep_to_their_cells() -> None:
    marks = Marks(np.zeros(3, np.float32), (0, 3))
    pixels = np.asarray(draw_lines(excerpt(text(" ", "\n", " "), 0, 3, 1), 3, marks, 1.0))
    inked = np.flatnonzero((pixels[:BASELINE] != LIGHT.ground).any(axis=(0, 2)))
    assert OUTLINE + cell_width() - 1 <= inked.min()
    assert inked.max() <= OUTLINE + 2 * cell_width()
