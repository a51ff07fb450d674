"""The study of a stream is that of the same data with [index], however the work is cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

import torchlurk as tl
from torchlurk.errors import DataError
from torchlurk.units import Unit

OPTIONS = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 8, "sample": 16, "top": 3, "seed": 1}
LATER = {"stages": ["scan", "attribute"], "layers": ["0"], "methods": ["guided"], "exemplars": 1}


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.fixture(scope="module")
def items():
    torch.manual_seed(1)
    return [(torch.rand(3, 8, 8), index % 3) for index in range(150)]


class Streamed(IterableDataset):
    """The items one after the other; what is None cannot be read."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return map(self._one, self.items)

    def _one(self, item):
        if item is None:
            raise ValueError("bad")
        return item


@pytest.fixture(scope="module")
def whole(items, tmp_path_factory):
    return tl.analyze(net(), items, tmp_path_factory.mktemp("whole") / "whole.lurk", **OPTIONS, **LATER)


@pytest.mark.parametrize("engine", ["local", "threads:2"])
def test_the_study_of_a_stream_is_that_of_the_data(items, whole, engine, tmp_path, same_scan):
    study = tl.analyze(net(), Streamed(items), tmp_path / "s.lurk", engine=engine, **OPTIONS, **LATER)
    same_scan(study, whole, 0)
    for mine in study.layers[0]:
        found, expected = (one.reader.attributions(Unit.parse(mine.address)) for one in (study, whole))
        assert found == expected != ()


def test_parts_of_a_stream_are_merged_to_the_study_of_the_data(items, whole, tmp_path, same_scan):
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        tl.analyze(net(), Streamed(items), part, part=f"{number}/2", stages=["scan"], **OPTIONS)
    merged = tl.merge(parts, out=tmp_path / "merged.lurk")
    same_scan(merged, tl.analyze(net(), items, tmp_path / "whole.lurk", stages=["scan"], **OPTIONS))


def test_a_hugging_face_stream_gives_the_study_of_its_rows(tmp_path, same_scan):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    shape = datasets.Array3D(shape=(3, 8, 8), dtype="float32")
    kinds = datasets.Features(image=shape, label=datasets.ClassLabel(names=["ant", "bee", "cow"]))
    torch.manual_seed(1)
    pictures = torch.rand(40, 3, 8, 8).numpy()
    rows = datasets.Dataset.from_dict({"image": list(pictures), "label": [one % 3 for one in range(40)]}, features=kinds)
    streamed = rows.to_iterable_dataset(num_shards=4).with_format("torch")
    study = tl.analyze(net(), streamed, tmp_path / "s.lurk", stages=["scan"], **OPTIONS)
    assert [one.label for one in study.classes] == ["ant", "bee", "cow"]
    same_scan(study, tl.analyze(net(), rows.with_format("torch"), tmp_path / "w.lurk", stages=["scan"], **OPTIONS), 0)


def test_what_is_left_out_of_a_stream_is_named_in_the_study(items, tmp_path):
    given = [None if index in (3, 70) else item for index, item in enumerate(items)]
    study = tl.analyze(net(), Streamed(given), tmp_path / "s.lurk", stages=["scan"], limit=100, **OPTIONS)
    assert [(one.path, one.reason) for one in study.skipped] == [("3", "ValueError: bad"), ("70", "ValueError: bad")]
    assert study.reader.example_count() == 100
    assert any("the first 100 examples of the stream Streamed are used" in text for text in study.notes)


def test_data_may_be_made_by_a_function_in_a_file(items, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("COUNT = 20\n")
    (tmp_path / "data.py").write_text(
        "import torch\n"
        "from beside import COUNT\n"
        "class Stream(torch.utils.data.IterableDataset):\n"
        "    def __iter__(self):\n"
        "        return iter([(torch.full((3, 8, 8), one / COUNT), one % 3) for one in range(COUNT)])\n"
        "def stream():\n    return Stream()\n"
        "def failing():\n    raise ValueError('no data')\n"
        "def asking(name):\n    return Stream()\n"
        "pixels = [(torch.full((3, 8, 8), one, dtype=torch.uint8), one % 3) for one in range(COUNT)]\n"
        "whole = [(torch.full((3, 8, 8), one / COUNT), one % 3) for one in range(COUNT)]\n"
    )
    names = ["fish", "fowl", "frog"]
    study, other = (
        tl.analyze(net(), f"data.py:{name}", tmp_path / f"{name}.lurk", stages=["scan"], class_names=names, **OPTIONS)
        for name in ("stream", "whole")
    )
    assert [one.label for one in study.classes] == names
    assert study.runs["scan"].data == "data.py:stream"
    assert [unit.exemplars("max") for unit in study.layers[0]] == [unit.exemplars("max") for unit in other.layers[0]]
    plain = {name: value for name, value in OPTIONS.items() if name not in ("mean", "std")}
    for name, unnormalized in (("pixels", True), ("whole", False)):
        notes = tl.analyze(net(), f"data.py:{name}", tmp_path / f"{name}-plain.lurk", stages=["scan"], **plain).notes
        assert any("does not state its preprocessing" in note for note in notes) == unnormalized
    for data, words in [
        ("data.py:strea", r"there is no 'strea' in data.py; nearest: stream.*a function that returns the data set"),
        ("data.py:failing", r"'data.py:failing' failed at .*data.py line \d+: ValueError: no data"),
        ("data.py:asking", "'data.py:asking' needs arguments: name"),
        ("dat.py:stream", "no file or folder dat.py; nearest: data.py"),
        ("data.py", "data.py is Python code, and does not say what in it makes the data .*write data.py:CALLABLE"),
        ("data.py:COUNT", "int is not a map-style data set"),
    ]:
        with pytest.raises(DataError, match=words):
            tl.analyze(net(), data, tmp_path / "no.lurk", **OPTIONS)
