"""A folder of images, one sub-folder per class or none, as a source of examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from torchlurk.errors import DataError
from torchlurk.files import expanded
from torchlurk.inputs.pictures.decoding import decode, size_of
from torchlurk.inputs.pictures.preprocessing import prepared_size
from torchlurk.inputs.source import ExampleList, Source, printable, spread
from torchlurk.inputs.sources.class_files import Labelling, by_folder, classes_of, read_classes
from torchlurk.inputs.sources.encoded import EncodedPictures, content_of
from torchlurk.inputs.sources.listing import Listing, list_images
from torchlurk.records import Class, Example, Preprocessing, Skip

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""What the parts of a data set are called."""

PROBED_FILES = 16
"""How many files, spread over the data, are looked into before the work begins: for their size and their content."""

PROBED_BYTES = 2**20
"""How much of each of them enters the fingerprint."""


class ImageFolder(EncodedPictures):
    """Images below a folder; see `Source`. A sub-folder of `root` is a class, with all that is nested in it.

    Order is by code point of the path relative to `root`. Images directly in `root` have no class. `limit` takes that
    many, evenly spread. `classes` is a file of classes in place of the sub-folders; `listed` are the files and classes of a
    list. Raises `DataError` where the folder is missing, unreadable or without images, `OptionError` where the file of
    classes or of their names makes no sense.
    """

    def __init__(
        self,
        root: Path,
        preprocessing: Preprocessing,
        *,
        class_names: str | Path | None = None,
        limit: int | None = None,
        name: str | None = None,
        classes: str | Path | None = None,
        listed: tuple[Listing, Labelling] | None = None,
    ) -> None:
        self.root = expanded(root)
        self.name = name or str(root)
        self.preprocessing = preprocessing
        listing, labels = listed or _by_folder(list_images(self.root))
        if classes:
            labels = read_classes(Path(classes), [printable(path) for path in listing.paths])
        self.classes: Sequence[Class] = classes_of(labels.names, class_names)
        self.skipped: tuple[Skip, ...] = tuple(listing.skipped)
        chosen = spread(len(listing.paths), limit)
        self._paths = [listing.paths[index] for index in chosen]
        self._own_classes = labels.indices[chosen] if classes or listed else None
        self.examples: Sequence[Example] = ExampleList(self._paths, labels.indices[chosen])

    def __getstate__(self) -> dict[str, Any]:
        """Pickled with the whole path: the process that reads may run in another folder."""
        return vars(self) | {"root": self.root.absolute()}

    def _content(self, index: int) -> bytes:
        return content_of(self._file(index))

    def _picture(self, index: int) -> Image.Image:
        return decode(self._file(index))

    def fingerprint(self) -> str:
        """See `Source`: over all relative paths and sizes, the class folders, and the content of a few files."""
        digest = hashlib.sha256("\0".join(one.name for one in self.classes).encode("utf-8", "surrogateescape"))
        if self._own_classes is not None:
            digest.update(self._own_classes.tobytes())
        root = str(self.root)  # not as Path: joining a million of them takes longer than asking for their sizes
        for path in self._paths:
            digest.update(os.fsencode(path) + b"\0%d\n" % _bytes_in(os.path.join(root, path)))
        for index in spread(len(self._paths), PROBED_FILES):
            digest.update(hashlib.sha256(_beginning(self._file(index))).digest())
        return digest.hexdigest()

    def check_sizes(self) -> None:
        """Raises `DataError` where a few spread images would become network inputs of different sizes."""
        check_sizes(self, lambda index: size_of(self._file(index)))

    def _file(self, index: int) -> Path:
        return self.root / self._paths[index]


def check_sizes(source: Source, size_at: Callable[[int], tuple[int, int]]) -> None:
    """Raises `DataError` where a few spread pictures, of (height, width) `size_at`, would become inputs of different sizes."""
    sizes: dict[tuple[int, int], str] = {}
    for index in spread(len(source.examples), PROBED_FILES):
        try:
            size = prepared_size(size_at(index), source.preprocessing)
        except DataError:
            continue  # it will be skipped, with this reason, when it is read
        sizes.setdefault(size, source.examples[index].path)
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise DataError(
            f"images differ in size: {one} is {first[1]}x{first[0]}, {other} {second[1]}x{second[0]}",
            "give --resize and --crop, for example --resize 256 --crop 224",
        )


def told_of_splits(source: Source) -> str | None:
    """What a user is told where the folders taken for classes are the parts of a data set, each with classes below it."""
    names = [one.name for one in source.classes]
    if not names or not {name.lower() for name in names} <= SPLITS:
        return None
    paths = [source.examples[index].path for index in spread(len(source.examples), PROBED_FILES)]
    if not all(path.count("/") > 1 for path in paths):
        return None
    return (
        f"the classes are the folders {' and '.join(names)}, which look like the parts of a data set, each with a folder per"
        f" class: for those give {source.name.rstrip('/')}/{names[0]}"
    )


def _by_folder(listing: Listing) -> tuple[Listing, Labelling]:
    return listing, by_folder(listing.paths, listing.folders)


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
