"""Pictures of a data set that Hugging Face's `datasets` has saved to disk: Arrow files with a column of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torchlurk.errors import DataError, MissingExtraError, in_one_line
from torchlurk.inputs.pictures.preprocessing import resolve
from torchlurk.inputs.source import ExampleList, printable, spread
from torchlurk.inputs.sources.class_files import Labelling, classes_of, labelling, read_classes
from torchlurk.inputs.sources.encoded import check_length, content_of
from torchlurk.inputs.sources.labels import CLASS_KEYS
from torchlurk.inputs.sources.stored_pictures import StoredPictures
from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import ChunkedArray

SPLITS, STATE = "dataset_dict.json", "state.json"
"""Files by which a folder is known: one of several splits, and one of Arrow files."""


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` has written the folder."""
    return (folder / SPLITS).is_file() or ((folder / STATE).is_file() and (folder / "dataset_info.json").is_file())


def open_saved(folder: Path, options: InputOptions, default: Preprocessing | None, name: str) -> SavedDataset:
    """The pictures of a saved data set; raises `DataError` where it holds none, or cannot be read."""
    source = SavedDataset(folder, _loaded(folder), resolve(options, default), options, name)
    source.check_sizes()
    return source


class SavedDataset(StoredPictures):
    """The rows of a saved data set; see `Source`. They stay in files that are mapped into memory.

    An example's path is the one that is stored beside its picture, often none.
    """

    def __init__(self, root: Path, dataset: Dataset, preprocessing: Preprocessing, options: InputOptions, name: str) -> None:
        from datasets import Image
        from pyarrow import compute

        self.root, self.name, self.preprocessing = root, name, preprocessing
        self._column = _column_of_pictures(dataset, root)
        # Pictures are decoded here, as those of other sources are.
        self._rows = dataset.select_columns([self._column]).cast_column(self._column, Image(decode=False))
        paths = [printable(one or "") for one in self._field("path").to_pylist()]
        labels = read_classes(Path(options.classes), paths) if options.classes else _labels(dataset)
        self.classes: Sequence[Class] = classes_of(labels.names, options.class_names)
        self._chosen = spread(len(paths), options.limit)
        self._sizes = compute.fill_null(compute.binary_length(self._field("bytes")), -1).to_numpy()[self._chosen]
        self.examples: Sequence[Example] = ExampleList([paths[place] for place in self._chosen], labels.indices[self._chosen])

    def fingerprint(self) -> str:
        """See `Source`: over the paths, classes and numbers of bytes of all pictures, and the content of a few."""
        digest = hashlib.sha256("\0".join(one.name for one in self.classes).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self._sizes, "<i8").tobytes())
        for one in self.examples:
            digest.update(f"{one.path}\0{one.class_index}\0".encode())
        digest.update(self._probed())
        return digest.hexdigest()

    def _field(self, name: str) -> ChunkedArray:
        """A field of the column of pictures: their `bytes`, or their `path`."""
        from pyarrow import compute

        return compute.struct_field(self._rows.data.column(self._column), name)

    def _content(self, index: int) -> bytes:
        """The bytes of a picture, stored with the data set or in a file that it names."""
        check_length(int(self._sizes[index]))
        stored = self._rows[self._chosen[index]][self._column]
        if stored is None or (stored["bytes"] is None and stored["path"] is None):
            raise DataError("has no picture")
        if stored["bytes"] is not None:
            return bytes(stored["bytes"])
        return content_of(Path(self.root, stored["path"]))


def _loaded(folder: Path) -> Dataset:
    """The data set in a folder; raises `DataError` where it cannot be read, or the folder holds several."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"{folder} was saved by Hugging Face's datasets, which cannot be imported ({error})",
            "pip install 'torchlurk[datasets]'",
        ) from error
    if (folder / SPLITS).is_file():
        splits = sorted(one.name for one in folder.iterdir() if one.is_dir())
        raise DataError(f"{folder} holds the splits {', '.join(splits)}", f"give one of them: {folder / splits[0]}")
    try:
        dataset = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever a damaged file makes the library raise
        raise DataError(f"{folder} cannot be read: {in_one_line(error)}", "save the data set again") from error
    if not len(dataset):
        raise DataError(f"{folder} is a data set without rows", "give one with examples")
    return dataset


def _column_of_pictures(dataset: Dataset, folder: Path) -> str:
    from datasets import Image

    found = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
    if found:
        return str(found[0])
    columns = ", ".join(dataset.column_names)
    raise DataError(
        f"{folder} has no column of pictures among {columns}",
        "text and series: give the data set itself to torchlurk.analyze, with token ids or arrays, or write them to files",
    )


def _labels(dataset: Dataset) -> Labelling:
    """The classes of the first column that holds some; none where there is no such column."""
    from datasets import ClassLabel

    names = [name for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)]
    names += [name for name in CLASS_KEYS if name in dataset.features and dataset.features[name].dtype.startswith("int")]
    if not names:
        return labelling([None] * len(dataset))
    told = np.array([-1 if one is None else one for one in dataset[names[0]]], np.int64)
    known = dataset.features[names[0]]
    if isinstance(known, ClassLabel):
        return Labelling(tuple(known.names), told)
    return labelling([str(one) if one >= 0 else None for one in told.tolist()])
