"""Texts and series with a unit's value at each of their steps, on axes of a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.plotting.figures import rgb
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT, Colour
from torchlurk.rendering.marked_text import Line, Piece, excerpt
from torchlurk.rendering.marks import Look, Marks, look
from torchlurk.rendering.series_lines import Range
from torchlurk.rendering.shown import Shown
from torchlurk.rendering.text import shortened
from torchlurk.rendering.typography import clean

NAME_COLUMNS, PATH_COLUMNS = 20, 40
TEXT_CELLS = 120
TEXT_LINES = 2
TEXT_LINE = 0.2
TOGETHER = 6
ADVANCE = 0.602
"""Of a character of matplotlib's own monospaced face, by its size."""
SERIES_ACROSS, SERIES_HIGH = 3, 1.5
BAND = 0.6
"""Of a channel's height."""


def draw_steps(
    axes: Axes, one: Shown, scale: float, apart: str, ranges: Sequence[Range], wide: float, *, lines: int = TEXT_LINES
) -> None:
    """An exemplar's text or series; nothing where the study does not hold it."""
    axes.set_axis_off()
    if isinstance(one.content, TextExample) and one.marks is not None:
        _draw_text(axes, one.content, one.marks, scale, apart, wide, lines)
    elif isinstance(one.content, SeriesExample) and one.marks is not None:
        _draw_series(axes, one.content, one.marks, scale, ranges)


def step_caption(one: Shown) -> str:
    """Rank, score, step, class and name."""
    exemplar = one.exemplar
    name = shortened(one.place, PATH_COLUMNS)
    label = [shortened(exemplar.class_label, NAME_COLUMNS)] if exemplar.class_label else []
    return "   ".join([str(exemplar.rank + 1), labels.number(exemplar.score), *filter(None, [one.step]), *label, name])


def _draw_text(axes: Axes, text: TextExample, marks: Marks, scale: float, apart: str, wide: float, lines: int) -> None:
    """The text around the strongest step, a cell a character."""
    axes.set_xlim(0, TEXT_CELLS)
    axes.set_ylim(lines, 0)
    blocks: list[Rectangle] = []
    for row, line in enumerate(excerpt(text, marks.centre, TEXT_CELLS, lines, apart=apart)):
        looks = [Look(LIGHT.muted) if one.step is None else look(marks, one.step, scale, LIGHT) for one in line]
        for piece, shown in zip(line, looks, strict=True):
            strongest = piece.step is not None and marks.is_strongest(piece.step)
            blocks += _blocks(piece, shown, row, strongest=strongest)
        for column, words, ink in _words(line, looks):
            size = wide / TEXT_CELLS / ADVANCE * 72
            axes.text(column, row + 0.7, words, fontsize=size, family="monospace", color=rgb(ink), parse_math=False, zorder=3)
    axes.add_collection(PatchCollection(blocks, match_original=True, zorder=2), autolim=False)


def _blocks(piece: Piece, shown: Look, row: int, *, strongest: bool) -> list[Rectangle]:
    """The ground of a piece of text, the line beneath it and its outline, as far as it has them."""
    found = []
    if shown.ground is not None:
        found.append(Rectangle((piece.column, row + 0.08), piece.columns, 0.84, facecolor=rgb(shown.ground), linewidth=0))
    if shown.line is not None:
        found.append(Rectangle((piece.column, row + 0.84), piece.columns, 0.08, facecolor=rgb(shown.line), linewidth=0))
    if strongest:
        edge = rgb(LIGHT.ink)
        found.append(Rectangle((piece.column, row + 0.08), piece.columns, 0.84, fill=False, edgecolor=edge, linewidth=1.5))
    return found


def _words(line: Line, looks: Sequence[Look]) -> list[tuple[int, str, Colour]]:
    """What is written, from which column on, in which ink: neighbours of one ink together, as far as that keeps them in their
    cells, since characters advance by whole pixels and cells do not.
    """
    found: list[tuple[int, str, Colour]] = []
    whole = False
    for piece, shown in zip(line, looks, strict=True):
        single = len(piece.text) == piece.columns
        if found and whole and single and found[-1][2] == shown.ink and len(found[-1][1]) + piece.columns <= TOGETHER:
            column, before, ink = found[-1]
            found[-1] = (column, before + clean(piece.text), ink)
        else:
            found.append((piece.column, clean(piece.text), shown.ink))
        whole = single
    return [one for one in found if not one[1].isspace()]


def _draw_series(axes: Axes, series: SeriesExample, marks: Marks, scale: float, ranges: Sequence[Range]) -> None:
    """Channels below each other, each in its range; the values as a band beneath."""
    steps, channels = len(series.values), min(series.values.shape[1], len(ranges))
    axes.set_xlim(0, max(1, steps))
    axes.set_ylim(channels + BAND, 0)
    first, last = marks.reach or (0, steps)
    axes.add_patch(Rectangle((first, 0), last - first, channels, facecolor=rgb(LIGHT.panel), linewidth=0))
    for start, stop in ((0, marks.counted[0]), (marks.counted[1], steps)):
        axes.add_patch(Rectangle((start, 0), stop - start, channels, facecolor=rgb(LIGHT.line), linewidth=0))
    if marks.strongest is not None:
        axes.axvline(sum(marks.strongest) / 2, color=rgb(LIGHT.accent), alpha=0.5, linewidth=2)
    for channel in range(channels):
        low, high = ranges[channel]
        shares = (series.values[:, channel].astype(np.float64) - low) / ((high - low) or 1.0)
        heights = channel + 0.9 - 0.8 * np.where(np.isfinite(shares), shares, np.nan)
        axes.plot(np.arange(steps) + 0.5, heights, color=rgb(LIGHT.ink), linewidth=0.8, marker="." if steps == 1 else "")
    colours = [
        rgb(shown.ground or shown.line or LIGHT.ground) for shown in (look(marks, t, scale, LIGHT) for t in range(steps))
    ]
    if np.isfinite(marks.values).any():
        axes.imshow([colours], extent=(0, steps, channels + BAND, channels + BAND / 4), aspect="auto", interpolation="nearest")
