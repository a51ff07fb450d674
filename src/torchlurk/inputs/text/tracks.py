"""Tracks that a text tells by itself: a label for each of its tokens, such as whether it is inside quotation marks.

A label is what a reader knows once the token has been read: of the token's last character, but for capitals and digits, which
are those of its first. What is open is closed by an empty line, as a mark left open would otherwise turn all that follows
around.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int64

from torchlurk.input_records import BRACKETED
from torchlurk.track_records import Measure

OPENING, CLOSING = "([", ")]"
EITHER_QUOTE, OPENING_QUOTE, CLOSING_QUOTE = '"', "“«", "”»"
ADDRESS = re.compile(r"https?://[^\s\"'<>()\[\]{}]*[^\s\"'<>()\[\]{}.,;:!?]")
EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
SPECIAL = "\N{REPLACEMENT CHARACTER}"
"""What stands for a token in brackets in a text that is made of tokens."""
LONGEST_BEFORE = 1 << 16
"""So many characters before a window are read at most to know what is open in it."""

Labels = Float32[np.ndarray, " token"]

TWO_VALUED = ("quotes", "brackets", "address", "capital", "digit")
NUMERIC = ("depth", "column", "indentation", "word")
MADE: Mapping[str, Measure] = {**dict.fromkeys(TWO_VALUED, "auc"), **dict.fromkeys(NUMERIC, "r")}
"""All of them, in order."""
TOLD_BY_TOKENS = {name: measure for name, measure in MADE.items() if name in TWO_VALUED or name == "depth"}
"""Those that do not depend on what stands between the tokens, which nobody knows where only these are given."""

BEGINNINGS = "Ġ▁"
"""What tokenizers write for the space before a token; the first is a capital letter of Maltese."""


def told_by_text(text: str, starts: Int64[np.ndarray, " token"], tokens: Sequence[str]) -> dict[str, Labels]:
    """Every track, by name, of the tokens that stand at `starts` of a document."""
    if not len(starts):
        return {name: np.zeros(0, np.float32) for name in MADE}
    ends = starts + np.array([_extent(text, start, token) for start, token in zip(starts.tolist(), tokens, strict=True)]) - 1
    ends[:-1] = np.minimum(ends[:-1], np.maximum(starts[1:] - 1, starts[:-1]))  # a byte may be shown as "<0xF0>"
    first, last = _beginning(text, int(starts[0])), min(len(text), int(ends.max()) + 1 + LONGEST_ADDRESS)
    piece = text[first:last]
    by_character = _characters(piece)
    within = np.minimum(ends - first, len(piece) - 1)
    found = {name: by_character[name][within].astype(np.float32) for name in MADE}
    return found | {name: by_character[name][starts - first].astype(np.float32) for name in ("capital", "digit")}


def _extent(text: str, start: int, token: str) -> int:
    """How many characters of the text a token is; one in brackets that is none of the text counts as one."""
    return 1 if BRACKETED.fullmatch(token) and not text.startswith(token, start) else max(1, len(token))


def joined(tokens: Sequence[str], apart: str) -> tuple[str, Int64[np.ndarray, " token"], Sequence[str]]:
    """A text made of tokens with `apart` between them, where each starts in it, and the tokens as they stand there: one in
    brackets, such as `</s>`, as a single character that is neither letter nor digit.
    """
    plain = [SPECIAL if BRACKETED.fullmatch(token) else token for token in tokens]
    bare = [token.lstrip(BEGINNINGS) or " " for token in plain] if apart else plain
    starts = np.cumsum([0, *(len(token) + len(apart) for token in bare)])[:-1]
    return apart.join(bare), starts, bare


LONGEST_ADDRESS = 256
"""So many characters after a window are read, to know that a last `h` begins an address."""


def _beginning(text: str, start: int) -> int:
    """Where nothing is open any more: after the last empty line before a place, or the beginning of a line far before it."""
    least = max(0, start - LONGEST_BEFORE)
    empty = [found.end() for found in EMPTY_LINE.finditer(text, least, start)]
    if empty:
        return empty[-1]
    return 0 if least == 0 else text.rfind("\n", least, start) + 1 or least


def _characters(text: str) -> dict[str, np.ndarray]:
    """Every track of every character of a text."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    lines = points == ord("\n")
    paragraphs = np.zeros(len(points), bool)
    for found in EMPTY_LINE.finditer(text):
        paragraphs[found.end() - 1] = True
    letters = np.fromiter(map(str.isalpha, text), bool, len(text))
    depth = _open(_any(points, OPENING), _any(points, CLOSING), paragraphs)
    return {
        "quotes": _quotes(points, paragraphs),
        "brackets": depth > 0,
        "address": _addresses(text),
        "capital": np.fromiter(map(str.isupper, text), bool, len(text)),
        "digit": np.fromiter(map(str.isdigit, text), bool, len(text)),
        "depth": depth,
        "column": _since(lines),
        "indentation": _indentation(points == ord(" "), lines),
        "word": np.where(letters, _since(~letters), 0),
    }


def _any(points: np.ndarray, characters: str) -> Bool[np.ndarray, " character"]:
    return np.isin(points, [ord(one) for one in characters])


def _since(marks: Bool[np.ndarray, " character"]) -> Int64[np.ndarray, " character"]:
    """How many characters ago the last mark was; before the first as if one stood before the beginning."""
    places = np.arange(len(marks))
    return places - np.maximum.accumulate(np.where(marks, places, -1))


def _open(
    opening: Bool[np.ndarray, " character"], closing: Bool[np.ndarray, " character"], ends: Bool[np.ndarray, " character"]
) -> Int64[np.ndarray, " character"]:
    """How many are open; what closes nothing counts for nothing, and nothing is open after an end."""
    depth = np.zeros(len(opening), np.int64)
    first = 0
    for end in [*(np.flatnonzero(ends) + 1).tolist(), len(opening)]:
        total = np.cumsum(opening[first:end].astype(np.int64) - closing[first:end])
        depth[first:end] = total - np.minimum(np.minimum.accumulate(total), 0) if end > first else total
        first = end
    depth[ends] = 0
    return depth


def _quotes(points: np.ndarray, ends: Bool[np.ndarray, " character"]) -> Bool[np.ndarray, " character"]:
    """Inside straight marks, which open and close by turns, or inside curved ones."""
    straight = points == ord(EITHER_QUOTE)
    before = np.cumsum(straight)
    start = np.maximum.accumulate(np.where(ends, before, 0))
    inside: np.ndarray = (before - start) % 2 == 1
    inside |= _open(_any(points, OPENING_QUOTE), _any(points, CLOSING_QUOTE), ends) > 0
    return inside


def _addresses(text: str) -> Bool[np.ndarray, " character"]:
    inside = np.zeros(len(text), bool)
    for found in ADDRESS.finditer(text):
        inside[found.start() : found.end()] = True
    return inside


def _indentation(blanks: Bool[np.ndarray, " character"], lines: Bool[np.ndarray, " character"]) -> np.ndarray:
    """Blanks from the line's beginning without another character between."""
    other = ~blanks & ~lines
    column = _since(lines)
    reached = _since(lines | other)
    leading = blanks & (reached == column)
    counted = np.where(leading, column, 0)
    starts = np.cumsum(lines)
    most = np.zeros(len(blanks), np.int64)
    first = 0
    for end in [*(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(blanks)]:
        most[first:end] = np.maximum.accumulate(counted[first:end])
        first = end
    return most
