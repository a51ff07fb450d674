"""Plain, frozen values of a study that tell of the network's inputs; axes are named, and nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

KindName = Literal["pictures", "text", "series"]
InputAxes = Literal["bt", "tb", "btc", "tbc", "bct"]
"""The order of a sequence network's input axes: batch, time, channel."""
Part = Literal["", "line", "row"]


@dataclass(frozen=True, slots=True)
class InputDescription:
    """What the network's inputs are; `asdict` of it is JSON.

    `dtype` is that of the input as it is given, such as "int64". For text: `vocabulary_size` is one more than the highest
    index, `vocabulary` the tokens by index ('' where an index has none), None where they are not known; `window` is the
    most tokens of one example and `burn_in` how many of them are read and not counted where a window continues a text; both
    are None where examples are whole texts.
    For series: `channels` are their names, '' where unknown. `called` is the name of a kind that a program has added and that
    is like `kind`, '' otherwise. `axes` is None for pictures and until it is known. `example` is what of a text is one example,
    where that is no file: a line, or the row of a table.
    """

    kind: KindName
    dtype: str
    vocabulary_size: int | None = None
    vocabulary: tuple[str, ...] | None = None
    window: int | None = None
    burn_in: int | None = None
    axes: InputAxes | None = None
    channels: tuple[str, ...] = ()
    called: str = ""
    example: Part = ""


@dataclass(frozen=True, slots=True)
class ReadsText:
    """How a published model reads text: its tokenizer.json, the most tokens that it takes, and its vocabulary where there is no
    tokenizer.json; None where unknown.
    """

    tokenizer: str | None = None
    longest: int | None = None
    vocabulary: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ForwardParameters:
    """What of a network's forward data can fill; constants are not among it.

    `ordered` are the parameters that several inputs fill in order: those without a default, and those whose default is None.
    `required` have no default, `named` are all that can be filled by name; `any_name` says that every name is taken. `lengths`,
    `masks` and `states` are those among them that sequences tell by themselves. `padding` is the token that the network's
    embeddings take for no token.
    """

    ordered: tuple[str, ...] = ("",)
    required: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    any_name: bool = False
    lengths: frozenset[str] = frozenset()
    masks: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    padding: int | None = None


@dataclass(frozen=True, slots=True)
class TextExample:
    """One example of text: its tokens as they stand in the document, each with its offset there, in characters.

    `counted` is the half-open range of tokens that count; the others are burn-in. Offsets are empty where the tokens
    come from no document.
    """

    tokens: tuple[str, ...]
    offsets: tuple[int, ...]
    counted: tuple[int, int]

    @property
    def steps(self) -> int:
        """How many there are, burn-in included."""
        return len(self.tokens)

    def around(self, step: int, most: int) -> tuple[str, str]:
        """The text before and after a token, of at most so many tokens each.

        A blank stands where the document has something between two tokens that is part of neither, as between words; where
        that is not known, between tokens that are words.
        """
        first, last = max(0, step - most), min(len(self.tokens), step + 1 + most)
        before = "".join(self.tokens[one] + self._gap(one) for one in range(first, step))
        return before, "".join(self._gap(one - 1) + self.tokens[one] for one in range(step + 1, last))

    def place(self, path: str, step: int) -> str:
        """Where a token stands, as `file@offset`, of an example whose path is that of its first counted token; the path alone
        where the token comes from no document.
        """
        name, _, first = path.rpartition("@")
        known = name and self.offsets and 0 <= step < self.steps and self.counted[0] < self.steps
        return f"{name}@{self.offsets[step]}" if known and first == str(self.offsets[self.counted[0]]) else path

    def _gap(self, step: int) -> str:
        """What stands between a token and the next one."""
        if not self.offsets:
            return separator(self.tokens[:LOOKED_AT])
        parted = self.offsets and self.offsets[step + 1] > self.offsets[step] + len(self.tokens[step])
        return " " if parted else ""


def step_at(position: int, positions: int, steps: int) -> int:
    """The first step that a layer's position stands for on an example: as many as there are steps, or in proportion where the
    layer has fewer positions.
    """
    return -(-position * steps // max(1, positions))


LOOKED_AT = 64
"""Tokens of a text that tell whether they are words."""

BRACKETED = re.compile(r"<.+>|\[.+\]")
"""Tokens that stand for the beginning, the end or the unknown."""


def separator(tokens: Sequence[str]) -> str:
    """What stands between tokens where they are shown together: nothing where they are characters, but for those in brackets
    such as `</s>`, or bring their own spaces. Digits alone are ids of tokens.
    """
    plain = [token for token in tokens if not BRACKETED.fullmatch(token)]
    if len(plain) > 1 and all(token.isdecimal() for token in plain):
        return " "
    spaced = any(token.isspace() or token.startswith((" ", "▁", "Ġ")) for token in plain)
    return " " if not spaced and any(len(token) > 1 for token in plain) else ""


@dataclass(frozen=True, slots=True)
class SeriesExample:
    """One series: its values, the names of its channels ('' where unknown), and the half-open range of steps that count."""

    values: Float32[np.ndarray, "time channel"]
    channels: tuple[str, ...]
    counted: tuple[int, int]

    @property
    def steps(self) -> int:
        """How many there are, burn-in included."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Statistics of the network's inputs in the 0..1 range, for synthesis, over `count` examples of the sample.

    `covariance` is that of the colour channels over all pixels; `spectrum` the mean magnitude of the
    orthonormal rfft2 of each channel.
    """

    count: int
    mean: Float64[np.ndarray, " channel"]
    covariance: Float64[np.ndarray, "channel channel2"]
    spectrum: Float64[np.ndarray, "channel height frequency"]
