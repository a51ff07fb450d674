"""Where examples come from: what every source of examples can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, overload, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from torchlurk.inputs.items import Item
from torchlurk.inputs.kinds import Kind
from torchlurk.inputs.pictures.kind import Pictures
from torchlurk.records import Class, Example, Preprocessing, Skip
from torchlurk.track_records import Measure


@runtime_checkable
class Source(Protocol):
    """Examples that can be read in any order, any number of times, from several threads.

    `examples[i].index` is i. `skipped` lists what was passed over when the examples were listed; what cannot be read
    is found out by reading it. `name` is what the user called the data.
    """

    @property
    def name(self) -> str:
        """What the user called the data."""

    @property
    def examples(self) -> Sequence[Example]:
        """All examples; a class that only reading tells is None until the example has been read."""

    @property
    def classes(self) -> Sequence[Class]:
        """All classes, `classes[i].index` being i; empty where there are none."""

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """What was passed over when listing, and why."""

    @property
    def kind(self) -> Kind:
        """What the examples are, and how they become the network's input."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures become the network's input; resize and crop are already done by `read`. Says nothing of other kinds."""

    @property
    def lengths(self) -> Int64[np.ndarray, " example"] | None:
        """The steps of each example, burn-in included; None for pictures, and where only reading tells."""

    def counted(self, index: int) -> tuple[int, int]:
        """The steps of example `index` that count, half-open: all but burn-in. (0, 0) for a picture, which has no steps."""

    def read(self, index: int) -> Item:
        """Example `index`; raises `DataError`, with the reason alone as its message, where it cannot be read."""

    def fingerprint(self) -> str:
        """64 hexadecimal digits that change when the data does; not when it is moved or touched."""


@runtime_checkable
class Windowed(Protocol):
    """A source whose examples are windows over longer documents."""

    @property
    def cut_up(self) -> bool:
        """Whether any document is longer than a window: where none is, there is no burn-in."""

    def burning(self, *, left: bool, right: bool) -> Source:
        """The same data, its windows cut anew: with burn-in on the left, on the right, or both.

        A network that reads forward needs it on the left, one that reads backward on the right, a two-sided one on both.
        """

    def repeated(self, index: int) -> int:
        """How many of the first steps of example `index` are the last of the example before."""


@runtime_checkable
class Tracked(Protocol):
    """A source whose steps have labels."""

    @property
    def tracks(self) -> Mapping[str, Measure]:
        """The tracks there are, and how units are measured against each."""

    @property
    def given_tracks(self) -> str | None:
        """64 hexadecimal digits that tell tracks from a file apart; None without one."""

    def labels(self, index: int) -> Mapping[str, Float32[np.ndarray, " time"]]:
        """By track, the label of each step of an example; NaN where a step has none."""


@runtime_checkable
class OnDisk(Protocol):
    """A source that reads its examples from files when they are asked for."""

    @property
    def root(self) -> Path:
        """The folder they are in."""


class PictureSource:
    """What all sources of pictures have in common."""

    preprocessing: Preprocessing
    lengths: Int64[np.ndarray, " example"] | None = None

    @property
    def kind(self) -> Kind:
        """See `Source`."""
        return Pictures(self.preprocessing)

    def counted(self, index: int) -> tuple[int, int]:
        """See `Source`."""
        return 0, 0


class ExampleList(Sequence[Example]):
    """Examples made when asked for: a million of them cost a list of paths and an array of classes (-1 for none)."""

    def __init__(self, paths: Sequence[str], class_indices: Int64[np.ndarray, " example"]) -> None:
        self._paths, self._class_indices = paths, class_indices

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        index %= len(self)
        class_index = int(self._class_indices[index])
        return Example(index, printable(self._paths[index]), class_index if class_index >= 0 else None)


def printable(path: str) -> str:
    """The path as valid Unicode: bytes of a file name that are not text become replacement characters."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def spread(count: int, most: int | None) -> list[int]:
    """At most `most` of `count` indices, evenly spread, first included, in order; all of them for None."""
    if most is None or most >= count:
        return list(range(count))
    return [step * count // most for step in range(most)]
