"""Documents of the text world: words, quotations, addresses, nested brackets and indented blocks, wrapped to lines.

For every character it is known what a reader has to remember there: whether a quotation or an address is open, how deep
the brackets are nested, how far the line has come. What is written outside and inside is made of the same words and
numbers, so that a few characters do not tell where they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from torchlurk.inputs.demo.rng import Dice

VERSION = "1"
"""Part of the fingerprint: to be raised whenever a document changes."""
WIDTH = 48
"""Columns of a line, indentation included."""
SHORTEST, LONGEST = 240, 480
"""A document ends with the first piece that ends behind a length between these, in characters."""
DEEPEST = 4
"""How deep brackets are nested at most; their content is digits that name the depth."""
INDENTATION = 2
BLOCKS = 3
"""How deep blocks are nested at most."""

ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "", "", "n", "r", "s", "l")
TOKENS = ("<unk>", "\n", *' !",.()/:?{}', *"01234", *"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The vocabulary, by index: every character of the world, and one for all others."""

GENRES: Mapping[str, Mapping[str, float]] = {
    "story": {"sentence": 6, "quotation": 2, "numbers": 1, "address": 0.5, "brackets": 1, "block": 0.5},
    "dialogue": {"sentence": 2, "quotation": 6, "numbers": 1, "address": 0.5, "brackets": 0.5, "block": 0.3},
    "directory": {"sentence": 2, "quotation": 0.7, "numbers": 1, "address": 6, "brackets": 0.5, "block": 0.7},
    "figures": {"sentence": 2, "quotation": 0.7, "numbers": 3, "address": 0.5, "brackets": 6, "block": 0.5},
    "program": {"sentence": 2, "quotation": 1, "numbers": 1, "address": 1, "brackets": 1, "block": 4},
}
"""What a document is mostly made of, by its class; every piece occurs in every class."""
NAMES = tuple(GENRES)


class Sign(NamedTuple):
    """A character, and what is open once it has been read: a quotation, an address, so many brackets."""

    character: str
    quote: bool = False
    address: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the state after each of its characters.

    `column` counts characters since the line began (0 at the newline), `indentation` the spaces that the line began with as
    far as it has been read, `word` the letters of the word up to this one (0 outside of words).
    """

    text: str
    genre: int
    quote: Bool[np.ndarray, " character"]
    address: Bool[np.ndarray, " character"]
    depth: Int64[np.ndarray, " character"]
    column: Int64[np.ndarray, " character"]
    indentation: Int64[np.ndarray, " character"]
    word: Int64[np.ndarray, " character"]


def write(seed: int, index: int) -> Document:
    """Document `index` of the world with this seed; the genres take turns."""
    dice, genre = Dice(seed, index), index % len(NAMES)
    page, length = _Page(), dice.whole(SHORTEST, LONGEST)
    while len(page.signs) < length:
        _piece(page, dice, GENRES[NAMES[genre]], 0)
    page.end_line()
    return page.document(genre)


class _Page:
    """Signs so far, wrapped: chunks, which hold no blank, go to the next line where they do not fit."""

    def __init__(self) -> None:
        self.signs: list[Sign] = []
        self.columns: list[int] = []
        self._column = 0
        self._level = 0

    def put(self, chunk: list[Sign]) -> None:
        """Adds a chunk, after a blank, a new line or, at the start of a line, its indentation."""
        begun = self._column > INDENTATION * self._level
        if begun and self._column + 1 + len(chunk) > WIDTH:
            self.end_line()
            begun = False
        if begun:
            self._add(self._between(" "))
        elif not self._column:
            for _ in range(INDENTATION * self._level):
                self._add(self._between(" "))
        for sign in chunk:
            self._add(sign)

    def end_line(self) -> None:
        """Begins a new line, unless this is one."""
        if self._column:
            self._add(self._between("\n"))

    def change_level(self, by: int) -> None:
        """Ends the line; those that follow are indented by so many levels more."""
        self.end_line()
        self._level += by

    def _between(self, character: str) -> Sign:
        """A blank or new line leaves open what is open, but for addresses."""
        return self.signs[-1]._replace(character=character, address=False) if self.signs else Sign(character)

    def _add(self, sign: Sign) -> None:
        self.signs.append(sign)
        self._column = 0 if sign.character == "\n" else self._column + 1
        self.columns.append(self._column)

    def document(self, genre: int) -> Document:
        """What has been written."""
        text = "".join(sign.character for sign in self.signs)
        return Document(
            text=text,
            genre=genre,
            quote=np.array([sign.quote for sign in self.signs]),
            address=np.array([sign.address for sign in self.signs]),
            depth=np.array([sign.depth for sign in self.signs]),
            column=np.array(self.columns),
            indentation=np.array(list(_indentation(text))),
            word=np.array(list(_run(text))),
        )


def _indentation(text: str) -> Iterator[int]:
    blanks, leading = 0, True
    for character in text:
        if character == "\n":
            blanks, leading = 0, True
        elif character == " " and leading:
            blanks += 1
        else:
            leading = False
        yield blanks


def _run(text: str) -> Iterator[int]:
    letters = 0
    for character in text:
        letters = letters + 1 if character.isalpha() else 0
        yield letters


def _piece(page: _Page, dice: Dice, weights: Mapping[str, float], level: int) -> None:
    """One piece of a document; within blocks another one that is nested less deep."""
    kind = dice.weighted(dict(weights))
    if kind == "block" and level < BLOCKS:
        _block(page, dice, weights, level)
    elif kind == "quotation":
        for chunk in _quotation(dice):
            page.put(chunk)
    elif kind == "numbers":
        for chunk in _numbers(dice):
            page.put(chunk)
    elif kind == "address":
        page.put(_address(dice))
    elif kind == "brackets":
        for chunk in _brackets(dice):
            page.put(chunk)
    else:
        for chunk in _sentence(dice):
            page.put(chunk)


def _block(page: _Page, dice: Dice, weights: Mapping[str, float], level: int) -> None:
    """A name and, in braces, pieces that are indented one level more."""
    page.end_line()
    page.put(_signs(_word(dice)))
    page.put(_signs("{"))
    page.change_level(1)
    for _ in range(dice.whole(1, 3)):
        _piece(page, dice, weights, level + 1)
        page.end_line()
    page.change_level(-1)
    page.put(_signs("}"))
    page.end_line()


def _signs(text: str, *, quote: bool = False) -> list[Sign]:
    return [Sign(character, quote=quote) for character in text]


def _word(dice: Dice) -> str:
    syllables = dice.weighted({1: 3, 2: 4, 3: 1})
    return "".join(dice.pick(ONSETS) + dice.pick(VOWELS) + dice.pick(CODAS) for _ in range(syllables))


def _sentence(dice: Dice, *, quote: bool = False) -> list[list[Sign]]:
    """Words, the first with a capital, at times with a comma, and a mark at the end."""
    words = [_word(dice) for _ in range(dice.whole(2, 8))]
    words = [word + "," if dice.chance(0.12) else word for word in words[:-1]] + [words[-1] + dice.pick("." * 3 + "!?")]
    words[0] = words[0].capitalize()
    return [_signs(word, quote=quote) for word in words]


def _quotation(dice: Dice) -> list[list[Sign]]:
    """One to three sentences between quotation marks."""
    chunks = [chunk for _ in range(dice.weighted({1: 4, 2: 3, 3: 2})) for chunk in _sentence(dice, quote=True)]
    chunks[0] = [Sign('"', quote=True), *chunks[0]]
    chunks[-1] = [*chunks[-1], Sign('"')]
    return chunks


def _numbers(dice: Dice) -> list[list[Sign]]:
    """Some runs of one digit, as they are in brackets, too."""
    digit = str(dice.whole(1, DEEPEST))
    return [_signs(digit * dice.whole(1, 4)) for _ in range(dice.whole(1, 5))]


def _address(dice: Dice) -> list[Sign]:
    """A host of two or three names, and a path."""
    host = ".".join(_word(dice) for _ in range(dice.whole(2, 3)))
    path = "".join("/" + _word(dice) + dice.pick(("", "", "0", "12", "3")) for _ in range(dice.whole(0, 2)))
    return [Sign(character, address=True) for character in f"http://{host}{path}"]


def _brackets(dice: Dice, depth: int = 1) -> list[list[Sign]]:
    """Runs of the digit that names the depth, and brackets nested among them."""
    chunks: list[list[Sign]] = []
    for _ in range(dice.whole(1, 4)):
        if depth < DEEPEST and dice.chance(0.35):
            chunks += _brackets(dice, depth + 1)
        else:
            chunks.append([Sign(str(depth), depth=depth)] * dice.whole(1, 4))
    chunks[0] = [Sign("(", depth=depth), *chunks[0]]
    chunks[-1] = [*chunks[-1], Sign(")", depth=depth - 1)]
    return chunks
