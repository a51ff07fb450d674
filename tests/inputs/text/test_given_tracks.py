"""Tracks from a file: read as they stand, for the tokens that they are of, and refused in one line where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from torchlurk.errors import OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.source import Tracked
from torchlurk.inputs.text.given_tracks import read_tracks
from torchlurk.options import InputOptions

TABLE = "noun\tweight\n1\t0.5\n0\t\n1\t2\n"


def table(folder: Path, text: str) -> Path:
    (folder / "t.tsv").write_text(text)
    return folder / "t.tsv"


def test_a_table_has_a_track_a_column_and_an_empty_cell_is_a_token_without_a_label(tmp_path: Path) -> None:
    found = read_tracks(table(tmp_path, TABLE), 3)
    assert found.labels["noun"].tolist() == [1, 0, 1]
    assert np.array_equal(found.labels["weight"], [0.5, np.nan, 2], equal_nan=True)
    assert found.measures == {"noun": "auc", "weight": "auc"}
    assert read_tracks(table(tmp_path, "weight\n1\n2\n3\n"), 3).measures == {"weight": "r"}


def test_arrays_are_the_same_tracks(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", noun=np.array([True, False, True]), weight=np.array([0.5, np.nan, 2]))
    assert read_tracks(tmp_path / "t.npz", 3).digest == read_tracks(table(tmp_path, TABLE), 3).digest
    assert read_tracks(table(tmp_path, TABLE.replace("2\n", "3\n")), 3).digest != read_tracks(tmp_path / "t.npz", 3).digest


def bad_arrays(folder: Path) -> Path:
    np.savez(folder / "t.npz", words=np.array(["a", "b", "c"]))
    return folder / "t.npz"


def planted(folder: Path) -> Path:
    np.savez(folder / "t.npz", words=np.array([Path, 1, 2], object))
    return folder / "t.npz"


def no_zip(folder: Path) -> Path:
    (folder / "t.npz").write_text("hello")
    return folder / "t.npz"


def text(content: str) -> Callable[[Path], Path]:
    return lambda folder: table(folder, content)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text("noun\n1\n0\n"), "has 2 rows in 'noun', the data 3 tokens"),
        (text("noun\n1\n1\n1\n"), "the track 'noun' never changes, it is 1 at every token"),
        (text("noun\n\n\n\n"), "has"),
        (text("noun\tverb\n1\t0\n0\n1\t1\n"), "has 1 columns in line 3, 2 in its header"),
        (text("noun\n1\nNOUN\n0\n"), "has 'NOUN' in line 3"),
        (text("noun\n1\ninf\n0\n"), "has 'inf' in line 3"),
        (text("1\n0\n1\n"), "has numbers in its first line"),
        (text("noun\tnoun\n1\t0\n0\t1\n1\t1\n"), "has no header"),
        (text(""), "has no header"),
        (bad_arrays, "has an array 'words'"),
        (planted, "is not an .npz file of numbers"),
        (no_zip, "is not an .npz file of numbers"),
        (lambda folder: folder / "t.csv", "is neither .tsv nor .npz"),
        (lambda folder: folder / "none.tsv", "no such file"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as refused:
        read_tracks(make(tmp_path), 3)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_window_has_the_labels_of_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('ab "cd" ef' * 3)
    np.savez(tmp_path / "t.npz", number=np.arange(30), column=np.arange(30) % 2)
    options = InputOptions(tracks=str(tmp_path / "t.npz"), window=8, burn_in=2)
    source = open_source(str(tmp_path / "a.txt"), options, vocabulary=list('abcdef" '))
    assert isinstance(source, Tracked)
    assert source.tracks["number"] == "r"
    assert source.tracks["column"] == "auc"  # in place of the one that the text tells
    counted: list[float] = []
    for index in range(len(source.examples)):
        first, last = source.counted(index)
        counted += source.labels(index)["number"][first:last].tolist()
    assert counted == list(range(30))
    whole = open_source(str(tmp_path / "a.txt"), InputOptions(), vocabulary=list('abcdef" '))
    assert isinstance(whole, Tracked)
    assert source.labels(1)["quotes"].tolist() == whole.labels(0)["quotes"][6:14].tolist()
    assert source.given_tracks is not None
    assert whole.given_tracks is None


def test_tracks_are_for_text(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.zeros((2, 5, 1), np.float32))
    with pytest.raises(OptionError, match="--tracks is for text"):
        open_source(str(tmp_path / "s.npy"), InputOptions(tracks="t.tsv"))
