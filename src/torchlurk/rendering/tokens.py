"""A unit's tokens by each measure, in words: for a terminal and for its contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torchlurk.rendering import labels
from torchlurk.rendering.steps import visible
from torchlurk.time_records import NamedRanking, NamedToken, TokenMeasure

SPACE = "␣"

TITLES: Mapping[TokenMeasure, str] = {
    "state": "Tokens by its mean value there",
    "change": "Tokens by its mean change there",
    "next": "What it says next",
}
ENDS: Mapping[TokenMeasure, tuple[str, str]] = {
    "state": ("highest", "lowest"),
    "change": ("rises most", "falls most"),
    "next": ("raises", "lowers"),
}
"""Words for the tokens with the highest values, and for those with the lowest."""


def shown(token: str) -> str:
    """A token with its spaces and line ends to be seen."""
    return visible(token).replace(" ", SPACE)


def note_of(ranking: NamedRanking) -> str:
    """What is said behind the title: for which value of the unit scores of the next token are told."""
    return "" if ranking.at is None else f"change of a token's logit where it is {labels.number(ranking.at)}"


def token_lines(measure: TokenMeasure, ranking: NamedRanking, columns: int, columns_of: Callable[[str], int]) -> list[str]:
    """A title, and the tokens at each end with value and count; no line is wider than `columns`, as `columns_of` measures."""
    lines = [TITLES[measure] + (f": {note}" if (note := note_of(ranking)) else "")]
    indent = max(map(len, ENDS[measure])) + 4
    for name, tokens in zip(ENDS[measure], (ranking.highest, ranking.lowest), strict=True):
        line, first = f"  {name}".ljust(indent), True
        for entry in map(_entry, tokens):
            if not first and columns_of(line) + columns_of(entry) + 2 > columns:
                lines.append(line.rstrip())
                line, first = " " * indent, True
            line, first = line + ("" if first else "  ") + entry, False
        lines.append(line.rstrip())
    return lines


def _entry(one: NamedToken) -> str:
    count = "" if one.count is None else f" ×{one.count:,}"
    return f"{shown(one.token)} {labels.number(one.value)}{count}"
