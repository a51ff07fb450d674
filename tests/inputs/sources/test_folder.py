"""A folder becomes examples and classes, in a fixed order; what is passed over is listed."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.source import spread
from torchlurk.inputs.sources.folder import ImageFolder, told_of_splits
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing, Skip

PLAIN = Preprocessing()


@contextmanager
def ordinary_user():
    """The superuser may read everything, and is somebody else for the while."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)


def save(path: Path, value: int = 0, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 10, 20)).save(path, "PNG")


@pytest.fixture
def folder(tmp_path):
    """Three classes, one of them nested, one empty; and things that are no images."""
    for value, path in enumerate(["dog/b.png", "dog/a.PNG", "cat/x/deep/z.jpg", "cat/a.png", "Zoo/10.png", "Zoo/9.png"]):
        save(tmp_path / "data" / path, value)
    root = tmp_path / "data"
    (root / "empty").mkdir()
    (root / "dog" / "notes.txt").write_text("hello")
    (root / "dog" / ".DS_Store").write_bytes(b"hidden")
    (root / ".git").mkdir()
    save(root / ".git" / "hidden.png")
    (root / "labels.json").write_text("{}")
    (root / "Thumbs.db").write_bytes(b"x")
    return root


def paths(source: ImageFolder) -> list[str]:
    return [one.path for one in source.examples]


def test_sub_folders_are_classes_and_order_is_by_code_point(folder):
    source = ImageFolder(folder, PLAIN)
    assert [one.name for one in source.classes] == ["Zoo", "cat", "dog", "empty"]
    assert [(one.path, one.class_index) for one in source.examples] == [
        ("Zoo/10.png", 0),
        ("Zoo/9.png", 0),
        ("cat/a.png", 1),
        ("cat/x/deep/z.jpg", 1),
        ("dog/a.PNG", 2),
        ("dog/b.png", 2),
    ]
    assert [one.index for one in source.examples] == list(range(6))


def test_what_is_read_is_what_is_listed(folder):
    source = ImageFolder(folder, PLAIN)
    read = [source.read(index) for index in range(6)]
    assert [int(item.values[0, 0, 0]) for item in read] == [4, 5, 3, 2, 1, 0]
    assert [item.class_index for item in read] == [0, 0, 1, 1, 2, 2]


def test_what_is_passed_over_is_listed_with_its_reason(folder):
    assert ImageFolder(folder, PLAIN).skipped == (
        Skip("Thumbs.db", "is not an image"),
        Skip("dog/notes.txt", "is not an image"),
        Skip("empty/", "is a class without images"),
        Skip("labels.json", "is not an image"),
    )


def test_without_sub_folders_there_are_no_classes(tmp_path):
    for name in ("b.png", "a.png"):
        save(tmp_path / name)
    source = ImageFolder(tmp_path, PLAIN)
    assert source.classes == ()
    assert [(one.path, one.class_index) for one in source.examples] == [("a.png", None), ("b.png", None)]
    assert source.read(0).class_index is None


def test_images_beside_the_class_folders_have_no_class(folder):
    save(folder / "loose.png")
    source = ImageFolder(folder, PLAIN)
    assert source.examples[-1].path == "loose.png"
    assert source.examples[-1].class_index is None


def test_files_without_a_known_suffix_tell_by_their_content(tmp_path):
    save(tmp_path / "picture")
    (tmp_path / "README").write_text("no picture")
    source = ImageFolder(tmp_path, PLAIN)
    assert paths(source) == ["picture"]
    assert source.skipped == (Skip("README", "is not an image"),)


def test_examples_can_be_sliced_and_counted_from_the_end(folder):
    examples = ImageFolder(folder, PLAIN).examples
    assert examples[-1] == examples[5]
    assert examples[1:3] == [examples[1], examples[2]]
    with pytest.raises(IndexError):
        examples[6]


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "dog" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "dog" / "self").symlink_to(folder / "dog", target_is_directory=True)
    (folder / "linked").symlink_to(folder / "cat", target_is_directory=True)
    (folder / "dog" / "c.png").symlink_to(folder / "dog" / "b.png")
    (folder / "dog" / "dead.png").symlink_to(folder / "nowhere.png")
    source = ImageFolder(folder, PLAIN)
    assert {"linked/a.png", "linked/x/deep/z.jpg", "dog/c.png"} < set(paths(source))
    assert len(paths(source)) == 9
    reasons = {skip.path: skip.reason for skip in source.skipped}
    assert reasons["dog/up"] == reasons["dog/self"] == "links to a folder that it is in"
    assert reasons["dog/dead.png"] == "is a broken link"


def test_pipes_are_not_waited_for(folder):
    os.mkfifo(folder / "dog" / "pipe.png")
    assert Skip("dog/pipe.png", "is not a file") in ImageFolder(folder, PLAIN).skipped


def test_names_that_are_no_text_are_listed_and_read(tmp_path):
    save(tmp_path / "plain.png")
    shutil.copy(tmp_path / "plain.png", os.fsencode(tmp_path) + b"/\xff\xfe.png")
    source = ImageFolder(tmp_path, PLAIN)
    assert [one.path.encode() for one in source.examples] == [b"plain.png", "\ufffd\ufffd.png".encode()]
    assert source.read(1).values.shape == (6, 8, 3)
    assert source.fingerprint()


def test_damage_is_found_when_reading(folder):
    (folder / "dog" / "a.PNG").write_bytes(b"")
    source = ImageFolder(folder, PLAIN)
    with pytest.raises(DataError, match=r"^is empty$"):
        source.read(4)


def test_a_sub_folder_that_cannot_be_read_is_listed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    folder.chmod(0o755)
    (folder / "cat").chmod(0)
    with ordinary_user():
        source = ImageFolder(Path(), PLAIN)
    assert Skip("cat/", "cannot be opened: Permission denied") in source.skipped
    assert [one.name for one in source.classes] == ["Zoo", "cat", "dog", "empty"]
    assert len(source.examples) == 4


def test_a_folder_that_cannot_be_read_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.parent.chmod(0o755)
    folder.chmod(0)
    with ordinary_user(), pytest.raises(DataError, match="cannot read the folder data: Permission denied"):
        ImageFolder(Path("data"), PLAIN)


def test_a_folder_below_one_that_cannot_be_read_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.parent.chmod(0o755)
    folder.chmod(0)
    with ordinary_user(), pytest.raises(DataError, match="cannot read data/dog: Permission denied"):
        ImageFolder(Path("data/dog"), PLAIN)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("dat", "no file or folder .*dat; nearest: data.*DATA is a folder"),
        ("data/labels.json", "is a file, not a folder"),
        ("data/empty", "no images in .*empty.*should hold image files"),
        ("nowhere/at/all", "no file or folder "),
    ],
)
def test_what_is_no_folder_of_images_is_refused_in_one_line(folder, data, words):
    with pytest.raises(DataError, match=words) as refused:
        open_source(str(folder.parent / data), InputOptions())
    assert "\n" not in str(refused.value)


def test_limit_takes_examples_evenly_spread(folder):
    source = ImageFolder(folder, PLAIN, limit=3)
    assert paths(source) == ["Zoo/10.png", "cat/a.png", "dog/a.PNG"]
    assert [one.index for one in source.examples] == [0, 1, 2]
    assert [one.class_index for one in source.examples] == [0, 1, 2]
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 7) == spread(3, None) == [0, 1, 2]


def test_the_fingerprint_knows_the_data_and_not_where_or_when(folder, tmp_path):
    first = ImageFolder(folder, PLAIN).fingerprint()
    assert len(first) == 64
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    os.utime(moved / "dog" / "b.png", (1, 1))
    assert ImageFolder(moved, PLAIN).fingerprint() == first
    save(moved / "dog" / "b.png", 77)
    assert (moved / "dog" / "b.png").stat().st_size == (folder / "dog" / "b.png").stat().st_size
    assert ImageFolder(moved, PLAIN).fingerprint() != first
    shutil.copy(folder / "dog" / "b.png", moved / "dog" / "b.png")
    (moved / "dog" / "b.png").rename(moved / "dog" / "c.png")
    assert ImageFolder(moved, PLAIN).fingerprint() != first
    (moved / "dog" / "c.png").rename(moved / "dog" / "b.png")
    (moved / "another").mkdir()
    assert ImageFolder(moved, PLAIN).fingerprint() != first
    assert ImageFolder(folder, PLAIN, limit=3).fingerprint() != first


def test_images_of_different_sizes_are_refused_before_the_work_begins(folder):
    assert open_source(str(folder), InputOptions()).preprocessing == PLAIN
    save(folder / "dog" / "d.png", 0, (9, 6))
    with pytest.raises(DataError, match=r"Zoo/10.png is 8x6, dog/d.png 9x6.*--resize 256 --crop 224"):
        open_source(str(folder), InputOptions())
    with pytest.raises(DataError, match="differ in size"):
        open_source(str(folder), InputOptions(resize=32))
    open_source(str(folder), InputOptions(crop=6))
    open_source(str(folder), InputOptions(resize=(12, 12)))


def test_class_names_label_the_folders(folder):
    (folder / "labels.json").write_text('{"dog": "Hund", "cat": "Katze"}')
    source = open_source(str(folder), InputOptions(class_names=str(folder / "labels.json")))
    assert [(one.name, one.label) for one in source.classes] == [
        ("Zoo", "Zoo"),
        ("cat", "Katze"),
        ("dog", "Hund"),
        ("empty", "empty"),
    ]
    with pytest.raises(OptionError):
        open_source(str(folder), InputOptions(class_names=str(folder / "nothing.json")))


def test_a_folder_of_many_files_is_listed_quickly(tmp_path):
    for group in range(10):
        (tmp_path / f"class{group}").mkdir()
        for number in range(1000):
            (tmp_path / f"class{group}" / f"{number}.jpg").touch()
    started = time.process_time()
    source = ImageFolder(tmp_path, PLAIN)
    assert len(source.examples) == 10_000
    assert time.process_time() - started < 1.0


def test_real_folders_are_read(data):
    source = open_source(
        str(data / "imagenette"), InputOptions(class_names=str(data / "imagenet_classes.json"), resize=64, crop=64)
    )
    assert len(source.examples) == 1000
    assert [one.label for one in source.classes][:3] == ["tench", "English springer", "cassette player"]
    assert source.read(500).values.shape == (64, 64, 3)
    assert np.all(np.bincount([one.class_index for one in source.examples]) == 100)


def test_demo_names_the_drawn_world():
    source = open_source("demo", InputOptions(limit=25, resize=32, crop=32))
    assert len(source.examples) == 25
    assert len({one.class_index for one in source.examples}) == len(source.classes)
    assert source.read(24).values.shape == (32, 32, 3)
    assert len(open_source("demo", InputOptions()).examples) > 25


def test_a_source_that_was_pickled_reads_in_another_folder(tmp_path, monkeypatch):
    (tmp_path / "data" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "cat" / "one.png")
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(ImageFolder(Path("data"), Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)))
    monkeypatch.chdir("/")
    assert pickle.loads(packed).read(0).values.shape == (8, 8, 3)


def test_folders_of_splits_are_told_from_classes(tmp_path):
    for path in ("train/cat/0.png", "val/cat/0.png", "val/dog/1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / path)
    told = told_of_splits(ImageFolder(tmp_path, Preprocessing(), name="animals/"))
    assert told is not None
    assert "train and val, which look like the parts of a data set" in told
    assert told.endswith("give animals/train")
    assert told_of_splits(ImageFolder(tmp_path / "val", Preprocessing())) is None
    flat = tmp_path / "flat"  # a network that tells training pictures from others
    for path in ("train/0.png", "test/1.png"):
        (flat / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(flat / path)
    assert told_of_splits(ImageFolder(flat, Preprocessing())) is None
