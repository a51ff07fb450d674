"""NumPy's files, of which nothing is ever unpickled: whatever is wrong with one is a `ValueError` that says so."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ARCHIVE = b"PK"
"""How a zip file begins."""


def load_array(file: Path) -> np.ndarray:
    """The array of an .npy file, read from it when it is asked for; raises `ValueError`, or `OSError` from the disk."""
    with _told():
        with open(file, "rb") as stream:
            if stream.read(len(ARCHIVE)) == ARCHIVE:
                raise ValueError("it holds several arrays: rename it to .npz")
        found: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
        return found


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; raises `ValueError`, or `OSError` from the disk."""
    with _told(), open(file, "rb") as stream:  # a file that numpy opens stays open where it is no archive
        found = np.load(stream, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise ValueError("it holds a single array: rename it to .npy")
        arrays = {name: found[name] for name in found.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"'{name}' in it is not an array")
    return arrays


@contextmanager
def _told() -> Iterator[None]:
    """Whatever numpy and zipfile raise for a damaged file, as a `ValueError`."""
    try:
        yield
    except (EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error) or type(error).__name__) from error
