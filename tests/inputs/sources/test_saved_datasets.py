"""Data sets that Hugging Face's library has saved to disk."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.sources import encoded
from torchlurk.options import InputOptions

datasets = pytest.importorskip("datasets")

NAMES = ["ant", "bee", "cow"]


def png(index: int, height: int = 12) -> bytes:
    pixels = np.random.default_rng(index).integers(0, 256, (height, 10, 3), np.uint8)
    to = io.BytesIO()
    Image.fromarray(pixels).save(to, "png")
    return to.getvalue()


def rows(count, **changed):
    """The columns of a data set, a picture a row."""
    pictures = [{"bytes": png(index), "path": f"{index}.png"} for index in range(count)]
    return {"picture": pictures, "caption": ["a word"] * count, "kind": [index % 3 for index in range(count)]} | changed


def features(**changed):
    kinds = {"picture": datasets.Image(), "caption": datasets.Value("string"), "kind": datasets.ClassLabel(names=NAMES)}
    return datasets.Features(kinds | changed)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def test_pictures_classes_and_paths_are_those_that_were_saved(tmp_path):
    datasets.Dataset.from_dict(rows(7), features=features()).save_to_disk(tmp_path / "all", num_shards=2)
    source = open_source(str(tmp_path / "all"), InputOptions())
    assert [one.path for one in source.examples] == [f"{index}.png" for index in range(7)]
    assert [one.name for one in source.classes] == NAMES
    assert [one.class_index for one in source.examples] == [0, 1, 2, 0, 1, 2, 0]
    with Image.open(io.BytesIO(png(4))) as image:
        assert np.array_equal(source.read(4).values, np.asarray(image))
    some = open_source(str(tmp_path / "all"), InputOptions(limit=3))
    assert [one.path for one in some.examples] == ["0.png", "2.png", "4.png"]
    assert np.array_equal(some.read(1).values, source.read(2).values)


def test_numbers_without_names_are_classes_and_pictures_may_lie_in_files(tmp_path):
    (tmp_path / "one.png").write_bytes(png(1))
    pictures = [{"bytes": None, "path": str(tmp_path / "one.png")}, {"bytes": png(2), "path": None}, None]
    saved = rows(3, picture=pictures, label=[4, 11, 4])
    saved.pop("kind")
    kinds = features(label=datasets.Value("int64"))
    kinds.pop("kind")
    # By the columns' own storage: the library would put the file's bytes in.
    datasets.Dataset.from_dict(saved, features=kinds).save_to_disk(tmp_path / "all")
    source = open_source(str(tmp_path / "all"), InputOptions())
    assert [one.name for one in source.classes] == ["4", "11"]
    assert [one.class_index for one in source.examples] == [0, 1, 0]
    with Image.open(io.BytesIO(png(1))) as image:
        assert np.array_equal(source.read(0).values, np.asarray(image))
    with pytest.raises(DataError, match="has no picture"):
        source.read(2)


def test_a_damaged_picture_is_told_by_its_own_reason_and_changes_the_fingerprint(tmp_path):
    whole = datasets.Dataset.from_dict(rows(3), features=features())
    whole.save_to_disk(tmp_path / "whole")
    pictures = [{"bytes": png(0), "path": "0.png"}, {"bytes": png(1)[:40], "path": "1.png"}, {"bytes": png(2), "path": "2.png"}]
    datasets.Dataset.from_dict(rows(3, picture=pictures), features=features()).save_to_disk(tmp_path / "damaged")
    first, second = (open_source(str(tmp_path / name), InputOptions()) for name in ("whole", "damaged"))
    with pytest.raises(DataError):
        second.read(1)
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == open_source(str(tmp_path / "whole"), InputOptions()).fingerprint()


def test_what_cannot_be_read_is_refused_in_a_line(tmp_path):
    split = datasets.Dataset.from_dict(rows(3), features=features())
    datasets.DatasetDict(train=split, test=split).save_to_disk(tmp_path / "both")
    with pytest.raises(DataError, match="holds the splits test, train"):
        open_source(str(tmp_path / "both"), InputOptions())
    assert len(open_source(str(tmp_path / "both" / "train"), InputOptions()).examples) == 3
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(DataError, match="no column of pictures among text"):
        open_source(str(tmp_path / "text"), InputOptions())
    with pytest.raises(OptionError, match="can only be read as pictures"):
        open_source(str(tmp_path / "text"), InputOptions(kind="text"))
    (tmp_path / "both" / "test" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        open_source(str(tmp_path / "both" / "test"), InputOptions())
    sizes = [{"bytes": png(index, 12 + index), "path": f"{index}.png"} for index in range(3)]
    datasets.Dataset.from_dict(rows(3, picture=sizes), features=features()).save_to_disk(tmp_path / "sizes")
    with pytest.raises(DataError, match="images differ in size"):
        open_source(str(tmp_path / "sizes"), InputOptions())


def test_what_is_longer_than_any_picture_is_passed_over_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded, "MOST_BYTES", 1000)
    pictures = [{"bytes": png(0), "path": "0.png"}, {"bytes": png(1) + bytes(2000), "path": "1.png"}]
    datasets.Dataset.from_dict(rows(2, picture=pictures), features=features()).save_to_disk(tmp_path / "all")
    source = open_source(str(tmp_path / "all"), InputOptions())
    assert len(source.read(0).values)
    with pytest.raises(DataError, match="bytes, more than any picture"):
        source.read(1)


def test_a_file_beside_a_data_set_is_read_where_it_is_one_and_no_longer_than_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded, "MOST_BYTES", 1000)
    (tmp_path / "long.png").write_bytes(png(1) + bytes(2000))
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (
        ("long.png", "1,001 bytes, more than any picture"),
        ("pipe.png", "is not a file"),
        ("no.png", "No such"),
    ):
        with pytest.raises(DataError, match=reason):
            encoded.content_of(tmp_path / name)
