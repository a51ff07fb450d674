"""NumPy files that are damaged, or of the other kind than their name says, are refused in one line wherever they are given."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.series.arrays import read_npy, read_npz
from torchlurk.inputs.text.given_tracks import read_tracks


def archive(member: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(member, content)
    return packed.getvalue()


def one_array() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.arange(30))
    return packed.getvalue()


def damaged() -> bytes:
    """An archive whose compressed bytes are overwritten in the middle."""
    packed = io.BytesIO()
    np.savez_compressed(packed, a=np.random.default_rng(0).random((3, 40, 2)))
    return packed.getvalue()[:120] + bytes(280) + packed.getvalue()[400:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (one_array(), "a single array: rename it"),
        (damaged(), "while decompressing"),
        (archive("a.txt", b"hello"), "'a.txt' in it is not an array"),
        (archive("a.npy", b""), "'a' in it is not an array"),
        (b"", ""),
        (damaged()[:200], "not a zip file"),
    ],
)
def test_an_npz_that_holds_no_arrays_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"cannot be read as a NumPy file: .*{said}"):
        read_npz(file)
    with pytest.raises(OptionError, match=f"is not an .npz file of numbers: .*{said}"):
        read_tracks(file, 30)


@pytest.mark.parametrize("content", [archive("a.npy", one_array()), damaged()[:200]])
def test_an_npy_that_is_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a NumPy file: it holds several arrays"):
        read_npy(tmp_path / "a.npy")


def test_arrays_of_tracks_have_names_and_no_label_beyond_single_precision(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{" ": np.arange(3)})
    with pytest.raises(OptionError, match="an array without a name"):
        read_tracks(tmp_path / "a.npz", 3)
    np.savez(tmp_path / "b.npz", far=np.array([0, 1, 1e300]))
    assert np.isnan(read_tracks(tmp_path / "b.npz", 3).labels["far"][2])
