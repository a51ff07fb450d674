"""Where examples come from: what every source of examples can do, and which source DATA names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing, Skip

DEMO = "demo"
"""The DATA that names the drawn world instead of a folder."""

Pixels = UInt8[np.ndarray, "height width channel"] | Float32[Tensor, "channel height width"]
"""One example: uint8 is a picture before normalization, float32 the network's input as it is."""


@dataclass(frozen=True, slots=True)
class Item:
    """What reading one example gives: its pixels, resized and cropped, and its class (None where it has none)."""

    pixels: Pixels
    class_index: int | None


def same(one: Item, other: Item) -> bool:
    """Whether two items are equal in every value (a NaN equals a NaN)."""
    pixels = np.asarray(one.pixels), np.asarray(other.pixels)
    alike = pixels[0].dtype == pixels[1].dtype and np.array_equal(*pixels, equal_nan=pixels[0].dtype.kind == "f")
    return alike and one.class_index == other.class_index


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
    def preprocessing(self) -> Preprocessing:
        """How the pictures become the network's input; resize and crop are already done by `read`."""

    def read(self, index: int) -> Item:
        """Example `index`; raises `DataError`, with the reason alone as its message, where it cannot be read."""

    def fingerprint(self) -> str:
        """64 hexadecimal digits that change when the data does; not when it is moved or touched."""


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


def open_source(data: str, options: InputOptions, default: Preprocessing | None = None) -> Source:
    """The source that DATA names: a folder of images, or `demo`.

    `default` is the model's own preprocessing. Of the demo, `limit` is how many pictures are drawn. Raises `DataError`
    where there is nothing to read, or where the pictures differ in size and nothing says how to make them alike;
    `OptionError` for options that do not go together.
    """
    from torchlurk.inputs.pictures.preprocessing import resolve
    from torchlurk.inputs.sources.folder import ImageFolder  # it builds on this module

    if data == DEMO:
        from torchlurk.inputs.demo.world import IMAGES, PREPROCESSING, DemoWorld

        return DemoWorld(options.limit or IMAGES, preprocessing=resolve(options, default or PREPROCESSING))
    folder = ImageFolder(Path(data), resolve(options, default), class_names=options.class_names, limit=options.limit, name=data)
    folder.check_sizes()
    return folder
