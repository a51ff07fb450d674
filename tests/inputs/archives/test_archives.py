"""Pictures in tar shards and zip files: which samples there are, their classes, their order, and what is passed over."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.archives.source import ArchiveSource
from torchlurk.inputs.archives.tar_headers import Member, members
from torchlurk.inputs.opening import open_source
from torchlurk.options import InputOptions


def picture(value: int = 0, size: tuple[int, int] = (8, 6)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (value, 10, 20)).save(stream, "PNG")
    return stream.getvalue()


def tar(file: Path, content: dict[str, bytes], form: int = tarfile.PAX_FORMAT, mtime: float = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=form) as opened:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            opened.addfile(info, io.BytesIO(data))
    return file


def opened(data: Path | str, **options: object) -> ArchiveSource:
    source = open_source(str(data), InputOptions(**options))
    assert isinstance(source, ArchiveSource)
    return source


def listed(source: ArchiveSource) -> list[tuple[str, str | None]]:
    names = [one.name for one in source.classes]
    return [(one.path, None if one.class_index is None else names[one.class_index]) for one in source.examples]


def values(source: ArchiveSource) -> list[int]:
    return [int(source.read(index).values[0, 0, 0]) for index in range(len(source.examples))]


@pytest.fixture
def shards(tmp_path):
    """Two shards of three samples, of classes by number."""
    for shard in range(2):
        content = {}
        for place in range(3):
            number = 3 * shard + place
            content |= {f"{number:03d}.cls": str(number % 2 * 2).encode(), f"{number:03d}.png": picture(number)}
        tar(tmp_path / "shards" / f"train-{shard:02d}.tar", content)
    return tmp_path / "shards"


def test_a_sample_is_the_members_with_one_name_and_its_number_is_the_index_of_its_class(shards):
    source = opened(shards / "train-00.tar")
    assert listed(source) == [("000.png", "0"), ("001.png", "2"), ("002.png", "0")]
    assert [one.name for one in source.classes] == ["0", "1", "2"]
    assert values(source) == [0, 1, 2]


@pytest.mark.parametrize("pattern", ["", "/train-{00..01}.tar", "/*.tar", "/train-{00,01}.tar", "/train-0?.tar"])
def test_shards_are_read_one_after_the_other_however_they_are_named(shards, pattern):
    source = opened(f"{shards}{pattern}")
    assert [one.path for one in source.examples][2:4] == ["train-00.tar/002.png", "train-01.tar/003.png"]
    assert values(source) == list(range(6))


def test_members_of_a_sample_need_not_stand_side_by_side(tmp_path):
    data = tar(tmp_path / "a.tar", {"1.png": picture(1), "2.png": picture(2), "2.cls": b"1\n", "1.cls": b"0\n"})
    assert listed(opened(data)) == [("1.png", "0"), ("2.png", "1")]


def test_a_class_is_the_number_else_in_the_record_else_the_folder(tmp_path):
    content = {
        "./dog/1.png": picture(),
        "cat/2.json": b'{"label": "lion"}',
        "cat/2.png": picture(),
        "cat/3.json": b"[broken",
        "cat/3.png": picture(),
        "4.png": picture(),
        "cat/5.json": b'{"class": "lion"}',
        "cat/5.cls": b"seal",
        "cat/5.png": picture(),
    }
    assert [word for _, word in listed(opened(tar(tmp_path / "a.tar", content)))] == ["dog", "lion", "cat", None, "seal"]


def test_of_several_pictures_of_a_sample_the_plain_one_is_shown_and_the_others_are_counted(tmp_path):
    content = {"1.mask.png": picture(9), "1.png": picture(1), "2.png": picture(2), "2.mask.png": picture(9)}
    source = opened(tar(tmp_path / "a.tar", content))
    assert values(source) == [1, 2]
    assert [(one.path, one.reason) for one in source.skipped] == [
        ("*.mask.png", "2 extra pictures in samples that already have one")
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mtime", [0, 1.5])
def test_members_are_those_that_tarfile_finds(tmp_path, form, mtime):
    names = ["short.png", "folder/" * 12 + "x" * 60 + ".png"]
    names += [] if form == tarfile.USTAR_FORMAT else ["y" * 300 + ".png", "ü" * 90 + ".png"]
    file = tar(tmp_path / "a.tar", {name: name.encode() for name in names}, form, mtime)
    with tarfile.open(file) as theirs, open(file, "rb") as stream:
        expected = [Member(one.name, one.offset_data, one.size) for one in theirs]
        assert list(members(stream)) == expected


def test_a_shard_that_is_cut_off_gives_what_is_whole(shards):
    file = shards / "train-01.tar"
    with tarfile.open(file) as theirs:
        last = theirs.getmembers()[-1]
    file.write_bytes(file.read_bytes()[: last.offset_data + 20])
    source = opened(shards)
    assert len(source.examples) == 5
    assert {one.path for one in source.skipped} == {"train-01.tar/005.png", "train-01.tar/005.cls"}


@pytest.mark.parametrize("beyond", [20, 0], ids=["behind a member's bytes", "between two members"])
def test_a_shard_that_is_cut_off_where_a_member_is_whole_is_told_of(tmp_path, beyond):
    file = tar(tmp_path / "a.tar", {"1.png": picture(1), "2.png": picture(2)})
    with tarfile.open(file) as theirs:
        first, second = theirs.getmembers()
    file.write_bytes(file.read_bytes()[: first.offset_data + first.size + beyond if beyond else second.offset])
    source = opened(file)
    assert values(source) == [1]
    assert [one.reason for one in source.skipped] == ["may be cut off: it ends without the block of zeros that ends an archive"]


def test_reading_goes_on_behind_a_damaged_header(shards):
    file = shards / "train-00.tar"
    content = bytearray(file.read_bytes())
    with tarfile.open(file) as theirs:
        content[theirs.getmember("001.png").offset] ^= 0xFF
    file.write_bytes(bytes(content))
    source = opened(file)
    assert values(source) == [0, 2]
    assert [one.reason.split(" at ")[0] for one in source.skipped] == ["is damaged", "belongs to a sample without a picture"]


def test_a_damaged_picture_is_found_out_by_reading_it(tmp_path):
    source = opened(tar(tmp_path / "a.tar", {"1.png": picture()[:40], "2.png": picture(2)}))
    with pytest.raises(DataError, match="damaged"):
        source.read(0)
    assert source.read(1).values[0, 0, 0] == 2


def test_a_zip_has_folders_for_classes(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("dog/1.png", picture(1), zipfile.ZIP_DEFLATED)
        made.writestr("cat/deep/2.png", picture(2), zipfile.ZIP_STORED)
        made.writestr("3.png", picture(3), zipfile.ZIP_LZMA)
        made.writestr("notes.txt", "hello")
        made.writestr("__MACOSX/dog/1.png", b"x")
    source = opened(tmp_path / "a.zip")
    assert listed(source) == [("cat/deep/2.png", "cat"), ("dog/1.png", "dog")]
    assert values(source) == [2, 1]
    assert [one.path for one in source.skipped] == ["3.png", "notes.txt"]


def test_classes_may_come_from_a_file_and_the_limit_is_spread(shards, tmp_path):
    rows = "".join(f"{index},{'ab'[index % 2]}\n" for index in range(6))
    (tmp_path / "classes.csv").write_text(rows)
    source = opened(shards, classes=str(tmp_path / "classes.csv"), limit=2)
    assert listed(source) == [("train-00.tar/000.png", "a"), ("train-01.tar/003.png", "b")]
    assert values(source) == [0, 3]


def test_the_fingerprint_changes_with_the_data_and_not_with_its_place(shards, tmp_path):
    before = opened(shards).fingerprint()
    shutil.move(shards, tmp_path / "moved")
    assert opened(tmp_path / "moved").fingerprint() == before
    assert opened(tmp_path / "moved", limit=5).fingerprint() != before
    tar(tmp_path / "moved" / "train-00.tar", {"000.png": picture(7)})
    assert opened(tmp_path / "moved").fingerprint() != before


def test_examples_are_read_from_several_threads_and_in_another_process(shards):
    source = pickle.loads(pickle.dumps(opened(shards)))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda index: int(source.read(index % 6).values[0, 0, 0]), range(48)))
    assert read == [index % 6 for index in range(48)]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 4])
def test_a_pickled_source_has_the_same_examples_and_takes_few_bytes_for_each(tmp_path, limit):
    tar(tmp_path / "a.tar", {f"n{number:012d}.png": picture() for number in range(300)})
    source = opened(tmp_path / "a.tar", limit=limit)
    packed = pickle.dumps(source)
    again = pickle.loads(packed)
    assert listed(again) == listed(source)
    assert again.fingerprint() == source.fingerprint()
    # A name of 17 letters and its length, an offset, a size and a class of 8 bytes each, and how it is packed.
    assert len(packed) < 300 * (17 + 1 + 3 * 8 + 1) + 8 * len(again.examples) + 3000


def test_a_study_of_shards_is_that_of_the_same_files_in_a_folder(shards, tmp_path):
    for file in shards.iterdir():
        with tarfile.open(file) as made:
            made.extractall(tmp_path / "loose" / file.name, filter="data")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(96, 3))
    found = []
    for data, out in ((shards, "a.lurk"), (tmp_path / "loose", "b.lurk")):
        with tl.analyze(network, data, tmp_path / out, stages=["scan"], mean=(0, 0, 0), std=(1, 1, 1)) as study:
            found.append([[one.example for one in unit.exemplars("max")] for layer in study.layers for unit in layer])
            assert study.picture(0) is not None
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.tar", b"no archive at all", "is not a tar file"),
        ("a.tar", b"", "is empty"),
        ("a.tar", b"\0" * 10240, "no pictures in"),
        ("a.tar", b"\x1f\x8b" + b"x" * 600, "is compressed"),
        ("a.tar.gz", b"x", "is compressed"),
        ("a.zip", b"no archive", "cannot be read as a zip file"),
    ],
)
def test_what_is_no_archive_of_pictures_is_refused_in_one_line(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told) as raised:
        opened(tmp_path / name)
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_archives_that_are_not_there_are_named(shards):
    for data, told in [
        ("train-0.tar", "nearest: train-0"),
        ("none-*.tar", "no file matches"),
        ("train-{00..03}.tar", "2 of 4 sh"),
        ("train-{3..1}.tar", "stands for no file"),
        ("train-{0..9999999999}.tar", "stands for more than 100,000 files"),
        ("{a,b}" * 25 + ".tar", "stands for more than 100,000 files"),
        ("{a,b}" * 40 + ".tar", "has more than 32 braces"),
    ]:
        with pytest.raises(DataError, match=told):
            opened(shards / data)


def test_archives_without_pictures_and_options_for_other_kinds_are_refused(shards, tmp_path):
    with pytest.raises(DataError, match="no pictures in"):
        opened(tar(tmp_path / "a.tar", {"1.txt": b"hello"}))
    with pytest.raises(OptionError, match="--kind is 'text'"):
        opened(shards, kind="text")


def test_pictures_of_different_sizes_are_refused_with_the_way_to_mend_it(tmp_path):
    with pytest.raises(DataError, match=r"1\.png is 8x6, 2\.png 9x6"):
        opened(tar(tmp_path / "a.tar", {"1.png": picture(), "2.png": picture(size=(9, 6))}))


def test_the_index_of_shards_holds_arrays(shards):
    index = opened(shards)._index
    assert isinstance(index.offsets, np.ndarray)
    assert not isinstance(index.names, list)
