"""The pictures to start with: the same for the same number, a data set for programs, DATA for the command line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import torchlurk as tl
from torchlurk.analysis import task_of
from torchlurk.errors import OptionError
from torchlurk.inputs.demo.drawn import NAMES, SIDE
from torchlurk.inputs.demo.pictures import draw
from torchlurk.inputs.demo.things import THINGS
from torchlurk.inputs.demo.world import DrawnWorld
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.output_order import NOT_ITS_CLASSES
from torchlurk.inputs.source import Source
from torchlurk.jobs import Silence
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing
from torchlurk.stage_table import Settings

IMAGENET = Preprocessing(resize=(256,), crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Says(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def net(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)).eval()


def test_they_are_a_data_set_of_pictures_and_classes() -> None:
    pictures = tl.drawn(40)
    picture, class_index = pictures[34]
    assert (picture.size, picture.mode) == ((SIDE, SIDE), "RGB")
    assert class_index == pictures.targets[34] == 34 % len(NAMES)
    assert pictures.classes[class_index] == "apple"
    assert np.array_equal(pictures[-6][0], picture)
    assert len(list(pictures)) == len(pictures) == 40
    assert "40 drawn pictures of 33 classes" in repr(pictures)
    with pytest.raises(OptionError, match="give from 1 to"):
        tl.drawn(0)


def test_a_picture_depends_on_seed_and_number_alone() -> None:
    pictures = tl.drawn(35)
    again = pickle.loads(pickle.dumps(tl.drawn(600)))
    assert np.array_equal(again[12][0], pictures[12][0])
    seen = {np.asarray(picture).tobytes() for picture, _ in pictures} | {np.asarray(tl.drawn(1, seed=1)[0][0]).tobytes()}
    assert len(seen) == 36


def test_they_show_more_than_the_demo_and_differ_in_light() -> None:
    assert set(NAMES) > set(THINGS)
    assert list(NAMES) == sorted(NAMES)
    levels = [np.asarray(picture, np.float32) for picture, _ in tl.drawn(33)]
    assert all(level.std() > 15 for level in levels)
    left_to_right = [abs(float(level[:, :64].mean() - level[:, -64:].mean())) for level in levels]
    assert max(left_to_right) > 10


def test_drawing_them_leaves_the_demos_pictures_as_they_were_trained_on() -> None:
    image = draw(0, 3).image
    assert image.shape == (96, 96, 3)
    assert image.mean(dtype=float) == pytest.approx(164.5, abs=40)


def test_they_need_no_torch() -> None:
    code = "import torchlurk as tl, sys; tl.drawn(2)[1]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_data_called_drawn_is_them_at_the_size_the_model_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source("drawn", InputOptions(), IMAGENET)
    assert isinstance(source, Source)
    assert (source.name, len(source.examples)) == ("drawn", 396)
    assert source.examples[34].path == "apple/000034.png"
    item = source.read(34)
    assert item.class_index == 1
    assert np.array_equal(item.values, np.asarray(tl.drawn(40)[34][0])[16:240, 16:240])
    whole, small = (open_source("drawn", InputOptions(limit=4, resize=size)) for size in (None, (64, 64)))
    assert whole.read(0).values.shape == (256, 256, 3)
    assert small.read(0).values.shape == (64, 64, 3)
    assert len(open_source("drawn", InputOptions(limit=1000)).examples) == 1000


def test_the_pictures_of_a_program_are_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = open_source(tl.drawn(), InputOptions())
    assert given.fingerprint() == open_source("drawn", InputOptions()).fingerprint() == DrawnWorld().fingerprint()
    others = [DrawnWorld(395), DrawnWorld(seed=1), DrawnWorld(limit=33)]
    assert len({one.fingerprint() for one in others} | {given.fingerprint()}) == 4
    assert [one.path for one in open_source(tl.drawn(66), InputOptions(limit=2)).examples] == [
        "airplane/000000.png",
        "airplane/000033.png",
    ]


@pytest.mark.parametrize(
    ("options", "flag"),
    [(InputOptions(classes="a.csv"), "--classes"), (InputOptions(class_names="a.json"), "--class-names"),
     (InputOptions(kind="series"), "--kind"), (InputOptions(tokenizer="word"), "--tokenizer")],
)  # fmt: skip
def test_options_of_other_data_are_refused(options: InputOptions, flag: str) -> None:
    for data in ("demo", tl.drawn()):
        with pytest.raises(OptionError, match=flag):
            open_source(data, options)
    with pytest.raises(OptionError, match="vocabulary"):
        open_source(tl.drawn(), InputOptions(), vocabulary=["a"])


def test_a_folder_of_that_name_is_the_users_and_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tl.drawn()[0][0].save((tmp_path / "mine").mkdir() or tmp_path / "mine" / "a.png")
    for name, first, line in (
        ("drawn", "a.png", "DATA is the folder drawn"),
        ("demo", "airplane/000000.png", "not the folder of that name"),
    ):
        (tmp_path / "mine").rename(tmp_path / name)
        told = Says()
        task = task_of(net(5), name, tmp_path / "a.lurk", None, Settings(), told)
        assert task.source.examples[0].path == first
        assert line in told.said[0]
        assert line in task.notes[0][1]  # which the study keeps, for programs that hear nothing
        (tmp_path / name).rename(tmp_path / "mine")
    told = Says()
    task_of(net(5), tl.drawn(), tmp_path / "a.lurk", None, Settings(), told)
    assert told.said == []


def test_names_of_classes_as_a_list_are_refused_where_they_would_do_nothing(tmp_path: Path) -> None:
    for data in ("demo", str(tmp_path), tl.drawn(4)):
        with pytest.raises(OptionError, match="class_names is a list"):
            tl.analyze(net(5), data, tmp_path / "a.lurk", class_names=["a"])


@pytest.mark.slow
def test_outputs_of_a_network_that_does_not_know_the_classes_are_not_called_by_them(tmp_path: Path) -> None:
    chosen = {
        "stages": ["scan"],
        "device": "cpu",
        "workers": 1,
        "batch_size": 11,
        "resize": 32,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
    }
    study = tl.analyze(net(len(NAMES)), tl.drawn(33), tmp_path / "a.lurk", **chosen)
    assert study.reader.output_labels(33) == [str(index) for index in range(33)]
    (note,) = study.notes
    assert NOT_ITS_CLASSES in note
    assert [one.label for one in study.classes] == list(NAMES)
