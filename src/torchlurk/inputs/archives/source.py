"""Pictures in tar and zip files as a source of examples."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from torchlurk.errors import DataError
from torchlurk.inputs.archives.index import DEFLATED, Index
from torchlurk.inputs.archives.naming import ZIP, archives
from torchlurk.inputs.archives.shards import index_shards
from torchlurk.inputs.archives.zip_files import LOCAL_HEADER, index_zip
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.source import ExampleList, printable, spread
from torchlurk.inputs.sources.class_files import classes_of, read_classes
from torchlurk.inputs.sources.encoded import MOST_BYTES, check_length
from torchlurk.inputs.sources.stored_pictures import StoredPictures
from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing


class ArchiveSource(StoredPictures):
    """The pictures of an index; see `Source`. `root` is the folder of the archives.

    An example is read by its place, with a file opened for it alone: any thread may read any example. Its path is that of
    the member, behind that of its archive where there are several.
    """

    def __init__(self, root: Path, index: Index, preprocessing: Preprocessing, options: InputOptions, name: str) -> None:
        self.root, self.name, self.preprocessing = root, name, preprocessing
        self.skipped = index.skipped
        words, classes = index.words, index.classes
        if options.classes:
            labels = read_classes(Path(options.classes), [printable(one) for one in index.names])
            words, classes = labels.names, labels.indices
        self.classes: Sequence[Class] = classes_of(words, options.class_names)
        self._index = replace(index, classes=classes, skipped=())
        self._choose(np.array(spread(len(index), options.limit), np.int64))

    def _choose(self, chosen: Int64[np.ndarray, " example"]) -> None:
        self._chosen = chosen
        paths, classes = _Chosen(self._index.names, chosen), self._index.classes[chosen]
        self.examples: Sequence[Example] = ExampleList(paths, classes)

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without what follows from the index: a million pictures go to every actor."""
        state = {name: value for name, value in vars(self).items() if name not in ("examples", "_chosen")}
        return state if len(self._chosen) == len(self._index) else state | {"chosen": self._chosen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        chosen = state.pop("chosen", None)
        vars(self).update(state)
        self._choose(np.arange(len(self._index)) if chosen is None else chosen)

    def fingerprint(self) -> str:
        """See `Source`: over the names, sizes and classes of all pictures, and the content of a few."""
        digest = hashlib.sha256("\0".join(one.name for one in self.classes).encode("utf-8", "surrogateescape"))
        for values in (self._index.sizes, self._index.classes):
            digest.update(np.ascontiguousarray(values[self._chosen], "<i8").tobytes())
        for place in self._chosen.tolist():
            digest.update(self._index.names[place].encode("utf-8", "surrogateescape") + b"\0")
        digest.update(self._probed())
        return digest.hexdigest()

    def _content(self, index: int) -> bytes:
        """The bytes of a picture; raises `DataError`, with the reason alone, where they are not there."""
        known, place = self._index, int(self._chosen[index])
        offset, size = int(known.offsets[place]), int(known.sizes[place])
        check_length(size)
        file = known.files[known.archive(place)]
        try:
            with open(self.root / file, "rb") as stream:
                stream.seek(offset)
                if file.lower().endswith(ZIP):
                    header = stream.read(LOCAL_HEADER)
                    stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
                stored = stream.read(size)
        except OSError as error:
            raise DataError(f"cannot be opened: {error.strerror}") from error
        if len(stored) < size:
            raise DataError("is cut off: its archive has become shorter")
        return _inflated(stored) if known.packings[place] == DEFLATED else stored


def _inflated(stored: bytes) -> bytes:
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacking.decompress(stored, MOST_BYTES)
    except zlib.error as error:
        raise DataError(f"is damaged: {error}") from error
    if unpacking.unconsumed_tail:
        raise DataError(f"unpacks to over {MOST_BYTES:,} bytes, more than any picture")
    if not unpacking.eof:
        raise DataError("is damaged: its compressed data has no end")
    return content


class _Chosen(Sequence[str]):
    """Some of the names, in order."""

    def __init__(self, names: Sequence[str], places: np.ndarray) -> None:
        self._names, self._places = names, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # paths are asked for one at a time
        return self._names[int(self._places[index])]


def open_archives(data: str, options: InputOptions, default: Preprocessing | None) -> ArchiveSource:
    """The pictures in the archives that DATA names; raises `DataError` where there is none, or they differ in size."""
    root, files = archives(data)
    index = index_zip(root / files[0]) if files[0].lower().endswith(ZIP) else index_shards(root, files)
    if not len(index):
        others = f" ({len(index.skipped)} members skipped; {_first(index)})" if index.skipped else ""
        raise DataError(f"no pictures in {data}{others}", "it should hold image files, such as dog/7.jpg, or 7.jpg and 7.cls")
    source = ArchiveSource(root, index, resolve(options, default), options, data)
    source.check_sizes()
    return source


def _first(index: Index) -> str:
    return f"{index.skipped[0].path} {index.skipped[0].reason}"
