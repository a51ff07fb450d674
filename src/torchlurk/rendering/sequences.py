"""A unit's contact sheet and a layer's overview where the examples are texts or series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from torchlurk.input_records import SeriesExample, TextExample
from torchlurk.records import Class, Exemplar, Layer, Ranking, StepAttribution, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.colour import LIGHT, Theme, diverging
from torchlurk.rendering.contact_sheet import (
    CAPTION,
    CAPTION_LINE,
    CAPTION_SPACE,
    COLUMNS,
    CONTENT,
    EXEMPLAR_ROWS,
    GAP,
    MARGIN,
    NOTE,
    SCORE,
    SECTION_GAP,
    charts,
    framed,
    header,
    heading,
    row_note,
    stacked,
    titled,
)
from torchlurk.rendering.known_list import known_list
from torchlurk.rendering.low_end import LOWEST, beside_lowest, lowest_places
from torchlurk.rendering.marked_text import OUTLINE, cell_width, draw_lines, excerpt
from torchlurk.rendering.marks import marks_of, scale_of
from torchlurk.rendering.series_lines import MOST_CHANNELS, draw_series, names_width, ranges_of
from torchlurk.rendering.shown import Shown, best_exemplar, shown_of
from torchlurk.rendering.step_attributions import attributed_marks, scale_of_numbers
from torchlurk.rendering.step_words import evidence_of, last_steps_words
from torchlurk.rendering.steps import Content, separator
from torchlurk.rendering.text import Steps
from torchlurk.rendering.token_lists import token_lists
from torchlurk.rendering.typography import Style, fitted, width, write

CHANNEL = Style("address", 12)

FACTS = 230
TEXT_LINES = 3
TEXT_GAP = 14
TEXT_COLUMNS = 2
"""Of a layer's sheet."""
UNIT_FACTS = 112

SERIES_COLUMNS = 3
SERIES_HEIGHT = 168
"""Of all channels together, as far as each has at least `LEAST_CHANNEL` and at most `MOST_CHANNEL`."""
LEAST_CHANNEL, MOST_CHANNEL = 16, 48
SERIES_GAP = 24
SMALL_COLUMNS = 6
SMALL_HEIGHT = 72
LEAST_SMALL, MOST_SMALL = 4, 24

EXAMPLE_WIDTH, EXAMPLE_LINES = 768, 48

LEGEND_WIDTH, LEGEND_HEIGHT = 180, 14
LEGEND_LINE = 22


@dataclass(frozen=True, slots=True)
class Rows:
    """How one kind of sequence is drawn: its `noun`, the `words` of the legend, exemplars, units of a layer by their channels,
    how many of them are a few, and what is to be said of what is not drawn.
    """

    noun: str
    words: str
    exemplars: Callable[[Sequence[Shown], float, Theme], Image.Image]
    units: Callable[[Mapping[int, Shown], frozenset[int], float, Theme], Image.Image]
    few: int
    left_out: Callable[[Sequence[Shown]], str] = lambda shown: ""


def sequence_sheet(
    record: UnitRecord, classes: Sequence[Class], steps: Steps, rows: Rows, *, theme: Theme = LIGHT
) -> Image.Image:
    """The contact sheet of a unit on texts or series: as that on pictures, with the unit's values at each step as colours.

    All of the sheet has one scale of colours, told in a legend. What the record or `steps` do not hold is left out.
    """
    record, scale = labels.without_repeats(record), scale_of(steps.traces.values())
    legend = [_legend(scale, rows.words, theme)] if steps.traces else []
    parts = [stacked([heading(record, theme), *legend], GAP, theme), *known_list(record.knows, theme)]
    for kind, title in EXEMPLAR_ROWS.items():
        if exemplars := record.exemplars.get(kind, ()):
            shown = shown_of(exemplars[:COLUMNS], steps)
            told = [
                row_note(record, kind, COLUMNS, rows.left_out(shown), steps.least),
                _of_the_first(last_steps_words(exemplars[0])),
            ]
            note = "  ·  ".join(one for one in told if one)
            parts.append(titled(title, note, rows.exemplars(shown, scale, theme), theme))
            parts += _attributed(record, kind, shown, steps, rows, theme)
    if places := lowest_places(record, steps.examples, steps.traces):
        lowest = rows.exemplars(shown_of(places, steps), scale, theme)
        parts.append(titled(LOWEST, beside_lowest(record), lowest, theme))
    parts += token_lists(steps.tokens, theme)
    parts += charts(record, classes, theme, examples=rows.noun)
    return framed(stacked(parts, SECTION_GAP, theme), MARGIN, theme)


def _attributed(
    record: UnitRecord, kind: str, shown: Sequence[Shown], steps: Steps, rows: Rows, theme: Theme
) -> list[Image.Image]:
    """For each method, what excited the unit in its exemplars, on one scale of colours."""
    own = [one for one in steps.attributions if one.ranking == kind]
    parts = []
    for method in dict.fromkeys(one.method for one in own):
        by_rank = {one.rank: one for one in own if one.method == method}
        drawn = [_with_numbers(one, by_rank[one.exemplar.rank]) for one in shown if one.exemplar.rank in by_rank]
        scale = scale_of_numbers([by_rank[one.exemplar.rank] for one in drawn])
        told = _of_the_first(*evidence_of(by_rank[0], record.exemplars[kind][0])) if 0 in by_rank else ""
        parts.append(titled(f"What excited it, by {method}", told, rows.exemplars(drawn, scale, theme), theme))
    return parts


def _of_the_first(*evidence: str) -> str:
    """Evidence that holds for the first of the exemplars below; '' where there is none."""
    return f"of the first: {'  ·  '.join(evidence)}" if any(evidence) else ""


def _with_numbers(one: Shown, attribution: StepAttribution) -> Shown:
    if one.content is None or one.marks is None:
        return one
    return replace(one, marks=attributed_marks(one.marks, one.content, attribution), tints=attribution.values)


def sequence_layer_sheet(
    layer: Layer,
    best: Ranking,
    steps: Mapping[int, Steps],
    rows: Rows,
    *,
    dead: Sequence[int] = (),
    theme: Theme = LIGHT,
) -> Image.Image:
    """An overview of a layer: each unit's strongest step in its example, in order of channel, on one scale of colours.

    `steps` has, by channel, the unit's strongest example and its values there. The units in `dead` are not drawn: what they
    did not respond to would mislead.
    """
    silent = frozenset(dead)
    scale = scale_of(trace for one in steps.values() for trace in one.traces.values())
    shown = _strongest(layer, best, steps, range(len(best.examples)))
    counted = f"{layer.channels:,} units" + (f", {len(silent):,} dead" if silent else "")
    top = header(layer.name, [counted, f"each unit's strongest step in its {rows.noun}", *labels.layer_facts(layer)], theme)
    legend = [_legend(scale, rows.words, theme)] if any(one.traces for one in steps.values()) else []
    parts = [stacked([top, *legend], GAP, theme), rows.units(shown, silent, scale, theme)]
    return framed(stacked(parts, SECTION_GAP, theme), MARGIN, theme)


def sequence_units(
    layer: Layer, best: Ranking, steps: Mapping[int, Steps], channels: Sequence[int], rows: Rows, *, theme: Theme = LIGHT
) -> Image.Image:
    """Some units of a layer as on its overview."""
    scale = scale_of(trace for channel in channels for trace in steps[channel].traces.values())
    return rows.units(_strongest(layer, best, steps, channels), frozenset(), scale, theme)


def _strongest(layer: Layer, best: Ranking, steps: Mapping[int, Steps], channels: Iterable[int]) -> dict[int, Shown]:
    return {unit: shown_of([best_exemplar(layer, best, unit)], steps.get(unit, NO_STEPS))[0] for unit in channels}


NO_STEPS = Steps({}, {})


def sequence_example(content: Content, *, theme: Theme = LIGHT) -> Image.Image:
    """A text or series alone; of a long text the beginning of what counts."""
    marks = marks_of(Exemplar(0, 0, "", None, 0.0), content, None)
    if isinstance(content, SeriesExample):
        ranges = ranges_of([content])
        each = min(max(SERIES_HEIGHT // max(1, len(ranges)), LEAST_CHANNEL), MOST_CHANNEL)
        image = draw_series(
            content, marks, ranges, 1.0, EXAMPLE_WIDTH, each, left=names_width([content], EXAMPLE_WIDTH), theme=theme
        )
    else:
        columns = EXAMPLE_WIDTH // cell_width()
        lines = excerpt(content, marks.centre, columns, EXAMPLE_LINES, apart=separator([content]))
        image = draw_lines(lines, columns, marks, 1.0, theme)
    return framed(image, GAP, theme)


def text_rows(shown: Sequence[Shown], scale: float, theme: Theme) -> Image.Image:
    """Score and step of each exemplar beside its text."""
    columns = (CONTENT - FACTS - 2 * OUTLINE) // cell_width()
    apart = separator([one.content for one in shown if isinstance(one.content, TextExample)])
    parts = []
    for one in shown:
        facts = _facts(one, theme)
        text = _text(one, columns, TEXT_LINES, scale, apart, theme)
        image = Image.new("RGB", (CONTENT, max(facts.height, text.height)), theme.ground)
        image.paste(facts, (0, 0))
        image.paste(text, (FACTS, 0))
        parts.append(image)
    return stacked(parts, TEXT_GAP, theme)


def text_units(shown: Mapping[int, Shown], silent: frozenset[int], scale: float, theme: Theme) -> Image.Image:
    """One line a unit, in columns read from top to bottom."""
    across = (CONTENT - (TEXT_COLUMNS - 1) * SERIES_GAP) // TEXT_COLUMNS
    columns = (across - UNIT_FACTS - 2 * OUTLINE) // cell_width()
    apart = separator([one.content for one in shown.values() if isinstance(one.content, TextExample)])
    height, deep = CAPTION_LINE + GAP // 2, -(-len(shown) // TEXT_COLUMNS)
    image = Image.new("RGB", (CONTENT, max(1, deep) * height), theme.ground)
    for place, (channel, one) in enumerate(shown.items()):
        left, top = place // deep * (across + SERIES_GAP), place % deep * height
        dead = channel in silent
        image.paste(_unit_facts(channel, one, dead, UNIT_FACTS, theme), (left, top))
        if not dead:
            image.paste(_text(one, columns, 1, scale, apart, theme), (left + UNIT_FACTS, top))
    return image


def series_rows(shown: Sequence[Shown], scale: float, theme: Theme) -> Image.Image:
    """Three series beside each other, score and step of each above it; a channel has one range in all of them."""
    across = (CONTENT - (SERIES_COLUMNS - 1) * SERIES_GAP) // SERIES_COLUMNS
    pictures = _series(shown, across, SERIES_HEIGHT, (LEAST_CHANNEL, MOST_CHANNEL), scale, theme, named=True)
    tiles = [
        stacked([_facts(one, theme, across=across), picture], GAP // 2, theme)
        for one, picture in zip(shown, pictures, strict=True)
    ]
    return _grid(tiles, SERIES_COLUMNS, across, SERIES_GAP, theme)


def series_units(shown: Mapping[int, Shown], silent: frozenset[int], scale: float, theme: Theme) -> Image.Image:
    """A small series a unit, row by row; a channel has one range in all of them."""
    across = (CONTENT - (SMALL_COLUMNS - 1) * GAP) // SMALL_COLUMNS
    alive = [Shown(one.exemplar, None, None) if unit in silent else one for unit, one in shown.items()]
    pictures = _series(alive, across, SMALL_HEIGHT, (LEAST_SMALL, MOST_SMALL), scale, theme, named=False)
    tiles = [
        stacked([_unit_facts(channel, one, channel in silent, across, theme), picture], 2, theme)
        for channel, one, picture in zip(shown, alive, pictures, strict=True)
    ]
    return _grid(tiles, SMALL_COLUMNS, across, GAP, theme)


def channels_left_out(shown: Sequence[Shown]) -> str:
    """How many channels are drawn where not all are."""
    channels = max((one.content.values.shape[1] for one in shown if isinstance(one.content, SeriesExample)), default=0)
    return f"the first {MOST_CHANNELS} of {channels:,} channels" if channels > MOST_CHANNELS else ""


TEXTS = Rows(
    "texts",
    "outlined: where it is strongest  ·  coloured: what it can have seen there, by its value at each step  ·  coloured line:"
    " what it had not seen  ·  grey: does not count",
    text_rows,
    text_units,
    2 * TEXT_COLUMNS,
)
SERIES = Rows(
    "series",
    "bar: where it is strongest  ·  shaded: what it can have seen there  ·  band: its value at each step, a line where it had"
    " not seen it  ·  dark: does not count",
    series_rows,
    series_units,
    SMALL_COLUMNS,
    channels_left_out,
)


def _text(one: Shown, columns: int, lines: int, scale: float, apart: str, theme: Theme) -> Image.Image:
    if not isinstance(one.content, TextExample) or one.marks is None:
        return _absent("no text", columns * cell_width() + 2 * OUTLINE, CAPTION_LINE, theme)
    found = excerpt(one.content, one.marks.centre, columns, lines, apart=apart)
    return draw_lines(found, columns, one.marks, scale, theme)


def _series(
    shown: Sequence[Shown],
    across: int,
    height: int,
    bounds: tuple[int, int],
    scale: float,
    theme: Theme,
    *,
    named: bool,
) -> list[Image.Image]:
    known = [one.content for one in shown if isinstance(one.content, SeriesExample)]
    ranges = ranges_of(known)
    each = min(max(height // max(1, len(ranges)), bounds[0]), bounds[1])
    left = names_width(known, across) if named else 0
    return [
        draw_series(one.content, one.marks, ranges, scale, across, each, left=left, theme=theme, tints=one.tints)
        if isinstance(one.content, SeriesExample) and one.marks is not None
        else _absent("no series", across, each * max(1, len(ranges)), theme)
        for one in shown
    ]


def _absent(words: str, across: int, height: int, theme: Theme) -> Image.Image:
    image = Image.new("RGB", (across, height), theme.ground)
    write(ImageDraw.Draw(image), (0, CAPTION_LINE - 5), words, NOTE, theme.muted)
    return image


def _grid(tiles: Sequence[Image.Image], columns: int, across: int, gap: int, theme: Theme) -> Image.Image:
    """Tiles of one size, row by row."""
    height = max((one.height for one in tiles), default=1) + gap
    image = Image.new("RGB", (CONTENT, max(1, -(-len(tiles) // columns)) * height), theme.ground)
    for index, one in enumerate(tiles):
        image.paste(one, (index % columns * (across + gap), index // columns * height))
    return image


def _facts(one: Shown, theme: Theme, *, across: int = FACTS - 2 * GAP) -> Image.Image:
    """Rank, score and step in one line, class and path in the next."""
    image = Image.new("RGB", (across, 2 * CAPTION_LINE + 2), theme.ground)
    draw, line, exemplar = ImageDraw.Draw(image), CAPTION_LINE - 4, one.exemplar
    left: float = 0
    for words, style, ink in (
        (str(exemplar.rank + 1), CAPTION, theme.muted),
        (labels.number(exemplar.score), SCORE, theme.ink),
        (one.step, CAPTION, theme.muted),
    ):
        write(draw, (left, line), words, style, ink)
        left += width(words, style) + CAPTION_SPACE
    label = f"{exemplar.class_label}  ·  " if exemplar.class_label else ""
    write(draw, (0, line + CAPTION_LINE), fitted(label + one.place, CAPTION, across, lose="middle"), CAPTION, theme.ink)
    return image


def _unit_facts(channel: int, one: Shown, dead: bool, across: int, theme: Theme) -> Image.Image:
    """A unit's channel and its highest score."""
    image = Image.new("RGB", (across, CAPTION_LINE), theme.ground)
    draw, line = ImageDraw.Draw(image), CAPTION_LINE - 4
    write(draw, (0, line), str(channel), CHANNEL, theme.ink)
    left = max(width("0000", CHANNEL), width(str(channel), CHANNEL)) + CAPTION_SPACE
    known = not np.isnan(one.exemplar.score)
    words = "dead" if dead else labels.number(one.exemplar.score) if known else ""
    write(draw, (left, line), words, CAPTION, theme.muted)
    return image


def _legend(scale: float, words: str, theme: Theme) -> Image.Image:
    """What the colours mean, from the most negative to the most positive value, and what else is marked."""
    image = Image.new("RGB", (CONTENT, LEGEND_LINE), theme.ground)
    draw = ImageDraw.Draw(image)
    least, most = labels.number(-scale), labels.number(scale)
    line = LEGEND_LINE - 6
    write(draw, (0, line), least, CAPTION, theme.muted)
    left = round(width(least, CAPTION)) + CAPTION_SPACE
    for x in range(LEGEND_WIDTH):
        colour = diverging(2 * x / (LEGEND_WIDTH - 1) - 1, theme)
        draw.line((left + x, line - LEGEND_HEIGHT + 3, left + x, line + 2), fill=colour)
    after = left + LEGEND_WIDTH + CAPTION_SPACE
    write(draw, (after, line), most, CAPTION, theme.muted)
    after += round(width(most, CAPTION)) + 2 * GAP
    write(draw, (after, line), fitted(words, CAPTION, CONTENT - after), CAPTION, theme.muted)
    return image
