"""A folder of images, one sub-folder per class or none, as a source of examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from torchlurk.errors import DataError
from torchlurk.inputs.pictures.decoding import decode, size_of
from torchlurk.inputs.pictures.preprocessing import prepare, prepared_size
from torchlurk.inputs.source import ExampleList, Item, spread
from torchlurk.inputs.sources.class_names import read_labels
from torchlurk.inputs.sources.listing import list_images
from torchlurk.records import Class, Example, Preprocessing, Skip

PROBED_FILES = 16
"""How many files, spread over the data, are looked into before the work begins: for their size and their content."""

PROBED_BYTES = 2**20
"""How much of each of them enters the fingerprint."""


class ImageFolder:
    """Images below a folder; see `Source`. A sub-folder of `root` is a class, with all that is nested in it.

    Order is by code point of the path relative to `root`. Images directly in `root` have no class. `limit` takes that
    many, evenly spread. Raises `DataError` where the folder is missing, unreadable or without images, `OptionError`
    where the file of class names makes no sense.
    """

    def __init__(
        self,
        root: Path,
        preprocessing: Preprocessing,
        *,
        class_names: str | Path | None = None,
        limit: int | None = None,
        name: str | None = None,
    ) -> None:
        self.root = root.expanduser()
        self.name = name or str(root)
        self.preprocessing = preprocessing
        listing = list_images(self.root)
        labels = read_labels(Path(class_names), listing.folders) if class_names else listing.folders
        self.classes: Sequence[Class] = tuple(
            Class(index, folder, label) for index, (folder, label) in enumerate(zip(listing.folders, labels, strict=True))
        )
        self.skipped: tuple[Skip, ...] = tuple(listing.skipped)
        self._paths = [listing.paths[index] for index in spread(len(listing.paths), limit)]
        self.examples: Sequence[Example] = ExampleList(self._paths, _class_indices(self._paths, listing.folders))

    def read(self, index: int) -> Item:
        """See `Source`."""
        return Item(prepare(decode(self._file(index)), self.preprocessing), self.examples[index].class_index)

    def fingerprint(self) -> str:
        """See `Source`: over all relative paths and sizes, the class folders, and the content of a few files."""
        digest = hashlib.sha256("\0".join(one.name for one in self.classes).encode("utf-8", "surrogateescape"))
        root = str(self.root)  # not as Path: joining a million of them takes longer than asking for their sizes
        for path in self._paths:
            digest.update(os.fsencode(path) + b"\0%d\n" % _bytes_in(os.path.join(root, path)))
        for index in spread(len(self._paths), PROBED_FILES):
            digest.update(hashlib.sha256(_beginning(self._file(index))).digest())
        return digest.hexdigest()

    def check_sizes(self) -> None:
        """Raises `DataError` where a few spread images would become network inputs of different sizes."""
        sizes: dict[tuple[int, int], str] = {}
        for index in spread(len(self._paths), PROBED_FILES):
            try:
                size = prepared_size(size_of(self._file(index)), self.preprocessing)
            except DataError:
                continue  # it will be skipped, with this reason, when it is read
            sizes.setdefault(size, self.examples[index].path)
        if len(sizes) > 1:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise DataError(
                f"images differ in size: {one} is {first[1]}x{first[0]}, {other} {second[1]}x{second[0]}",
                "give --resize and --crop, for example --resize 256 --crop 224",
            )

    def _file(self, index: int) -> Path:
        return self.root / self._paths[index]


def _class_indices(paths: Sequence[str], folders: Sequence[str]) -> np.ndarray:
    index_of = {folder: index for index, folder in enumerate(folders)}
    return np.fromiter((index_of[path.partition("/")[0]] if "/" in path else -1 for path in paths), np.int64, len(paths))


def _bytes_in(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def _beginning(file: Path) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(PROBED_BYTES)
    except OSError:
        return b""
