"""Units and layers as matplotlib figures, for notebooks and papers; the only module that knows matplotlib.

Figures are made without pyplot: nothing global changes, nothing has to be closed, and a notebook draws a figure once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from torchlurk.errors import MissingExtraError
from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Box, Class, Layer, Ranking, UnitRecord
from torchlurk.rendering import boxes, labels
from torchlurk.rendering.charts import BINS
from torchlurk.rendering.colour import LIGHT, Colour
from torchlurk.rendering.contact_sheet import EXEMPLAR_ROWS, Picture
from torchlurk.rendering.marked_text import Line, Piece, excerpt
from torchlurk.rendering.marks import Look, Marks, look, scale_of
from torchlurk.rendering.sequences import Shown, shown_of
from torchlurk.rendering.series_lines import Range, ranges_of
from torchlurk.rendering.sprites import best_boxes, sprite_sheet
from torchlurk.rendering.steps import separator
from torchlurk.rendering.text import Steps, shortened
from torchlurk.rendering.typography import clean
from torchlurk.units import Unit

try:
    from matplotlib import patheffects
    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as error:
    raise MissingExtraError(f"plotting needs matplotlib ({error})", "pip install 'torchlurk[plot]'") from error

MOST_EXEMPLARS = 9
LABEL_COLUMNS = 22
NAME_COLUMNS, PATH_COLUMNS = 20, 40
LAYER_COLUMNS = 16
SMALL, MEDIUM, LARGE = 7.5, 9.0, 14.0

# Lengths in inches.
MARGIN = 0.3
GAP = 0.1
TILE = 1.15
LOWEST_TILE, HIGHEST_TILE = TILE / 4, 2 * TILE
HEADER = 0.85
LINE = 0.25
TITLE = 0.22
CAPTION = 0.5
CHART = 2.6
CHART_LABELS = 1.35
LAYER_TILE = 0.5
TEXT_CELLS = 120
TEXT_LINES = 2
TEXT_LINE = 0.2
TOGETHER = 6
ADVANCE = 0.602
"""Of a character of matplotlib's own monospaced face, by its size."""
SERIES_ACROSS, SERIES_HIGH = 3, 1.5
BAND = 0.6
"""Of a channel's height."""
SCREEN_DOTS = 100
"""Dots an inch, on a screen: decides whether a picture is shown as squares of its pixels."""


class PictureFigure(Figure):
    """A matplotlib figure that a notebook draws by itself, whatever its backend."""

    def _repr_png_(self) -> bytes:
        target = BytesIO()
        self.savefig(target, format="png")
        return target.getvalue()


def plot_unit(record: UnitRecord, classes: Sequence[Class], picture: Picture, *, most: int = MOST_EXEMPLARS) -> PictureFigure:
    """The unit's exemplars with their boxes, its strongest classes, and the histogram of its responses.

    Boxes are in pixels of what `picture` gives. At most `most` exemplars of each kind are shown; what the record
    does not hold is left out.
    """
    shown = {kind: record.exemplars[kind][:most] for kind in EXEMPLAR_ROWS if record.exemplars.get(kind)}
    pictures = {one.example: picture(one.example) for row in shown.values() for one in row}
    charts = _chart_kinds(record, classes)
    tile = _tile_height(pictures.values())
    row = TITLE + tile + CAPTION
    across = most * TILE + (most - 1) * GAP
    figure = PictureFigure(
        figsize=(across + 2 * MARGIN, 2 * MARGIN + HEADER + row * len(shown) + (TITLE + CHART) * bool(charts))
    )
    _header(figure, record)
    for index, (kind, exemplars) in enumerate(shown.items()):
        top = MARGIN + HEADER + index * row
        _write(figure, MARGIN, top, EXEMPLAR_ROWS[kind], MEDIUM, weight="bold")
        for column, exemplar in enumerate(exemplars):
            left = MARGIN + column * (TILE + GAP)
            axes = _axes(figure, left, top + TITLE, TILE, tile)
            _show(axes, pictures[exemplar.example], exemplar.box)
            below = f"{exemplar.rank + 1}   {labels.number(exemplar.score)}"
            below += "" if exemplar.recall is None else f"   recall {labels.percent(exemplar.recall)}"
            caption = f"{below}\n{shortened(labels.exemplar_name(exemplar), NAME_COLUMNS)}"
            _write(figure, left, top + TITLE + tile + GAP / 2, caption, SMALL)
    _draw_charts(figure, record, classes, charts, across, MARGIN + HEADER + len(shown) * row + TITLE)
    return figure


def plot_layer(
    layer: Layer,
    by_max: Ranking,
    picture: Picture,
    input_size: tuple[int, int],
    *,
    columns: int = LAYER_COLUMNS,
) -> PictureFigure:
    """The box of each unit's strongest example: the unit's channel is the row's number plus the column's.

    `input_size` is (height, width) of the network's input, whose pixels the boxes are in.
    """
    crops = best_boxes(by_max, picture, input_size)
    sheet = sprite_sheet(crops, columns=columns)
    rows = max(1, -(-len(crops) // columns))
    width, height = LAYER_TILE * columns, LAYER_TILE * rows
    figure = PictureFigure(figsize=(width + 3 * MARGIN, height + 3 * MARGIN + LINE))
    _write(figure, MARGIN, MARGIN, f"{layer.name}   {layer.channels:,} units", MEDIUM, family="monospace")
    axes = _axes(figure, 2 * MARGIN, 2 * MARGIN + LINE, width, height)
    axes.imshow(np.asarray(sheet), extent=(0, columns, rows, 0), aspect="auto")
    axes.vlines(range(columns + 1), 0, rows, color="white", linewidth=2)
    axes.hlines(range(rows + 1), 0, columns, color="white", linewidth=2)
    axes.xaxis.tick_top()
    axes.set_xticks([column + 0.5 for column in range(columns)], [str(column) for column in range(columns)])
    axes.set_yticks([row + 0.5 for row in range(rows)], [str(row * columns) for row in range(rows)])
    axes.tick_params(length=0, labelsize=SMALL)
    axes.set_frame_on(False)
    return figure


def plot_steps(
    record: UnitRecord, classes: Sequence[Class], steps: Steps, examples: str, *, most: int = MOST_EXEMPLARS
) -> PictureFigure:
    """The unit's exemplars among texts or series with its value at each step, its strongest classes, and its responses.

    `examples` is the word for what the data are. All of the figure has one scale of colours.
    """
    scale = scale_of(steps.traces.values())
    rows = {kind: shown_of(record.exemplars[kind][:most], steps) for kind in EXEMPLAR_ROWS if record.exemplars.get(kind)}
    ranges = ranges_of(one for one in steps.examples.values() if isinstance(one, SeriesExample))
    columns, high = (SERIES_ACROSS, SERIES_HIGH) if ranges else (1, TEXT_LINES * TEXT_LINE)
    tall = {kind: TITLE + -(-len(shown) // columns) * (high + LINE + GAP) for kind, shown in rows.items()}
    charts = _chart_kinds(record, classes)
    across = MOST_EXEMPLARS * TILE + (MOST_EXEMPLARS - 1) * GAP
    wide = (across - (columns - 1) * 2 * GAP) / columns
    bottom = (TITLE + CHART) * bool(charts)
    figure = PictureFigure(figsize=(across + 2 * MARGIN, 2 * MARGIN + HEADER + LINE + sum(tall.values()) + bottom))
    _header(figure, record)
    words = f"colours: {labels.number(-scale)} (red) to {labels.number(scale)} (blue); marked: the strongest step"
    _write(figure, MARGIN, MARGIN + HEADER - LINE / 2, words if steps.traces else "", SMALL, colour=LIGHT.muted)
    top = MARGIN + HEADER + LINE
    for kind, shown in rows.items():
        _write(figure, MARGIN, top, EXEMPLAR_ROWS[kind], MEDIUM, weight="bold")
        apart = separator([one.content for one in shown if isinstance(one.content, TextExample)])
        for index, one in enumerate(shown):
            left = MARGIN + index % columns * (wide + 2 * GAP)
            above = top + TITLE + index // columns * (high + LINE + GAP)
            _write(figure, left, above, _step_caption(one), SMALL)
            _draw_steps(_axes(figure, left, above + LINE * 0.8, wide, high), one, scale, apart, ranges, wide)
        top += tall[kind]
    _draw_charts(figure, record, classes, charts, across, top + TITLE, examples)
    return figure


def _draw_steps(axes: Axes, one: Shown, scale: float, apart: str, ranges: Sequence[Range], wide: float) -> None:
    """An exemplar's text or series; nothing where the study does not hold it."""
    axes.set_axis_off()
    if isinstance(one.content, TextExample) and one.marks is not None:
        _draw_text(axes, one.content, one.marks, scale, apart, wide)
    elif isinstance(one.content, SeriesExample) and one.marks is not None:
        _draw_series(axes, one.content, one.marks, scale, ranges)


def _step_caption(one: Shown) -> str:
    exemplar = one.exemplar
    name = shortened(exemplar.path or f"example {exemplar.example}", PATH_COLUMNS)
    label = [shortened(exemplar.class_label, NAME_COLUMNS)] if exemplar.class_label else []
    return "   ".join([str(exemplar.rank + 1), labels.number(exemplar.score), *filter(None, [one.step]), *label, name])


def _draw_text(axes: Axes, text: TextExample, marks: Marks, scale: float, apart: str, wide: float) -> None:
    """The text around the strongest step, a cell a character."""
    axes.set_xlim(0, TEXT_CELLS)
    axes.set_ylim(TEXT_LINES, 0)
    blocks: list[Rectangle] = []
    for row, line in enumerate(excerpt(text, marks.centre, TEXT_CELLS, TEXT_LINES, apart=apart)):
        looks = [Look(LIGHT.muted) if one.step is None else look(marks, one.step, scale, LIGHT) for one in line]
        for piece, shown in zip(line, looks, strict=True):
            strongest = piece.step is not None and marks.is_strongest(piece.step)
            blocks += _blocks(piece, shown, row, strongest=strongest)
        for column, words, ink in _words(line, looks):
            size = wide / TEXT_CELLS / ADVANCE * 72
            axes.text(column, row + 0.7, words, fontsize=size, family="monospace", color=_rgb(ink), parse_math=False, zorder=3)
    axes.add_collection(PatchCollection(blocks, match_original=True, zorder=2), autolim=False)


def _blocks(piece: Piece, shown: Look, row: int, *, strongest: bool) -> list[Rectangle]:
    """The ground of a piece of text, the line beneath it and its outline, as far as it has them."""
    found = []
    if shown.ground is not None:
        found.append(Rectangle((piece.column, row + 0.08), piece.columns, 0.84, facecolor=_rgb(shown.ground), linewidth=0))
    if shown.line is not None:
        found.append(Rectangle((piece.column, row + 0.84), piece.columns, 0.08, facecolor=_rgb(shown.line), linewidth=0))
    if strongest:
        edge = _rgb(LIGHT.ink)
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
    axes.add_patch(Rectangle((first, 0), last - first, channels, facecolor=_rgb(LIGHT.panel), linewidth=0))
    for start, stop in ((0, marks.counted[0]), (marks.counted[1], steps)):
        axes.add_patch(Rectangle((start, 0), stop - start, channels, facecolor=_rgb(LIGHT.line), linewidth=0))
    if marks.strongest is not None:
        axes.axvline(sum(marks.strongest) / 2, color=_rgb(LIGHT.accent), alpha=0.5, linewidth=2)
    for channel in range(channels):
        low, high = ranges[channel]
        shares = (series.values[:, channel].astype(np.float64) - low) / ((high - low) or 1.0)
        heights = channel + 0.9 - 0.8 * np.where(np.isfinite(shares), shares, np.nan)
        axes.plot(np.arange(steps) + 0.5, heights, color=_rgb(LIGHT.ink), linewidth=0.8, marker="." if steps == 1 else "")
    colours = [
        _rgb(shown.ground or shown.line or LIGHT.ground) for shown in (look(marks, t, scale, LIGHT) for t in range(steps))
    ]
    if np.isfinite(marks.values).any():
        axes.imshow([colours], extent=(0, steps, channels + BAND, channels + BAND / 4), aspect="auto", interpolation="nearest")


def _draw_charts(
    figure: Figure,
    record: UnitRecord,
    classes: Sequence[Class],
    charts: Sequence[str],
    across: float,
    top: float,
    examples: str = "images",
) -> None:
    """Class bars and the histogram beside each other, from `top` on."""
    width = (across + GAP) / max(1, len(charts))
    for column, kind in enumerate(charts):
        margin = GAP * 4 if kind == "sample" else CHART_LABELS
        axes = _axes(figure, MARGIN + column * width + margin, top, width - margin - GAP, CHART - LINE)
        if kind == "sample":
            _histogram(axes, record, examples)
        else:
            _class_bars(axes, record, kind, classes)


def _chart_kinds(record: UnitRecord, classes: Sequence[Class]) -> list[str]:
    kinds = [kind for kind in ("max", "mean") if kind in record.classes and labels.top_classes(record.classes[kind], classes)]
    return [*kinds, "sample"] if np.isfinite(record.sample).any() else kinds


def _tile_height(pictures: Iterable[Image.Image | None]) -> float:
    first = next((image for image in pictures if image is not None), None)
    return TILE if first is None else min(HIGHEST_TILE, max(LOWEST_TILE, TILE * first.height / first.width))


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at that place, in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _write(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    size: float,
    *,
    weight: str = "normal",
    family: str = "sans-serif",
    colour: Colour = LIGHT.ink,
) -> None:
    """Text with its upper left corner at that place, in inches from the figure's; never read as a formula."""
    across, down = figure.get_size_inches()
    figure.text(
        left / across,
        1 - top / down,
        text,
        fontsize=size,
        weight=weight,
        family=family,
        color=_rgb(colour),
        va="top",
        parse_math=False,
    )


def _header(figure: Figure, record: UnitRecord) -> None:
    address = str(Unit(record.layer.name, record.channel)) + ("   dead" if record.dead else "")
    _write(figure, MARGIN, MARGIN, address, LARGE, family="monospace")
    _write(figure, MARGIN, MARGIN + LINE * 1.1, "  ·  ".join(labels.layer_facts(record.layer)), MEDIUM, colour=LIGHT.muted)
    values = "     ".join(f"{name} {value}" for name, value in labels.statistics(record.statistics))
    _write(figure, MARGIN, MARGIN + LINE * 2, values, MEDIUM)


def _show(axes: Axes, image: Image.Image | None, box: Box | None) -> None:
    """The picture, its pixels as squares where they are few, and the outline of the box where it is less than all."""
    axes.set_axis_off()
    if image is None:
        axes.text(0.5, 0.5, "no picture", transform=axes.transAxes, fontsize=SMALL, ha="center", va="center")
        return
    few = max(image.size) * boxes.PIXELS_FROM <= TILE * SCREEN_DOTS
    extent = (0, image.width, image.height, 0)
    axes.imshow(np.asarray(image.convert("RGB")), extent=extent, interpolation="nearest" if few else "antialiased")
    axes.set_anchor("NW")
    if box is not None and boxes.is_part(box, image.size):
        x0, y0, x1, y1 = box
        edge = [patheffects.Stroke(linewidth=3.0, foreground="black"), patheffects.Normal()]
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.5, path_effects=edge)
        axes.add_patch(frame)
        frame.set_clip_on(False)  # a box at the picture's border keeps its whole line


def _class_bars(axes: Axes, record: UnitRecord, kind: str, classes: Sequence[Class]) -> None:
    top = labels.top_classes(record.classes[kind], classes)
    rows = np.arange(len(top))
    axes.barh(rows, [value for _, value in top], color=_rgb(LIGHT.accent))
    axes.set_yticks(rows, [shortened(one.label, LABEL_COLUMNS) for one, _ in top], fontsize=SMALL, parse_math=False)
    axes.invert_yaxis()
    _plain(axes, f"Classes by mean of the {'maximum' if kind == 'max' else 'mean'}")


def _histogram(axes: Axes, record: UnitRecord, examples: str) -> None:
    axes.hist(record.sample[np.isfinite(record.sample)], bins=BINS, color=_rgb(LIGHT.accent))
    _plain(axes, f"Responses: maximum on {int(np.isfinite(record.sample).sum()):,} {examples}")


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=MEDIUM, fontweight="bold", loc="left")
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _rgb(colour: Colour) -> tuple[float, ...]:
    return tuple(value / 255 for value in colour)
