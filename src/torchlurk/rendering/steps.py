"""Texts and series in a terminal: the strongest step marked in its context, a unit's values as a line of blocks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from torchlurk import input_records
from torchlurk.input_records import SeriesExample, TextExample

Content = TextExample | SeriesExample

MARKS = "⟦", "⟧"
"""Around the token at the strongest step."""

BLOCKS = "▁▂▃▄▅▆▇█"
NEWLINE = "↵"
TAB = "→"


def visible(text: str) -> str:
    """Text in one line: a newline is ↵, a tab →, every other control character a replacement sign."""
    return "".join(
        NEWLINE if one == "\n" else TAB if one == "\t" else "�" if unicodedata.category(one).startswith("C") else one
        for one in text
    )


def marked(text: TextExample, step: int, columns: int, *, apart: str = "") -> str:
    """The token at a step between marks with as much around it as `columns` hold; `apart` stands between tokens."""
    token = f"{MARKS[0]}{visible(text.tokens[step])}{MARKS[1]}"
    room = max(0, columns - len(token))
    before = visible("".join(one + apart for one in text.tokens[:step]))
    after = visible("".join(apart + one for one in text.tokens[step + 1 :]))
    left = min(len(before), max(room // 2, room - len(after)))
    start = "" if left == 0 else before[-left:]
    return start + token + after[: room - left]


def counted_positions(content: Content, positions: int) -> slice:
    """Of so many positions of a layer those that are not of burn-in, which are what a unit's mean is of; where there are fewer
    than steps in proportion.
    """
    return slice(*(-(-step * positions // max(1, content.steps)) for step in content.counted))


def sparkline(values: Float32[np.ndarray, " time"], low: float, high: float, columns: int) -> str:
    """A unit's values as blocks between `low` and `high`, as many steps to a block as make them fit: the largest counts."""
    if not len(values) or columns <= 0:
        return ""
    together = -(-len(values) // columns)
    padded = np.full(-(-len(values) // together) * together, -np.inf, np.float32)
    padded[: len(values)] = values
    tops = padded.reshape(-1, together).max(axis=1)
    span = high - low or 1.0
    levels = np.clip((tops - low) / span * (len(BLOCKS) - 1), 0, len(BLOCKS) - 1).round().astype(int)
    return "".join(BLOCKS[level] for level in levels)


def separator(texts: Sequence[TextExample]) -> str:
    """What stands between tokens of texts that are shown below each other."""
    return input_records.separator([token for text in texts for token in text.tokens[: input_records.LOOKED_AT]])
