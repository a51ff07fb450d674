"""Attributions on texts and series in words, and in a terminal with one colour for each sign."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

from torchlurk.input_records import TextExample
from torchlurk.records import Exemplar, StepAttribution
from torchlurk.rendering import labels
from torchlurk.rendering.steps import BLOCKS, Content, separator, visible

FOR, AGAINST, PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[0m"
STRONG = "\x1b[1m"
"""Codes of a terminal; strong is what has at least half of the largest number."""
FAINT = 0.1
"""Numbers below this share of the largest have no colour in a terminal."""
NAMED = 5
"""Steps that are told with their numbers."""
TOKEN = 12
"""Characters of a token that are told."""


class Painted(str):
    """A line with codes of a terminal, of which only the codes are not text."""

    __slots__ = ()


def evidence_of(one: StepAttribution, exemplar: Exemplar | None = None) -> list[str]:
    """In words: what the largest numbers alone excite, and how much of the activation they add up to; the rest is elsewhere. Of
    a faint exemplar that it is one.
    """
    if exemplar is not None and exemplar.faint:
        return [] if math.isnan(one.kept) and math.isnan(one.conserved) else [labels.FAINT]
    said = [] if math.isnan(one.kept) else [f"top tenth keeps {labels.percent(one.kept)}"]
    if math.isnan(one.conserved):
        return said
    rest = 1 - one.conserved if abs(1 - one.conserved) > labels.NOISE else 0.0
    return [*said, f"{labels.percent(one.conserved)} at the input, {labels.percent(rest)} elsewhere"]


def steps_words(span: tuple[int, int]) -> str:
    """A half-open range of steps as people read it, with its last step."""
    first, end = span
    return f"steps {first}–{end - 1}" if end - first > 1 else f"step {first}" if end > first else "no step"


def last_steps_words(exemplar: Exemplar) -> str:
    """What the steps nearest to the exemplar's own alone excite; '' where it was not measured."""
    if exemplar.faint and exemplar.last_steps:
        return labels.FAINT
    shares = [f"{labels.percent(share)} ({steps})" for steps, share in exemplar.last_steps]
    return f"the nearest steps alone keep {', '.join(shares)}" if shares else ""


def in_terminal(
    one: StepAttribution,
    content: Content,
    step: int,
    columns: int,
    *,
    coloured: bool,
    indent: str = "",
    exemplar: Exemplar | None = None,
) -> list[str]:
    """The steps with the largest numbers, as many as fit, the evidence for them, and with colours all of it around a step, one
    colour for each sign.
    """
    by_step = one.values.sum(axis=1)
    told = f"{one.method}, summed over channels:" if one.values.shape[1] > 1 else f"{one.method}:"
    for number, at in enumerate(_largest(by_step)):
        longer = f"{told}{'  ' if number else ' '}{_told(content, at, float(by_step[at]))}"
        if number and len(longer) > columns:
            break
        told = longer
    lines = [indent + told, *([indent + ", ".join(said)] if (said := evidence_of(one, exemplar)) else [])]
    if coloured:
        drawn = _coloured(content, by_step, step, columns) if isinstance(content, TextExample) else _blocks(by_step, columns)
        lines.append(Painted(indent + drawn))
    return lines


def _largest(by_step: Float32[np.ndarray, " time"]) -> list[int]:
    """The steps with the largest magnitudes, largest first, without those that are zero."""
    order = np.argsort(-np.abs(by_step), kind="stable")[:NAMED]
    return [int(at) for at in order if by_step[at] != 0]


def _told(content: Content, at: int, value: float) -> str:
    name = (
        f"'{visible(content.tokens[at])[:TOKEN]}'" if isinstance(content, TextExample) and at < content.steps else f"step {at}"
    )
    return f"{'+' if value > 0 else ''}{labels.number(value)} {name}"


def _coloured(text: TextExample, by_step: Float32[np.ndarray, " time"], step: int, columns: int) -> str:
    """The tokens around a step, as many as fit."""
    apart = separator([text])
    first = last = min(step, text.steps - 1)
    taken = len(visible(text.tokens[first]))
    while True:
        before = first > 0 and len(visible(text.tokens[first - 1])) + len(apart)
        if before and taken + before <= columns:
            first, taken = first - 1, taken + before
            continue
        after = last + 1 < text.steps and len(visible(text.tokens[last + 1])) + len(apart)
        if not after or taken + after > columns:
            break
        last, taken = last + 1, taken + after
    largest = float(np.abs(by_step).max(initial=0.0)) or 1.0
    tokens = zip(text.tokens[first : last + 1], by_step[first : last + 1], strict=False)
    return apart.join(_painted(visible(token), float(value) / largest) for token, value in tokens)


def _blocks(by_step: Float32[np.ndarray, " time"], columns: int) -> str:
    """A block a step, as high as the number is large; of many steps to a block the largest counts."""
    together = -(-len(by_step) // max(1, columns))
    parts = [by_step[start : start + together] for start in range(0, len(by_step), together)]
    chosen = [float(part[np.abs(part).argmax()]) for part in parts]
    largest = max(map(abs, chosen), default=0.0) or 1.0
    return "".join(_painted(BLOCKS[round(abs(value) / largest * (len(BLOCKS) - 1))], value / largest) for value in chosen)


def _painted(text: str, share: float) -> str:
    if abs(share) < FAINT:
        return text
    return f"{STRONG if abs(share) >= 0.5 else ''}{FOR if share > 0 else AGAINST}{text}{PLAIN}"
