"""What a worker in another process needs is sent to it, and it computes the same; what cannot be sent is named."""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

import torchlurk as tl
from torchlurk.engines.description import Description, Named
from torchlurk.engines.local import LocalEngine
from torchlurk.errors import MismatchError, OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.options import InputOptions

NET = """
from torch import nn

class Own(nn.Sequential):
    pass

def net():
    return Own(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 3))
"""

WORKER = """
import pickle, sys
for _ in range(int(sys.argv[1])):
    description, pieces = pickle.load(sys.stdin.buffer)
    with description.opened() as job, job.open(None) as work:
        if hasattr(job, "begin"):
            made = job.begin()
            for shard in pieces:
                made = work(shard, made)
        else:
            made = [work(piece) for piece in pieces]
    pickle.dump(made, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


class Elsewhere:
    """Does all work in another process, which knows nothing but what it is sent."""

    def __init__(self, jobs: int) -> None:
        command = [sys.executable, "-c", WORKER, str(jobs)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")

    def _done(self, description, pieces):
        pickle.dump((description, pieces), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def fold(self, job, shards, onto, kept):
        merged = job.merge(onto, self._done(Description.of(job), shards))
        job.progress.advance(sum(map(len, shards)))
        kept(merged, shards)
        return merged

    @contextmanager
    def each(self, job):
        description = Description.of(job)
        yield lambda pieces: list(enumerate(self._done(description, list(pieces))))


def pictures(count: int = 24) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand(count, 3, 12, 12, generator=generator), torch.arange(count) % 3)


OPTIONS = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 8, "sample": 8, "top": 2}
LATER = {"stages": ["attribute", "synthesize"], "steps": 2, "exemplars": 1, "methods": ["gradient"], "layers": ["0"]}


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_study_of_what_it_is_sent(tmp_path, monkeypatch, same_scan, same_pictures):
    (tmp_path / "nets.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    engine = Elsewhere(jobs=3)
    studies = []
    for where in ("local", engine):
        path = tmp_path / f"{len(studies)}.lurk"
        tl.analyze("nets.py:net", pictures(), path, engine=where, **OPTIONS | {"layers": ["0"]}).close()
        studies.append(tl.analyze("nets.py:net", pictures(), path, engine=where, **OPTIONS | LATER))
    with engine.process, studies[0] as usual, studies[1] as study:
        engine.process.stdin.close()
        same_scan(usual, study)
        same_pictures(usual, study)
        assert len(usual["0"]) == 4
    assert engine.process.returncode == 0


class Caught(LocalEngine):
    """Describes the scan, sends it and does it here."""

    def fold(self, job, shards, onto, kept):
        self.description = pickle.loads(pickle.dumps(Description.of(job)))
        with self.description.opened() as other:
            assert not {id(one) for one in other.network.parameters()} & {id(one) for one in job.network.parameters()}
            return super().fold(other, shards, onto, kept)

    @contextmanager
    def each(self, job):
        with Description.of(job).opened() as other, super().each(other) as hands:
            yield hands


class Series:
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(6 - index % 2, 2, generator=torch.Generator().manual_seed(index))


class Recurrent(nn.Module):
    """Takes time first, and lengths beside its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.LSTM(2, 3)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        assert len(lengths) == x.shape[1]
        return self.rnn(x)[0]


@pytest.mark.slow
def test_a_model_that_is_an_object_is_sent_as_it_was_given(tmp_path, same_scan):
    """It has another forward for as long as the scan lasts."""
    options = {"batch_size": 4, "top": 2, "sample": 4, "input_axes": "tbc"}
    options |= {"stages": ["scan", "attribute"], "methods": ["gradient"], "exemplars": 1, "layers": ["rnn.l0"]}
    with (
        tl.analyze(Recurrent(), Series(), tmp_path / "a.lurk", engine=Caught(), **options) as study,
        tl.analyze(Recurrent(), Series(), tmp_path / "b.lurk", engine="local", **options) as usual,
    ):
        same_scan(usual, study)


class Prepared:
    """Pictures made by a function."""

    def __init__(self, how) -> None:
        self.parts = {"how": how}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.parts["how"](torch.full((3, 12, 12), index / 4))


class Odd(nn.Module):
    def __init__(self, how) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 2, 3))
        self.inner[0].how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def test_what_cannot_be_sent_is_named_with_the_way_to_it(tmp_path):
    def refused(model, data) -> str:
        with pytest.raises(OptionError) as caught:
            tl.analyze(model, data, tmp_path / "s.lurk", engine=Caught(), **OPTIONS)
        (tmp_path / "s.lurk").unlink(missing_ok=True)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    said = refused(nn.Conv2d(3, 2, 3), Prepared(lambda picture: picture))
    assert said.startswith("the data cannot be sent to another process: source.dataset.parts.how: ")
    assert "<lambda>" in said
    assert said.endswith("(define what it is made of in a module, or use an engine of this process: engine threads)")
    said = refused(Odd(lambda picture: picture), pictures(4))
    assert said.startswith("the model cannot be sent to another process: model.inner.0.how: ")
    assert said.endswith("(give MODEL by name, or use an engine of this process: engine threads)")


def test_a_class_of_the_program_itself_is_refused_for_another_process_has_no_such_program(tmp_path, monkeypatch):
    monkeypatch.setattr(Prepared, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Prepared", Prepared, raising=False)
    with pytest.raises(OptionError, match=r"source\.dataset: Prepared is defined in the program itself, not in a module"):
        tl.analyze(nn.Conv2d(3, 2, 3), Prepared(torch.clone), tmp_path / "s.lurk", engine=Caught(), **OPTIONS)


def test_another_model_under_the_same_name_is_refused(tmp_path):
    (tmp_path / "nets.py").write_text(NET)
    engine = Caught()
    tl.analyze(f"{tmp_path}/nets.py:net", pictures(4), tmp_path / "s.lurk", engine=engine, **OPTIONS).close()
    (tmp_path / "nets.py").write_text(NET.replace("Conv2d(3, 4, 3)", "Conv2d(3, 4, 3, bias=False)"))
    with pytest.raises(MismatchError, match=r"nets.py:net has other weights"), engine.description.opened():
        pass


def test_files_are_named_by_their_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Named.of("nets.py:net", "w.pt") == Named(f"{tmp_path}/nets.py:net", f"{tmp_path}/w.pt")
    assert Named.of("timm:resnet18", "random") == Named("timm:resnet18", "random")
    assert Named.of("demo", None) == Named("demo", None)


def folder(path: Path) -> str:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path / "a.png")
    return str(path)


def text(path: Path) -> str:
    (path / "a.txt").write_text("the cat sat on the mat")
    return str(path / "a.txt")


def series(path: Path) -> str:
    np.save(path / "a.npy", np.arange(24, dtype=np.float32).reshape(2, 4, 3))
    return str(path / "a.npy")


@pytest.mark.parametrize("made", [folder, text, series, lambda path: "demo"])
def test_a_source_is_sent_with_its_examples(made, tmp_path):
    vocabulary = sorted(set("the cat sat on the mat")) if made is text else None
    source = open_source(made(tmp_path), InputOptions(limit=1), vocabulary=vocabulary)
    other = pickle.loads(pickle.dumps(source))
    assert other.fingerprint() == source.fingerprint()
    assert list(other.examples) == list(source.examples)
    assert np.array_equal(np.asarray(other.read(0).values), np.asarray(source.read(0).values))
