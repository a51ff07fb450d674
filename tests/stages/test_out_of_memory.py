"""A device that runs out of memory: fewer examples, pairs or pictures pass at a time, and the study is the usual one."""

from __future__ import annotations

import math
from copy import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import torchlurk as tl
from torchlurk.errors import DeviceError
from torchlurk.hierarchy.running import run
from torchlurk.models.taps.interventions import Replacements
from torchlurk.synthesis.synthesize import Synthesizer

CLOSE = 1e-5
SCAN = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 8, "sample": 16, "top": 3, "engine": "local"}
LATER = {"stages": ["attribute", "synthesize"], "steps": 2, "exemplars": 1, "methods": ["gradient", "captum:Saliency"]}


CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


class Net(nn.Module):
    """Has room for so many inputs behind its first layer; `tried` notes of how many each pass was."""

    def __init__(self, room: float = math.inf, error: Exception = CUBLAS) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)
        self.room, self.error, self.tried = room, error, []

    def forward(self, x: Tensor) -> Tensor:
        maps = self.relu(self.first(x))
        self.tried.append(len(x))
        if len(x) > self.room:
            raise copy(self.error)
        return self.second(maps).mean((2, 3))


class Sequences(nn.Module):
    """Has room for so many texts behind its recurrent layer."""

    def __init__(self, room: float = math.inf) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn, self.head, self.room = (
            nn.Embedding(5, 3),
            nn.LSTM(3, 4, batch_first=True),
            nn.Linear(4, 5),
            room,
        )

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(self.embedding(x))[0]
        if len(x) > self.room:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 MiB")
        return self.head(states)


def pictures(count: int = 100) -> TensorDataset:
    return TensorDataset(torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 3)


def numbers(study) -> dict[str, list]:
    table = study.units()
    return {name: list(table[name]) for name in table.columns}


def assert_alike(one, other) -> None:
    expected, found = numbers(one), numbers(other)
    for name, values in expected.items():
        if any(isinstance(value, float) for value in values):
            np.testing.assert_allclose(
                np.array(found[name], float), np.array(values, float), rtol=CLOSE, atol=CLOSE, err_msg=name
            )
        else:
            assert values == found[name], name


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("Tried to allocate 20.00 MiB"), CUBLAS], ids=["torch", "cublas"])
def test_a_scan_passes_fewer_examples_at_a_time_and_takes_each_in_once(tmp_path, error):
    net = Net(3, error)
    with tl.analyze(net, pictures(), tmp_path / "s.lurk", **SCAN) as study:
        assert_alike(tl.analyze(Net(), pictures(), tmp_path / "usual.lurk", **SCAN), study)
        assert study.reader.batch_size() == 8
    assert sum(tried > 3 for tried in net.tried) <= 6, "what does not fit is not tried again and again"


def test_texts_too(tmp_path):
    (tmp_path / "a.txt").write_text("".join(np.random.default_rng(0).choice(list("abcd\n"), 300).tolist()))
    options = {"vocabulary": list("abcd\n"), "window": 12, "burn_in": 3, "batch_size": 8, "engine": "local"}
    with tl.analyze(Sequences(3), str(tmp_path / "a.txt"), tmp_path / "s.lurk", keep_steps=["rnn*"], **options) as study:
        usual = tl.analyze(Sequences(), str(tmp_path / "a.txt"), tmp_path / "u.lurk", keep_steps=["rnn*"], **options)
        assert_alike(usual, study)


def test_one_example_that_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(DeviceError, match=r"^an input of 3×12×12 does not fit into the memory of cpu"):
        tl.analyze(Net(room=0), pictures(), tmp_path / "s.lurk", **SCAN)


@pytest.mark.slow
def test_attributions_are_made_of_fewer_pairs_and_syntheses_of_fewer_pictures_at_a_time(tmp_path):
    studies = []
    for number, room in enumerate((math.inf, 3)):
        net = Net(room)
        tl.analyze(net, pictures(), tmp_path / f"{number}.lurk", **SCAN).close()
        net.tried.clear()
        studies.append(tl.analyze(net, pictures(), tmp_path / f"{number}.lurk", **SCAN | LATER))
        assert max(net.tried) > 3
    usual, study = studies
    assert usual.notes == study.notes
    for one, other in ((one, other) for layer in usual.layers for one, other in zip(layer, study[layer.name], strict=True)):
        pairs = list(zip(one.attributions(), other.attributions(), strict=True))
        assert pairs
        for mine, theirs in pairs:
            assert np.abs(mine.values - theirs.values).max() <= np.abs(mine.values).max() / 100
        assert len(other.syntheses()) == len(one.syntheses()) == 1


def test_a_synthesis_that_does_not_fit_is_one_line():
    made = Synthesizer(Net(room=3), size=16).units("second", [0, 1, 2, 3, 1], steps=2)
    assert [one.unit.channel for one in made] == [0, 1, 2, 3, 1]
    net = Net()
    maker = Synthesizer(net, size=16)
    maker.layer("second")
    net.room = 0
    with pytest.raises(
        DeviceError, match="the synthesis of one picture of 16×16 for layer 'second' does not fit into the memory of the device"
    ):
        maker.units("second", [0], steps=2)


def test_an_image_that_does_not_fit_where_it_is_explained_is_one_line():
    with pytest.raises(DeviceError, match=r"^an input of 3×12×12 does not fit into the memory of cpu"):
        run(Net(room=0), torch.rand(1, 3, 12, 12), Replacements())
