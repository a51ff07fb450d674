"""Engines change the time, never the answer: any of them gives the same study, and one of a program's own is an argument."""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import torchlurk as tl
from torchlurk.cli import torchlurk_command
from torchlurk.engines.devices import DevicesEngine
from torchlurk.engines.local import LocalEngine
from torchlurk.errors import DeviceError, ModelError, OptionError, StudyError, TorchlurkError, UnitError
from torchlurk.jobs import Engine
from torchlurk.study import Study

SCAN = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 16, "sample": 32, "top": 3, "streams": ["output"]}
LATER = {"stages": ["attribute", "synthesize"], "steps": 3, "exemplars": 1, "methods": ["gradient", "guided"]}


class Pictures:
    """Random pictures, enough for several shards; two cannot be read, and classes are known only when they are read."""

    def __len__(self) -> int:
        return 280

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index in (0, 217):
            raise ValueError("torn")
        return torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(index)) + index % 3 / 2, index % 7


class ReadInRows(nn.Module):
    """A network of pictures with a recurrent layer, and with a layer that is far from zero."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu, self.pool = nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.rnn, self.head = nn.GRU(25, 4, batch_first=True), nn.Linear(4, 3)
        nn.init.constant_(self.conv.bias, 30.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.pool(self.relu(self.conv(x)))
        rows = maps.transpose(1, 2).flatten(2) / 30
        return self.head(self.rnn(rows)[0][:, -1])


class Unruly:
    """Three workers, pieces in a drawn order; workers die, and their pieces are given again; what is delivered comes twice."""

    def __init__(self, seed: int) -> None:
        self._random, self.died, self.again = random.Random(seed), 0, 0

    def _dies(self) -> bool:
        dies = self._random.random() < 0.3
        self.died += dies
        return dies

    def fold(self, job, shards, onto, kept):
        waiting, taken = self._random.sample(shards, len(shards)), set()
        while waiting:
            some = waiting[:2]
            with job.open(None) as work:
                part = job.begin()
                for shard in some:
                    part = work(shard, part)
            if self._dies():
                continue
            del waiting[:2]
            for _ in range(2):
                if taken.isdisjoint(some):
                    taken.update(some)
                    onto = job.merge(onto, part)
                    kept(onto, some)
                else:
                    self.again += 1
        return onto

    @contextmanager
    def each(self, job):
        with ExitStack() as opened:

            def hired():
                return opened.enter_context(job.open(None))

            workers = [hired() for _ in range(3)]

            def hands(pieces):
                waiting = list(enumerate(pieces))
                self._random.shuffle(waiting)
                while waiting:
                    number, piece = waiting[-1]
                    chosen = self._random.randrange(3)
                    made = workers[chosen](piece)
                    if self._dies():
                        workers[chosen] = hired()
                        continue
                    waiting.pop()
                    yield number, made
                    if self._random.random() < 0.5:
                        self.again += 1
                        yield number, made

            yield hands


TWO_DEVICES = DevicesEngine([torch.device("cpu"), torch.device("cpu", 0)])
"""The CPU twice: by its number it has a copy of the network."""


def study_by(engine: str | Engine, path: Path) -> Study:
    tl.analyze(ReadInRows(), Pictures(), path, engine=engine, **SCAN).close()
    return tl.analyze(ReadInRows(), Pictures(), path, engine=engine, **SCAN | LATER)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    """The study that one process makes in one thread; `scan.lurk` beside it is the same after the scan."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("engines")
    tl.analyze(ReadInRows(), Pictures(), folder / "scan.lurk", engine="local", **SCAN).close()
    shutil.copy(folder / "scan.lurk", folder / "usual.lurk")
    tl.analyze(ReadInRows(), Pictures(), folder / "usual.lurk", engine="local", **SCAN | LATER).close()
    return folder / "usual.lurk"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads:1", "threads:2"])
def test_any_engine_that_has_a_name_gives_the_same_study(name, usual, tmp_path, same_scan, same_pictures):
    with study_by(name, tmp_path / "s.lurk") as study, Study(usual) as expected:
        same_scan(expected, study)
        same_pictures(expected, study)
        assert {stage: run.options for stage, run in study.runs.items()} == {
            stage: run.options for stage, run in expected.runs.items()
        }


@pytest.mark.slow
def test_an_engine_that_shuffles_and_repeats_and_whose_workers_die_gives_the_same_study(
    usual, tmp_path, same_scan, same_pictures
):
    engine = Unruly(3)
    with study_by(engine, tmp_path / "s.lurk") as study, Study(usual) as expected:
        same_scan(expected, study)
        same_pictures(expected, study)
    assert engine.died > 3
    assert engine.again > 3


@pytest.mark.slow
def test_several_devices_give_the_same_study(usual, tmp_path, same_scan, same_pictures, monkeypatch):
    monkeypatch.setattr("torchlurk.engines.devices.SECONDS_BETWEEN_PARTS", 0.0)
    with study_by(TWO_DEVICES, tmp_path / "s.lurk") as study, Study(usual) as expected:
        same_scan(expected, study)
        same_pictures(expected, study)


class Failing(ReadInRows):
    """Fails at a picture of a late shard."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if any(torch.equal(one, Pictures()[200][0]) for one in x):
            raise ValueError("no such picture")
        return super().forward(x)


@pytest.mark.slow
def test_what_fails_on_one_of_several_devices_is_said_as_on_one(tmp_path):
    said = []
    for number, engine in enumerate(["local", TWO_DEVICES]):
        with pytest.raises(ModelError) as caught:
            tl.analyze(Failing(), Pictures(), tmp_path / f"{number}.lurk", engine=engine, **SCAN)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "no such picture" in said[0]


@pytest.mark.slow
def test_parts_by_different_engines_are_merged_to_the_same_study(usual, tmp_path, same_scan):
    engines = [Unruly(1), "threads:2", LocalEngine()]
    paths = [tmp_path / f"{number}.lurk" for number in (1, 2, 3)]
    for number, (path, engine) in enumerate(zip(paths, engines, strict=True), 1):
        tl.analyze(ReadInRows(), Pictures(), path, part=f"{number}/3", engine=engine, **SCAN).close()
    with tl.merge(paths, out=tmp_path / "m.lurk") as merged, Study(usual.parent / "scan.lurk") as expected:
        same_scan(expected, merged)


@pytest.mark.slow
def test_a_study_that_was_interrupted_goes_on_with_another_engine(
    usual, tmp_path, same_scan, same_pictures, interrupted, monkeypatch
):
    monkeypatch.setattr("torchlurk.stages.scan.SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("torchlurk.stages.scan.SAVE_SHARE", 1e9)
    path = tmp_path / "s.lurk"
    for method, times, engine, given in (
        ("save_progress", 2, Unruly(5), SCAN),
        ("write_attributions", 6, "threads:2", SCAN | LATER | {"stages": ["scan", "attribute"]}),
        ("write_synthesis", 3, Unruly(6), SCAN | LATER),
    ):
        with interrupted(method, times):
            tl.analyze(ReadInRows(), Pictures(), path, engine=engine, **given)
    with tl.analyze(ReadInRows(), Pictures(), path, engine="local", **SCAN | LATER) as study, Study(usual) as expected:
        same_scan(expected, study)
        same_pictures(expected, study)


class Series:
    """Series of two lengths."""

    def __len__(self) -> int:
        return 260

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(6 - index % 2, 2, generator=torch.Generator().manual_seed(index)) + 3


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.out = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0][:, -1])


@pytest.mark.slow
def test_series_are_scanned_and_attributed_the_same_by_any_engine(tmp_path, same_scan):
    options = {"kind": "series", "batch_size": 16, "top": 2, "sample": 32}
    options |= {"stages": ["scan", "attribute"], "methods": ["gradient"], "exemplars": 1}
    with tl.analyze(Recurrent(), Series(), tmp_path / "usual.lurk", engine="local", **options) as expected:
        for number, engine in enumerate(["threads:2", TWO_DEVICES, Unruly(1)]):
            with tl.analyze(Recurrent(), Series(), tmp_path / f"{number}.lurk", engine=engine, **options) as study:
                same_scan(expected, study)
                for layer in study.layers:
                    for unit in (one for one in layer if layer.record.layout == "sequence"):
                        traces, usual = (one.steps().traces for one in (unit, expected.unit(unit.address)))
                        assert all(np.array_equal(values, usual[example]) for example, values in traces.items())
                        found, known = (one.attributions("max") for one in (unit, expected.unit(unit.address)))
                        assert [(one.method, one.exemplar) for one in found] == [(one.method, one.exemplar) for one in known]
                        assert found
                        assert all(np.array_equal(a.values, b.values) for a, b in zip(found, known, strict=True))


class Forgetful(LocalEngine):
    """Leaves out what it was given last."""

    def fold(self, job, shards, onto, kept):
        return super().fold(job, shards[:-1], onto, kept)


def test_an_engine_that_leaves_something_out_is_found_out(tmp_path):
    with pytest.raises(StudyError, match=r"the engine Forgetful did not finish examples 256 to 279"):
        tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", engine=Forgetful(), **SCAN)
    with tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", **SCAN) as study:
        assert study.runs["scan"].finished


def test_an_engine_that_there_is_not_is_refused_before_anything_is_read(tmp_path, usual):
    with pytest.raises(OptionError, match=r"^engine is 'rya'   \(available: local, threads, threads:N"):
        tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", engine="rya", **SCAN)
    said = CliRunner().invoke(
        torchlurk_command, ["analyze", "demo", "demo", "--out", str(tmp_path / "s.lurk"), "--engine", "rya"]
    )
    assert str(said.exception).startswith("--engine is 'rya'   (available: ")
    assert not list(tmp_path.iterdir())


def test_a_finished_study_is_finished_for_every_engine(usual, tmp_path):
    shutil.copy(usual, tmp_path / "s.lurk")
    before = usual.read_bytes()
    study_by(Unruly(1), tmp_path / "s.lurk").close()
    assert (tmp_path / "s.lurk").read_bytes() == before


class Away(LocalEngine):
    """An engine elsewhere: not there, or one that cannot be sent a job."""

    def __init__(self, there: bool) -> None:
        self.there = there

    def join(self, device: torch.device) -> None:
        if not self.there:
            raise DeviceError("nobody answers")

    def check(self, job: object) -> None:
        raise OptionError(f"{type(job).__name__} cannot be sent")


@pytest.mark.parametrize(("there", "told"), [(False, "nobody answers"), (True, "Scan cannot be sent")])
def test_an_engine_that_is_refused_leaves_nothing_begun(there, told, tmp_path):
    with pytest.raises(TorchlurkError, match=told):
        tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", engine=Away(there), **SCAN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["attribute", "synthesize"])
@pytest.mark.parametrize("there", [False, True])
def test_nor_a_stage_after_the_scan(there, stage, usual, tmp_path):
    shutil.copy(usual.with_name("scan.lurk"), tmp_path / "s.lurk")
    with pytest.raises(TorchlurkError, match=rf"nobody answers|{stage.title()} cannot be sent"):
        tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", engine=Away(there), **SCAN | LATER | {"stages": [stage]})
    with tl.open(tmp_path / "s.lurk") as study:
        assert list(study.runs) == ["scan"]


def test_nor_does_a_unit_that_is_not_there(usual, tmp_path):
    shutil.copy(usual.with_name("scan.lurk"), tmp_path / "s.lurk")
    for stage in ("attribute", "synthesize"):
        options = SCAN | LATER | {"stages": [stage], "units": ["conv:99"]}
        with pytest.raises(UnitError, match="no channel 99"):
            tl.analyze(ReadInRows(), Pictures(), tmp_path / "s.lurk", engine="local", **options)
    with tl.open(tmp_path / "s.lurk") as study:
        assert list(study.runs) == ["scan"]


def test_an_engine_that_is_not_there_is_not_asked_for_a_finished_study(usual, tmp_path):
    shutil.copy(usual, tmp_path / "s.lurk")
    study_by(Away(there=False), tmp_path / "s.lurk").close()
