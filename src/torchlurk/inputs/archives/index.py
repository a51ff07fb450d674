"""Where the pictures of some archives are: a few numbers an example, not an object."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from torchlurk.inputs.source import printable
from torchlurk.inputs.sources.labels import MOST_CLASSES
from torchlurk.records import Skip

NOT_PACKED, DEFLATED = 0, 8
"""How the content of a member is stored, in the numbers of zip files."""


class Words(Sequence[str]):
    """Texts one behind the other in one array of bytes."""

    def __init__(self, packed: bytes, ends: Int64[np.ndarray, " word"]) -> None:
        self._packed, self._ends = packed, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with the length of each word, in as few bytes as the longest takes."""
        lengths = np.diff(self._ends, prepend=0)
        return _of_lengths, (self._packed, lengths.astype(np.min_scalar_type(lengths.max(initial=0))))

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # words are asked for one at a time
        start = int(self._ends[index - 1]) if index else 0
        return self._packed[start : int(self._ends[index])].decode("utf-8", "surrogateescape")


def _of_lengths(packed: bytes, lengths: Shaped[np.ndarray, " word"]) -> Words:
    return Words(packed, np.cumsum(lengths, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Index:
    """The pictures of several archives, archive by archive in the order of their members.

    The examples of archive `i` are `firsts[i]` to `firsts[i + 1]`. `sizes` are those of the stored bytes that begin at
    `offsets`, and `packings` how each is stored. `classes` numbers the words that examples are called by, -1 for none.
    """

    files: tuple[str, ...]
    firsts: Int64[np.ndarray, " archive_and_one"]
    names: Sequence[str]
    offsets: Int64[np.ndarray, " example"]
    sizes: Int64[np.ndarray, " example"]
    packings: UInt8[np.ndarray, " example"]
    words: tuple[str, ...]
    classes: Int64[np.ndarray, " example"]
    skipped: tuple[Skip, ...]

    def __len__(self) -> int:
        return len(self.offsets)

    def archive(self, index: int) -> int:
        """Which archive an example is in."""
        return int(np.searchsorted(self.firsts, index, "right")) - 1


@dataclass(slots=True)
class Growing:
    """An index while archives are read."""

    files: list[str] = field(default_factory=list)
    firsts: array[int] = field(default_factory=lambda: array("q", [0]))
    packed: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    packings: bytearray = field(default_factory=bytearray)
    classes: array[int] = field(default_factory=lambda: array("q"))
    numbers: dict[str | int, int] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)

    def add(self, name: str, offset: int, size: int, word: str | int | None, packing: int = NOT_PACKED) -> None:
        """Takes a picture of the archive that is being read."""
        self.packed += name.encode("utf-8", "surrogateescape")
        self.ends.append(len(self.packed))
        self.offsets.append(offset)
        self.sizes.append(size)
        self.packings.append(packing)
        self.classes.append(-1 if word is None else self.numbers.setdefault(word, len(self.numbers)))

    def close(self, file: str) -> None:
        """All pictures since the last archive are those of this one."""
        self.files.append(file)
        self.firsts.append(len(self.offsets))

    def skip(self, path: str, reason: str) -> None:
        """Takes note of something passed over."""
        self.skipped.append(Skip(printable(path), reason))

    def finish(self) -> Index:
        """The index, with the classes in order."""
        words, place = _ordered(list(self.numbers))
        classes = np.array(self.classes, np.int64)
        return Index(
            tuple(self.files),
            np.array(self.firsts, np.int64),
            Words(bytes(self.packed), np.array(self.ends, np.int64)),
            np.array(self.offsets, np.int64),
            np.array(self.sizes, np.int64),
            np.frombuffer(bytes(self.packings), np.uint8),
            words,
            np.append(place, -1)[classes],
            tuple(self.skipped),
        )


def _ordered(found: Sequence[str | int]) -> tuple[tuple[str, ...], Int64[np.ndarray, " word"]]:
    """The classes, and which of them each word found is.

    Where all are numbers, these are the indices of the classes, and those that do not occur are classes too: the shards at
    hand may be some of many. Words are in alphabetical order.
    """
    numbers = [one for one in found if isinstance(one, int)]
    if numbers and len(numbers) == len(found) and max(numbers) < MOST_CLASSES:
        return tuple(map(str, range(max(numbers) + 1))), np.array(numbers, np.int64)
    words = tuple(sorted({str(one) for one in found}))
    place = {word: index for index, word in enumerate(words)}
    return words, np.array([place[str(one)] for one in found], np.int64)
