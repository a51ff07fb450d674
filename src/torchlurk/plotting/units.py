"""Units as figures: exemplars, classes, responses, and of texts what they know."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.plotting.charts import Chart, bars, charts_height, draw_charts, histogram
from torchlurk.plotting.figures import (
    ACROSS,
    GAP,
    HEADER,
    LARGE,
    LINE,
    MARGIN,
    MEDIUM,
    SMALL,
    TILE,
    TILE_COLUMNS,
    TILES,
    TITLE,
    PictureFigure,
    axes_at,
    write,
)
from torchlurk.plotting.knowledge import unit_knowledge
from torchlurk.plotting.pictures import show_picture, tile_height
from torchlurk.plotting.steps import (
    SERIES_ACROSS,
    SERIES_HIGH,
    TEXT_LINE,
    TEXT_LINES,
    draw_steps,
    step_caption,
)
from torchlurk.records import Class, Exemplar, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT
from torchlurk.rendering.contact_sheet import EXEMPLAR_ROWS, Picture
from torchlurk.rendering.low_end import LOWEST, beside_lowest, lowest_places
from torchlurk.rendering.marks import scale_of
from torchlurk.rendering.series_lines import ranges_of
from torchlurk.rendering.shown import shown_of
from torchlurk.rendering.steps import separator
from torchlurk.rendering.text import Steps, shortened
from torchlurk.units import Unit

CAPTION, THIRD_LINE = 0.5, 0.12
"""Inches below a tile for two lines, and for one more."""
FACTS_COLUMNS = 140
"""Characters of statistics in one line."""


def plot_unit(record: UnitRecord, classes: Sequence[Class], picture: Picture) -> PictureFigure:
    """The unit's exemplars with their boxes, its strongest classes, and the histogram of its responses.

    Boxes are in pixels of what `picture` gives. What the record does not hold is left out.
    """
    record = labels.without_repeats(record)
    shown = {kind: record.exemplars[kind][:TILES] for kind in EXEMPLAR_ROWS if record.exemplars.get(kind)}
    pictures = {one.example: picture(one.example) for row in shown.values() for one in row}
    charts = _charts(record, classes, "images")
    tile = tile_height(pictures.values())
    rows = {kind: TITLE + tile + CAPTION + THIRD_LINE * _recalled(row) for kind, row in shown.items()}
    facts = _statistics(record)
    above = MARGIN + HEADER + (len(facts) - 1) * LINE
    figure = PictureFigure(figsize=(ACROSS + 2 * MARGIN, above + sum(rows.values()) + charts_height(charts) + MARGIN))
    _header(figure, record, facts)
    top = above
    for kind, exemplars in shown.items():
        write(
            figure,
            MARGIN,
            top,
            labels.title_of(EXEMPLAR_ROWS[kind], kind, record.layer, exemplars=exemplars),
            MEDIUM,
            weight="bold",
        )
        for column, exemplar in enumerate(exemplars):
            left = MARGIN + column * (TILE + GAP)
            axes = axes_at(figure, left, top + TITLE, TILE, tile)
            show_picture(axes, pictures[exemplar.example], exemplar.box)
            write(figure, left, top + TITLE + tile + GAP / 2, _caption(exemplar), SMALL)
        top += rows[kind]
    draw_charts(figure, charts, top)
    return figure


def plot_steps(record: UnitRecord, classes: Sequence[Class], steps: Steps, examples: str) -> PictureFigure:
    """The unit's exemplars among texts or series with its value at each step, what it knows, its strongest
    classes, and its responses.

    `examples` is the word for what the data are. All of the figure has one scale of colours.
    """
    record, scale = labels.without_repeats(record), scale_of(steps.traces.values())
    ranked = {
        labels.title_of(title, kind, record.layer, steps.least, exemplars): exemplars
        for kind, title in EXEMPLAR_ROWS.items()
        if (exemplars := record.exemplars.get(kind))
    }
    if places := lowest_places(record, steps.examples, steps.traces):
        ranked[f"{LOWEST} ({beside_lowest(record)})"] = places
    rows = {title: shown_of(exemplars[:TILES], steps) for title, exemplars in ranked.items()}
    ranges = ranges_of(one for one in steps.examples.values() if isinstance(one, SeriesExample))
    columns, high = (SERIES_ACROSS, SERIES_HIGH) if ranges else (1, TEXT_LINES * TEXT_LINE)
    tall = {title: TITLE + -(-len(shown) // columns) * (high + LINE + GAP) for title, shown in rows.items()}
    charts = _charts(record, classes, examples)
    wide = (ACROSS - (columns - 1) * 2 * GAP) / columns
    facts = _statistics(record)
    top = MARGIN + HEADER + len(facts) * LINE
    figure = PictureFigure(figsize=(ACROSS + 2 * MARGIN, top + sum(tall.values()) + charts_height(charts) + MARGIN))
    _header(figure, record, facts)
    words = f"colours: {labels.number(-scale)} (orange) to {labels.number(scale)} (blue); marked: the strongest step"
    write(figure, MARGIN, top - LINE * 1.5, words if steps.traces else "", SMALL, colour=LIGHT.muted)
    for title, shown in rows.items():
        write(figure, MARGIN, top, title, MEDIUM, weight="bold")
        apart = separator([one.content for one in shown if isinstance(one.content, TextExample)])
        for index, one in enumerate(shown):
            left = MARGIN + index % columns * (wide + 2 * GAP)
            above = top + TITLE + index // columns * (high + LINE + GAP)
            write(figure, left, above, step_caption(one), SMALL)
            draw_steps(axes_at(figure, left, above + LINE * 0.8, wide, high), one, scale, apart, ranges, wide)
        top += tall[title]
    draw_charts(figure, charts, top)
    return figure


def _header(figure: Figure, record: UnitRecord, facts: Sequence[str]) -> None:
    address = str(Unit(record.layer.name, record.channel)) + ("   dead" if record.dead else "")
    write(figure, MARGIN, MARGIN, address, LARGE, family="monospace")
    write(figure, MARGIN, MARGIN + LINE * 1.1, "  ·  ".join(labels.unit_facts(record)), MEDIUM, colour=LIGHT.muted)
    for line, words in enumerate(facts):
        write(figure, MARGIN, MARGIN + LINE * (2 + line), words, MEDIUM)


def _statistics(record: UnitRecord) -> list[str]:
    """All statistics in lines, none of them divided between two."""
    bound = [f"{name} {value}".replace(" ", BOUND) for name, value in labels.statistics(record.statistics)]
    lines = textwrap.wrap("     ".join(bound), FACTS_COLUMNS, break_long_words=False, break_on_hyphens=False)
    return [line.replace(BOUND, " ") for line in lines]


BOUND = "\N{NO-BREAK SPACE}"


def _recalled(exemplars: Sequence[Exemplar]) -> bool:
    return any(one.recall is not None for one in exemplars)


def _caption(exemplar: Exemplar) -> str:
    recall = [] if exemplar.recall is None else [f"recall {labels.percent(exemplar.recall)}"]
    first = f"{exemplar.rank + 1}   {labels.number(exemplar.score)}"
    return "\n".join([first, shortened(labels.exemplar_name(exemplar), TILE_COLUMNS), *recall])


def _charts(record: UnitRecord, classes: Sequence[Class], examples: str) -> list[Chart]:
    """What it knows, its class means, its responses, as far as the record has them."""
    found = [unit_knowledge(record.knows)] if record.knows else []
    for kind, word in (("max", "maximum"), ("mean", "mean")):
        top = labels.top_classes(record.classes[kind], classes) if kind in record.classes else []
        if top:
            named = [(one.label, value) for one, value in top]
            found.append(Chart(f"Classes by mean of the {word}", partial(bars, values=named, unit="activation"), named=True))
    if known := int(np.isfinite(record.sample).sum()):
        title = f"Responses: maximum on {known:,} {examples}"
        found.append(Chart(title, lambda axes: histogram(axes, record.sample, "activation", examples)))
    return found
