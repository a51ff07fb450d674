"""Series in NumPy's files: .npy and .npz, of which nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from torchlurk.errors import DataError, in_one_line, nearest
from torchlurk.inputs.numpy_files import load_array, load_arrays
from torchlurk.inputs.series.recordings import Recordings
from torchlurk.inputs.sources.class_files import Labelling, labelling
from torchlurk.inputs.sources.labels import MOST_CLASSES

CLASS_ARRAYS = ("y", "labels", "targets")
"""Where an .npz has the class of each example: in the first of these that is there; of `X_train` in `y_train` and so on."""

SHAPE = "(example, time, channel)"


class Rows(Sequence[Float32[np.ndarray, "time channel"]]):
    """The examples of an array, each turned into float32 when asked for: the array may lie in a file."""

    def __init__(self, array: Shaped[np.ndarray, "example time *channel"]) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> Float32[np.ndarray, "time channel"]:  # type: ignore[override]  # one at a time
        row = np.array(self._array[index], np.float32)
        return row if row.ndim == 2 else row[:, None]


def read_npy(file: Path) -> Recordings:
    """The examples of an .npy file, read from it when they are asked for."""
    try:
        array = load_array(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    return _recordings(array, None, str(file))


def read_npz(file: Path, wanted: str | None = None) -> Recordings:
    """The examples in the array `wanted` of an .npz file, or in the only one that is not the classes."""
    try:
        arrays = load_arrays(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    name = _chosen(arrays, wanted, file)
    _, *split = name.partition("_")
    named = [*("".join((one, *split)) for one in CLASS_ARRAYS), *CLASS_ARRAYS]
    classes = next((one for one in named if one in arrays and one != name), None)
    labels = _labels(arrays[classes], len(arrays[name]), f"{file}: '{classes}'", name) if classes else None
    return _recordings(arrays[name], labels, f"{file}: '{name}'")


def _unreadable(file: Path, error: Exception) -> DataError:
    if _is_numpy(file) and ("pickle" in str(error) or "Python objects" in str(error)):
        return DataError(f"{file} contains Python objects, which are never unpickled", "save plain arrays of numbers")
    reason = "it is none" if not _is_numpy(file) else in_one_line(error)
    return DataError(f"{file} cannot be read as a NumPy file: {reason}", "is it complete?")


def _is_numpy(file: Path) -> bool:
    """Whether the file begins as a NumPy file does: of others, too, numpy says that they might be pickles."""
    try:
        with open(file, "rb") as stream:
            return stream.read(2) in (b"\x93N", b"PK")
    except OSError:
        return False


def _chosen(arrays: Mapping[str, np.ndarray], wanted: str | None, file: Path) -> str:
    if wanted is not None:
        if wanted not in arrays:
            raise DataError(f"{file} has no array '{wanted}'{nearest(wanted, arrays)}", f"it has: {', '.join(arrays)}")
        return wanted
    others = [name for name in arrays if name not in CLASS_ARRAYS]
    others = [name for name in others if arrays[name].ndim > 1] or others
    if len(others) != 1:
        raise DataError(
            f"{file} has {len(others)} arrays that may be the series: {', '.join(others) or 'none'}",
            f"name one: {file}:NAME" if others else f"save an array {SHAPE}",
        )
    return others[0]


def _labels(array: np.ndarray, examples: int, what: str, name: str) -> Labelling:
    if array.ndim != 1 or len(array) != examples:
        raise DataError(f"{what} has the shape {array.shape}, '{name}' {examples} examples", "give one class for each example")
    if array.dtype.kind == "f" and bool((array == np.floor(array)).all()):
        array = array.astype(np.int64)
    if array.dtype.kind in "iu" and bool(((array >= 0) & (array < MOST_CLASSES)).all()):
        names = tuple(str(index) for index in range(int(array.max(initial=-1)) + 1))
        return Labelling(names, array.astype(np.int64))
    return labelling([str(one) for one in array.tolist()])


def _recordings(array: np.ndarray, labels: Labelling | None, what: str) -> Recordings:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} holds values of type {array.dtype}, not numbers", f"save an array {SHAPE}")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(f"{what} has the shape {array.shape}, not {SHAPE}", "of one channel, (example, time) will do")
    channels = array.shape[2] if array.ndim == 3 else 1
    return Recordings(Rows(array), ("",) * channels, ("",) * len(array), labels)
