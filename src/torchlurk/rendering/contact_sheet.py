"""The contact sheet: everything a study knows of one unit, on one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from torchlurk.records import Class, Exemplar, UnitRecord
from torchlurk.rendering import boxes, labels
from torchlurk.rendering.charts import bar_chart, histogram
from torchlurk.rendering.colour import LIGHT, Theme
from torchlurk.rendering.typography import Style, fitted, width, write
from torchlurk.unit_statistics import LIFTED
from torchlurk.units import Unit

Picture = Callable[[int], Image.Image | None]
"""From an example's index to what the network saw of it; None where the study does not hold it."""

COLUMNS = 9
TILE = 140
GAP = 12
CONTENT = COLUMNS * TILE + (COLUMNS - 1) * GAP
MARGIN = 44
SECTION_GAP = 36

ADDRESS = Style("address", 26)
TITLE = Style("strong", 15)
NOTE = Style("text", 14)
CAPTION = Style("text", 13)
SCORE = Style("strong", 13)
BADGE = Style("strong", 13)

ADDRESS_BASELINE = 26
FACTS_BASELINE = 56
HEADER_HEIGHT = 62
HEADER_GAP = 18
TITLE_BASELINE = 14
TITLE_HEIGHT = 26
CAPTION_SPACE = 7
CAPTION_LINE = 18
EXEMPLAR_ROWS = {
    "max": "Strongest by maximum",
    "mean": "Strongest by mean",
    "quantile": "From weak to strong",
}

LOWEST_TILE, HIGHEST_TILE = TILE // 4, 2 * TILE
BADGE_PADDING = 9

STATISTIC_COLUMNS = 6
STATISTIC_HEIGHT = 62
STATISTIC_NAME_BASELINE = 24
STATISTIC_VALUE_BASELINE = 50
STATISTIC = Style("strong", 19)

CHART_COLUMNS = 3
CHART_GAP = 48
CHART_WIDTH = (CONTENT - (CHART_COLUMNS - 1) * CHART_GAP) // CHART_COLUMNS
LOWEST_HISTOGRAM, HIGHEST_HISTOGRAM = 200, 280
ENLARGED_FROM = 1.2
"""How much larger than in the whole picture above a box must be shown for the sheet to call it enlarged."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of exemplars and what is to be said of it."""

    image: Image.Image
    note: str


def contact_sheet(
    record: UnitRecord,
    classes: Sequence[Class],
    picture: Picture,
    input_size: tuple[int, int],
    *,
    beneath: Mapping[str, Sequence[Image.Image]] | None = None,
    made: Image.Image | None = None,
    theme: Theme = LIGHT,
) -> Image.Image:
    """The unit's address and layer, its exemplars with their boxes, its classes, its responses and statistics.

    `input_size` is (height, width) of the network's input, whose pixels the boxes are in. At most `COLUMNS`
    exemplars of each kind are shown, above what there is to be put `beneath` that kind; what was `made` to excite the unit
    comes after those by maximum and mean. What the record does not hold is left out.
    """
    record = labels.without_repeats(record)
    parts = [heading(record, theme)]
    for kind, title in EXEMPLAR_ROWS.items():
        parts += [made] if made is not None and kind == "quantile" else []
        exemplars = record.exemplars.get(kind, ())
        if exemplars:
            row = _exemplar_row(exemplars, picture, input_size, theme, enlarge=kind == "max")
            note = row_note(record, kind, COLUMNS, row.note)
            parts += [titled(title, note, row.image, theme), *(beneath or {}).get(kind, ())]
    parts += charts(record, classes, theme)
    return framed(stacked(parts, SECTION_GAP, theme), MARGIN, theme)


def heading(record: UnitRecord, theme: Theme) -> Image.Image:
    """The unit's address and layer above its statistics."""
    address = str(Unit(record.layer.name, record.channel))
    top = header(address, labels.unit_facts(record), theme, badge="dead" if record.dead else "")
    below = [row_of_words(LIFTED, theme)] if labels.lifted(record) else []
    return stacked([stacked([top, _statistics(record, theme)], HEADER_GAP, theme), *below], GAP // 2, theme)


def row_of_words(words: str, theme: Theme) -> Image.Image:
    """A line of muted words."""
    image = Image.new("RGB", (CONTENT, CAPTION_LINE), theme.ground)
    write(ImageDraw.Draw(image), (0, CAPTION_LINE - 6), fitted(words, CAPTION, CONTENT), CAPTION, theme.muted)
    return image


def row_note(record: UnitRecord, kind: str, most: int, more: str = "", least: int = 0) -> str:
    """What is said behind the title of a kind of exemplars: how many of them are shown where not all are, what a mean is of
    (`labels.ranked_by`), whether they tie, and `more`.
    """
    exemplars = record.exemplars[kind]
    marked = "marked on the histogram of responses" if kind == "quantile" and _has_responses(record) else ""
    shown = _of(min(len(exemplars), most), len(exemplars))
    told = shown, labels.ranked_by(kind, record.layer, least), labels.ties(kind, exemplars), more, marked
    return "; ".join(part for part in told if part)


def framed(image: Image.Image, margin: int, theme: Theme) -> Image.Image:
    """The picture with an empty margin all round."""
    sheet = Image.new("RGB", (image.width + 2 * margin, image.height + 2 * margin), theme.ground)
    sheet.paste(image, (margin, margin))
    return sheet


def stacked(parts: Sequence[Image.Image], gap: int, theme: Theme) -> Image.Image:
    """The pictures below each other, left edges aligned."""
    height = sum(part.height for part in parts) + gap * (len(parts) - 1)
    image = Image.new("RGB", (max(part.width for part in parts), height), theme.ground)
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height + gap
    return image


def titled(title: str, note: str, body: Image.Image, theme: Theme) -> Image.Image:
    """The picture under a title, with a note behind the title as far as there is room."""
    image = Image.new("RGB", (body.width, TITLE_HEIGHT + body.height), theme.ground)
    draw = ImageDraw.Draw(image)
    write(draw, (0, TITLE_BASELINE), title, TITLE, theme.ink)
    after = width(title, TITLE) + GAP
    if note:
        write(draw, (after, TITLE_BASELINE), fitted(note, NOTE, body.width - after), NOTE, theme.muted)
    image.paste(body, (0, TITLE_HEIGHT))
    return image


def tile(image: Image.Image | None, size: boxes.Size, theme: Theme) -> Image.Image:
    """A panel of that size with the picture in its middle; 'no picture' where there is none."""
    panel = Image.new("RGB", size, theme.panel)
    if image is None:
        middle = (size[0] / 2, size[1] / 2 + 5)
        write(ImageDraw.Draw(panel), middle, fitted("no picture", NOTE, size[0]), NOTE, theme.muted, align="centre")
    else:
        panel.paste(image.convert("RGB"), ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return panel


def header(address: str, facts: Sequence[str], theme: Theme, *, badge: str = "") -> Image.Image:
    """An address, with a badge behind it if there is one, above the facts in one line."""
    image = Image.new("RGB", (CONTENT, HEADER_HEIGHT), theme.ground)
    draw = ImageDraw.Draw(image)
    room = CONTENT - (_badge_width(badge) + GAP if badge else 0)
    shown = fitted(address, ADDRESS, room, lose="middle")
    write(draw, (0, ADDRESS_BASELINE), shown, ADDRESS, theme.ink)
    if badge:
        _badge(draw, round(width(shown, ADDRESS)) + GAP, badge, theme)
    write(draw, (0, FACTS_BASELINE), fitted("  ·  ".join(facts), NOTE, CONTENT), NOTE, theme.muted)
    return image


def _badge_width(word: str) -> int:
    return round(width(word, BADGE)) + 2 * BADGE_PADDING


def _badge(draw: ImageDraw.ImageDraw, left: int, word: str, theme: Theme) -> None:
    box = (left, ADDRESS_BASELINE - 19, left + _badge_width(word), ADDRESS_BASELINE + 4)
    draw.rectangle(box, fill=theme.ink)
    write(draw, (left + BADGE_PADDING, ADDRESS_BASELINE - 3), word, BADGE, theme.ground)


def _exemplar_row(
    exemplars: Sequence[Exemplar],
    picture: Picture,
    input_size: tuple[int, int],
    theme: Theme,
    *,
    enlarge: bool,
) -> _Row:
    """Whole pictures with their boxes outlined, the boxes enlarged below if asked for, and captions."""
    shown = exemplars[:COLUMNS]
    size = (input_size[1], input_size[0])
    pictures = [_at_input_size(picture(exemplar.example), size) for exemplar in shown]
    scale = _crop_scale(shown, size) if enlarge else None
    rows = [_whole_tiles(shown, pictures, size, theme)]
    note = ""
    if scale is not None:
        rows.append(_crop_tiles(shown, pictures, scale, theme))
        larger = scale / min(TILE / size[0], HIGHEST_TILE / size[1])
        below = f"below, {larger:.2g} times larger" if larger >= ENLARGED_FROM else "below, the box alone"
        note = f"the box is all that the unit sees where it is strongest; {below}"
    rows.append(in_columns([_caption(exemplar, theme) for exemplar in shown], theme))
    return _Row(stacked(rows, GAP, theme), note)


def _at_input_size(image: Image.Image | None, size: boxes.Size) -> Image.Image | None:
    if image is None:
        return None
    image = image.convert("RGB")
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _whole_tiles(
    exemplars: Sequence[Exemplar], pictures: Sequence[Image.Image | None], size: boxes.Size, theme: Theme
) -> Image.Image:
    shown_size = boxes.fit(size, (TILE, HIGHEST_TILE))
    height = max(shown_size[1], LOWEST_TILE)
    scale = (shown_size[0] / size[0], shown_size[1] / size[1])
    tiles = []
    for exemplar, image in zip(exemplars, pictures, strict=True):
        shown = boxes.resized(image, shown_size) if image is not None else None
        if shown is not None and exemplar.box is not None and boxes.is_part(exemplar.box, size):
            shown = boxes.outline(shown, boxes.scaled(exemplar.box, scale))
        tiles.append(tile(shown, (TILE, height), theme))
    return in_columns(tiles, theme)


def _crop_scale(exemplars: Sequence[Exemplar], size: boxes.Size) -> float | None:
    """One enlargement for all boxes of the row, so that they compare; None where no box is less than the input."""
    parts = [one.box for one in exemplars if one.box is not None and boxes.is_part(one.box, size)]
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in parts]
    return TILE / max(sides) if sides else None


def _crop_tiles(
    exemplars: Sequence[Exemplar], pictures: Sequence[Image.Image | None], scale: float, theme: Theme
) -> Image.Image:
    crops = []
    for exemplar, image in zip(exemplars, pictures, strict=True):
        part = None
        if image is not None and exemplar.box is not None:
            part = boxes.crop(image, exemplar.box) if boxes.is_part(exemplar.box, image.size) else image
            part = boxes.resized(part, boxes.times(part.size, min(scale, TILE / max(part.size))))
        crops.append(part)
    height = max((part.height for part in crops if part is not None), default=LOWEST_TILE)
    return in_columns([tile(part, (TILE, max(height, LOWEST_TILE)), theme) for part in crops], theme)


def _caption(exemplar: Exemplar, theme: Theme) -> Image.Image:
    """Rank, score and recall in one line, the class below."""
    image = Image.new("RGB", (TILE, 2 * CAPTION_LINE + 2), theme.ground)
    draw = ImageDraw.Draw(image)
    line = CAPTION_LINE - 6
    rank = str(exemplar.rank + 1)
    write(draw, (0, line), rank, CAPTION, theme.muted)
    score = labels.number(exemplar.score)
    write(draw, (width(rank, CAPTION) + CAPTION_SPACE, line), score, SCORE, theme.ink)
    if exemplar.recall is not None:
        room = TILE - width(rank, CAPTION) - width(score, SCORE) - 2 * CAPTION_SPACE
        recall = labels.percent(exemplar.recall)
        spelled = f"recall {recall}"
        shown = spelled if width(spelled, CAPTION) <= room else recall
        write(draw, (TILE, line), shown, CAPTION, theme.muted, align="right")
    name = fitted(labels.exemplar_name(exemplar), CAPTION, TILE, lose="end" if exemplar.class_label else "middle")
    write(draw, (0, line + CAPTION_LINE), name, CAPTION, theme.ink)
    return image


def in_columns(tiles: Sequence[Image.Image], theme: Theme) -> Image.Image:
    """Tiles beside each other, where exemplars are."""
    image = Image.new("RGB", (CONTENT, max(one.height for one in tiles)), theme.ground)
    for column, one in enumerate(tiles):
        image.paste(one, (column * (TILE + GAP), 0))
    return image


def charts(record: UnitRecord, classes: Sequence[Class], theme: Theme, *, examples: str = "images") -> list[Image.Image]:
    """Bar charts of the classes and the histogram beside each other, as one picture; none where the record has none of them.

    `examples` is the word for what the data are.
    """
    found = []
    for kind, name in (("max", "maximum"), ("mean", "mean")):
        top = labels.top_classes(record.classes[kind], classes) if kind in record.classes else []
        if top:
            bars = bar_chart([(one.label, value) for one, value in top], CHART_WIDTH, theme=theme)
            found.append(titled(f"Classes by mean of the {name}", _of(len(top), len(classes)), bars, theme))
    if _has_responses(record):
        beside = found[0].height - TITLE_HEIGHT if found else LOWEST_HISTOGRAM
        height = min(max(beside, LOWEST_HISTOGRAM), HIGHEST_HISTOGRAM)
        found.append(_responses(record, height, theme, examples))
    if not found:
        return []
    image = Image.new("RGB", (CONTENT, max(one.height for one in found)), theme.ground)
    for column, one in enumerate(found):
        image.paste(one, (column * (CHART_WIDTH + CHART_GAP), 0))
    return [image]


def _of(shown: int, all_of_them: int) -> str:
    return f"{shown} of {all_of_them:,}" if shown < all_of_them else ""


def _has_responses(record: UnitRecord) -> bool:
    return bool(np.any(np.isfinite(record.sample) & (record.sample != 0)))


def _responses(record: UnitRecord, height: int, theme: Theme, examples: str) -> Image.Image:
    finite = record.sample[np.isfinite(record.sample)]
    marks = [one.score for one in record.exemplars.get("quantile", ())]
    body = histogram(record.sample, (CHART_WIDTH, height), marks=marks, theme=theme)
    note = f"maximum on {finite.size:,} {examples}"
    zeros = int((finite == 0).sum())
    if 0 < zeros < finite.size:
        note += f"; {labels.percent(zeros / finite.size)} at 0 not drawn"
    return titled("Responses", note, body, theme)


def _statistics(record: UnitRecord, theme: Theme) -> Image.Image:
    """The statistics in bands between lines: name above, value below."""
    pairs = labels.statistics(record.statistics)
    bands = max(1, -(-len(pairs) // STATISTIC_COLUMNS))
    image = Image.new("RGB", (CONTENT, bands * STATISTIC_HEIGHT), theme.ground)
    draw = ImageDraw.Draw(image)
    for line in (0, *(band * STATISTIC_HEIGHT - 1 for band in range(1, bands + 1))):
        draw.line((0, line, CONTENT, line), fill=theme.line)
    for place, (name, value) in enumerate(pairs):
        left, top = place % STATISTIC_COLUMNS * CONTENT // STATISTIC_COLUMNS, place // STATISTIC_COLUMNS * STATISTIC_HEIGHT
        write(draw, (left, top + STATISTIC_NAME_BASELINE), name, NOTE, theme.muted)
        write(draw, (left, top + STATISTIC_VALUE_BASELINE), value, STATISTIC, theme.ink)
    return image
