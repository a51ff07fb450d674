"""A unit described in plain text, for a terminal: statistics, exemplars, classes, in 80 columns."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from torchlurk.input_records import SeriesExample, TextExample, step_at
from torchlurk.records import Attribution, Class, Exemplar, Layout, MethodCheck, Remark, StepAttribution, UnitRecord
from torchlurk.rendering import labels
from torchlurk.rendering.known_tracks import known_lines
from torchlurk.rendering.low_end import LOWEST, beside_lowest, lowest_places
from torchlurk.rendering.remarks import mark, paragraphs
from torchlurk.rendering.share_words import shares_explained
from torchlurk.rendering.step_words import Painted, in_terminal, last_steps_words, steps_words
from torchlurk.rendering.steps import counted_positions, marked, separator, sparkline, visible
from torchlurk.rendering.tokens import token_lines
from torchlurk.rendering.typography import ELLIPSIS, clean
from torchlurk.time_records import NamedRanking, TokenMeasure
from torchlurk.unit_statistics import LIFTED
from torchlurk.units import Unit

COLUMNS = 80
GAP = "  "
BAR_COLUMNS = 30
LABEL_SHARE = 0.4
MOST_CLASSES = 10
EIGHTHS = "▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Steps:
    """What a description of a unit on texts or series needs beside its record: the examples, the unit's values there, of texts
    its tokens by each measure that it has, and its attributions. `least` is how many steps of an example had to count for it to
    be ranked by mean.
    """

    examples: Mapping[int, TextExample | SeriesExample]
    traces: Mapping[int, Float32[np.ndarray, " time"]]
    tokens: Mapping[TokenMeasure, NamedRanking] = field(default_factory=dict)
    attributions: Sequence[StepAttribution] = ()
    least: int = 0


def describe(
    record: UnitRecord,
    classes: Sequence[Class],
    steps: Steps | None = None,
    remark: Remark | None = None,
    *,
    columns: int = COLUMNS,
    most_classes: int = MOST_CLASSES,
    coloured: bool = False,
    attributions: Sequence[Attribution] = (),
    checks: Sequence[MethodCheck] = (),
) -> str:
    """The unit's layer, statistics, exemplars and strongest classes, no line wider than `columns`; no control codes unless
    `coloured`, which draws attributions in two colours by their sign.

    With `steps` each exemplar has its text, the strongest token marked, or the line of its values. A `remark` is what people
    noted of the unit: name and star stand beside the address, the note below. Of pictures, `attributions` are those of the
    unit and `checks` those of its layer, of which each method has a line or two.
    """
    record = labels.without_repeats(record)
    address = str(Unit(record.layer.name, record.channel)) + ("   dead: never above zero" if record.dead else "")
    if remark is not None and (told := mark(remark)):
        address += f"   {told}"
    facts = textwrap.wrap(" · ".join(labels.unit_facts(record)), columns)
    noted = [paragraphs(remark, columns)] if remark is not None and remark.text else []
    told_of = textwrap.wrap(LIFTED, columns, initial_indent=GAP, subsequent_indent=GAP) if labels.lifted(record) else []
    blocks = [[address, *facts], *noted, [*_statistics(record, columns), *told_of]]
    if known := known_lines(record.knows):
        blocks.append(known)
    for kind, title in (("max", "Strongest by maximum"), ("mean", "Strongest by mean")):
        exemplars = record.exemplars.get(kind, ())
        if exemplars:
            shown = (
                _exemplars(exemplars, record.layer.layout, columns)
                if steps is None
                else _in_steps(kind, exemplars, steps, columns, coloured)
            )
            ties = [GAP + told] if (told := labels.ties(kind, exemplars)) else []
            blocks.append([labels.title_of(title, kind, record.layer, steps.least if steps else 0), *ties, *shown])
    if steps is not None and (places := lowest_places(record, steps.examples, steps.traces)):
        shown = _in_steps("lowest", places, steps, columns, coloured)
        blocks.append(
            [LOWEST, *textwrap.wrap(beside_lowest(record), columns, initial_indent=GAP, subsequent_indent=GAP), *shown]
        )
    if attributions:
        blocks.append(["What excited it (--out PICTURE.png draws it)", *_methods(record, attributions, checks, columns)])
    shown_exemplars = [one for kind in ("max", "mean") for one in record.exemplars.get(kind, ())]
    if explained := shares_explained(shown_exemplars, steps.attributions if steps else attributions, columns):
        blocks.append(explained)
    for measure, ranking in (steps.tokens if steps else {}).items():
        blocks.append(token_lines(measure, ranking, columns, display_columns))
    for kind, name in (("max", "maximum"), ("mean", "mean")):
        top = labels.top_classes(record.classes[kind], classes, most=most_classes) if kind in record.classes else []
        if top:
            of = f" ({len(top)} of {len(classes):,})" if len(top) < len(classes) else ""
            bars = _bars([(one.label, value) for one, value in top], columns)
            blocks.append([f"Classes by mean of the {name}{of}", *bars])
    return "\n\n".join("\n".join(_fitting(line, columns) for line in block) for block in blocks)


def _methods(record: UnitRecord, attributions: Sequence[Attribution], checks: Sequence[MethodCheck], columns: int) -> list[str]:
    """Each method with how many exemplars it has a picture of, how much their top tenths keep, and its check."""
    faint = {(kind, one.rank) for kind, found in record.exemplars.items() for one in found if one.faint}
    by_method = {one.method: one for one in checks}
    lines: list[str] = []
    for method in dict.fromkeys(one.method for one in attributions):
        own = [one for one in attributions if one.method == method]
        measured = [one for one in own if not math.isnan(one.kept)]
        kept = [one.kept for one in measured if (one.ranking, one.rank) not in faint]
        facts = [labels.counted(len(own), "exemplar"), *([labels.FAINT] if measured and not kept else [])]
        if kept:
            facts.append("top tenth keeps " + "–".join(dict.fromkeys(map(labels.percent, (min(kept), max(kept))))))
        if method in by_method:
            facts.append(labels.checked(by_method[method], "image"))
        indented = f"{method}: {' · '.join(facts)}"
        lines += textwrap.wrap(indented, columns, initial_indent=GAP, subsequent_indent=2 * GAP)
    return lines


def _fitting(line: str, columns: int) -> str:
    return line if isinstance(line, Painted) else shortened(line.rstrip(), columns)


def display_columns(text: str) -> int:
    """How many columns of a terminal the text takes: East Asian wide characters take two, combining marks none."""
    return sum(_columns_of(character) for character in text)


def shortened(text: str, most: int) -> str:
    """The text in one line, ended by an ellipsis where it would take more than `most` columns."""
    text = clean(text)
    if display_columns(text) <= most:
        return text
    taken, kept = 0, ""
    for character in text:
        taken += _columns_of(character)
        if taken > most - 1:
            break
        kept += character
    return kept.rstrip() + ELLIPSIS


def bar(share: float, columns: int) -> str:
    """A bar of block characters over that share of `columns`, to the nearest eighth of a column."""
    eighths = round(max(0.0, min(1.0, share)) * columns * len(EIGHTHS))
    whole, rest = divmod(eighths, len(EIGHTHS))
    return EIGHTHS[-1] * whole + (EIGHTHS[rest - 1] if rest else "")


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, columns: int, *, right: bool = False) -> str:
    space = " " * max(0, columns - display_columns(text))
    return space + text if right else text + space


def _statistics(record: UnitRecord, columns: int) -> list[str]:
    """Name and value in as many columns as there is room for."""
    pairs = labels.statistics(record.statistics)
    names = max(len(name) for name, _ in pairs)
    values = max(len(value) for _, value in pairs)
    cells = [f"{name:<{names}}{GAP}{value:>{values}}" for name, value in pairs]
    across = max(1, (columns + 2 * len(GAP)) // (names + values + 3 * len(GAP)))
    return [(2 * GAP).join(cells[start : start + across]) for start in range(0, len(cells), across)]


def _axis(layout: Layout, exemplars: Sequence[Exemplar]) -> str:
    """What positions are, over their column: of a layer with steps or tokens one number."""
    alone = all(len(one.position or ()) < 2 for one in exemplars)
    return {"sequence": "step", "tokens": "token"}.get(layout, "at y,x") if alone else "at y,x"


def _exemplars(exemplars: Sequence[Exemplar], layout: Layout, columns: int) -> list[str]:
    """A table; columns that no exemplar fills are left out, and the name takes what room is left."""
    table = {
        "#": [str(one.rank + 1) for one in exemplars],
        "score": [labels.number(one.score) for one in exemplars],
        "recall": ["" if one.recall is None else labels.percent(one.recall) for one in exemplars],
        _axis(layout, exemplars): ["" if not one.position else ",".join(map(str, one.position)) for one in exemplars],
        "box x0 y0 x1 y1": ["" if one.box is None else " ".join(map(str, one.box)) for one in exemplars],
        "example": [str(one.example) for one in exemplars],
    }
    lines = ["" for _ in range(len(exemplars) + 1)]
    for title, cells in table.items():
        if any(cells):
            wide = max(map(len, (title, *cells)))
            lines = [f"{line}{cell:>{wide}}{GAP}" for line, cell in zip(lines, (title, *cells), strict=True)]
    names = [f"{one.class_label}{GAP}{one.path}" if one.class_label else one.path for one in exemplars]
    room = max(1, columns - len(lines[0]))
    title = "class and path" if any(one.class_label for one in exemplars) else "path"
    return [line + shortened(name, room) for line, name in zip(lines, (title if any(names) else "", *names), strict=True)]


def _in_steps(kind: str, exemplars: Sequence[Exemplar], steps: Steps, columns: int, coloured: bool) -> list[str]:
    """An exemplar's score, step, reach and path, of a text the place of the step's token; its text around the step, or what
    counts of it and the unit's values there; and what excited the unit there.
    """
    found = [trace for one in exemplars if (trace := steps.traces.get(one.example)) is not None and len(trace)]
    low, high = min((float(one.min()) for one in found), default=0.0), max((float(one.max()) for one in found), default=0.0)
    texts = [one for one in steps.examples.values() if isinstance(one, TextExample)]
    apart = separator(texts)
    lines: list[str] = []
    for one in exemplars:
        content, trace = steps.examples.get(one.example), steps.traces.get(one.example)
        step = _step(one, content, trace)
        facts = [f"{one.rank + 1:>2}", labels.number(one.score)]
        if step is not None or one.own_step is not None:
            facts.append(f"step {step}" if step is not None else f"its own step {one.own_step}")
        if one.reach is not None:
            facts.append(f"saw {steps_words(one.reach)}")
        facts += [f"class {one.class_label}" if one.class_label.isdecimal() else one.class_label] if one.class_label else []
        place = content.place(one.path, step) if isinstance(content, TextExample) and step is not None else one.path
        facts.append(place or f"example {one.example}")
        indent = " " * 4
        room = columns - len(indent)
        fits = display_columns(GAP.join(facts)) <= columns
        lines += [GAP.join(facts)] if fits else [GAP.join(facts[:-1]), indent + facts[-1]]
        if isinstance(content, TextExample) and step is not None and step < content.steps:
            lines.append(indent + marked(content, step, room, apart=apart))
        elif isinstance(content, TextExample):
            lines.append(indent + shortened(visible(apart.join(content.tokens[slice(*content.counted)])), room))
        if trace is not None and (step is None or not isinstance(content, TextExample)):
            counting = trace if content is None else trace[counted_positions(content, len(trace))]
            lines.append(indent + sparkline(counting, low, high, room))
        if kind == "max" and (words := last_steps_words(one)):
            lines.append(indent + words)
        for made in steps.attributions:
            if content is not None and (made.ranking, made.rank) == (kind, one.rank):
                at = content.counted[0] if step is None else step
                lines += in_terminal(made, content, at, room, coloured=coloured, indent=indent, exemplar=one)
    return lines


def _step(
    exemplar: Exemplar, content: TextExample | SeriesExample | None, trace: Float32[np.ndarray, " time"] | None
) -> int | None:
    """The step at an exemplar's position; None where it has none."""
    if not exemplar.position:
        return None
    return (
        exemplar.position[0] if content is None or trace is None else step_at(exemplar.position[0], len(trace), content.steps)
    )


def _bars(bars: Sequence[tuple[str, float]], columns: int) -> list[str]:
    """Label, value and bar; bars begin at zero, those of negative values to the left of a line."""
    values = [labels.number(value) for _, value in bars]
    value_columns = max(map(len, values))
    label_columns = min(math.floor(LABEL_SHARE * columns), max(display_columns(clean(label)) for label, _ in bars))
    room = max(1, min(BAR_COLUMNS, columns - label_columns - value_columns - 2 * len(GAP)))
    low, high = min(0.0, *(value for _, value in bars)), max(0.0, *(value for _, value in bars))
    reach = (high - low) or 1.0
    left = round(room * -low / reach)
    return [
        f"{_padded(shortened(label, label_columns), label_columns)}{GAP}"
        f"{_padded(written, value_columns, right=True)}{GAP}{_signed_bar(value / reach, left, room)}"
        for (label, value), written in zip(bars, values, strict=True)
    ]


def _signed_bar(share: float, left: int, columns: int) -> str:
    """A bar from zero, which is after `left` of the columns, to that share of all of them; no line where zero is the edge."""
    if not left:
        return bar(share, columns)
    below = round(max(0.0, -share) * columns)
    return " " * (left - below) + EIGHTHS[-1] * below + "\N{BOX DRAWINGS LIGHT VERTICAL}" + bar(share, columns)
