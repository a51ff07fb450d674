"""Series in files as a source of examples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from torchlurk.errors import DataError
from torchlurk.inputs.items import Item
from torchlurk.inputs.series.arrays import read_npy, read_npz
from torchlurk.inputs.series.kind import Series
from torchlurk.inputs.series.recordings import Recordings, Turned
from torchlurk.inputs.series.tables import read_table, read_tables
from torchlurk.inputs.series.ts_files import read_ts
from torchlurk.inputs.source import ExampleList, printable, spread
from torchlurk.inputs.sources.class_files import Labelling, classes_of, read_classes
from torchlurk.inputs.sources.dataset_items import check_complete
from torchlurk.inputs.sources.listing import Listing, Wanted, list_files
from torchlurk.options import InputOptions
from torchlurk.records import Class, Example, Preprocessing, Skip

TABLE = ".csv"
SERIES_SUFFIXES = frozenset({".npy", ".npz", ".ts", TABLE})

TABLES = Wanted(
    "CSV files",
    "a CSV file",
    lambda entry, suffix: suffix == TABLE,
    "a folder of series holds .csv files, one an example, in one sub-folder per class or directly",
)


class SeriesSource:
    """Series that were read from files; see `Source`. `labels` has the class of each."""

    preprocessing = Preprocessing()

    def __init__(
        self, recordings: Recordings, labels: Labelling, classes: Sequence[Class], name: str, options: InputOptions
    ) -> None:
        self.name = name
        self.classes = classes
        self.skipped: tuple[Skip, ...] = recordings.skipped
        self._recordings, self._labels, self._axes = recordings, labels, options.input_axes
        self._chosen = spread(len(recordings.values), options.limit)
        self.lengths: Int64[np.ndarray, " example"] | None = self._steps()
        self.examples: Sequence[Example] = ExampleList(
            [recordings.paths[index] for index in self._chosen], labels.indices[self._chosen]
        )

    @property
    def kind(self) -> Series:
        """See `Source`."""
        return Series(self._recordings.channels, lambda: self._means, self._axes)

    def turn(self) -> bool:
        """Takes what were steps for channels, and channels for steps, from now on; not where the file names its channels."""
        if any(self._recordings.channels):
            return False
        values = Turned(self._recordings.values)
        self._recordings = replace(self._recordings, values=values, channels=("",) * values[0].shape[1])
        self.lengths = self._steps()
        return True

    def _steps(self) -> Int64[np.ndarray, " example"]:
        return np.array([len(self._recordings.values[index]) for index in self._chosen], np.int64)

    def read(self, index: int) -> Item:
        """See `Source`."""
        values = self._recordings.values[self._chosen[index]]
        series = torch.from_numpy(values.copy())
        check_complete(series)
        return Item(series, self.examples[index].class_index)

    def counted(self, index: int) -> tuple[int, int]:
        """See `Source`."""
        return 0, len(self._recordings.values[self._chosen[index]])

    def fingerprint(self) -> str:
        """See `Source`: over every value, paths, channels and classes."""
        recordings = self._recordings
        digest = hashlib.sha256(repr((recordings.channels, self._labels.names)).encode())
        for index in self._chosen:
            values = np.ascontiguousarray(recordings.values[index], "<f4")
            label = int(self._labels.indices[index])
            digest.update(repr((recordings.paths[index], label, values.shape)).encode() + values.tobytes())
        return digest.hexdigest()

    @cached_property
    def _means(self) -> tuple[float, ...]:
        """The mean of each channel over all steps of all examples, missing ones left out."""
        sums = np.zeros(len(self._recordings.channels))
        counts = np.zeros(len(sums), np.int64)
        for index in self._chosen:
            values = self._recordings.values[index].astype(np.float64)
            sums += np.nansum(values, 0)
            counts += (~np.isnan(values)).sum(0)
        return tuple((sums / np.maximum(counts, 1)).tolist())


def open_series(
    path: Path,
    options: InputOptions,
    name: str | None = None,
    listed: tuple[Listing, Labelling] | None = None,
) -> SeriesSource:
    """The file or folder at `path` as a source of series; an array in an .npz file is named as `FILE.npz:NAME`.

    `listed` are the files and classes of a list. Raises `DataError` where there is no series.
    """
    if listed is not None:
        listing, labels = listed
        recordings = read_tables(path, listing)
        by_name = dict(zip(map(printable, listing.paths), labels.indices.tolist(), strict=True))
        found: Labelling | None = Labelling(labels.names, np.array([by_name[one] for one in recordings.paths], np.int64))
    else:
        recordings = _read(path)
        found = recordings.labels
    if options.classes:
        found = read_classes(Path(options.classes), recordings.paths)
    found = found or Labelling((), np.full(len(recordings.values), -1))
    return SeriesSource(recordings, found, classes_of(found.names, options.class_names), name or str(path), options)


def _read(path: Path) -> Recordings:
    if path.is_dir():
        return read_tables(path, list_files(path, TABLES))
    file, _, array = str(path).partition(".npz:")
    if array:
        return read_npz(Path(f"{file}.npz"), array)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".ts":
        return read_ts(path)
    if suffix != TABLE:
        raise DataError(f"{path} is not a series file", f"series are read from {', '.join(sorted(SERIES_SUFFIXES))}")
    try:
        table = read_table(path)
    except DataError as error:
        raise DataError(
            f"{path} {error.message}",
            "columns are channels, rows are steps: leave out others, such as times; save texts as a .tsv of text and class",
        ) from error
    return Recordings([table.values], table.channels, (path.name,), None)
