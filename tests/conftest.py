"""What every test shares: axes named in signatures are checked, and real models and images are found if they are there."""

from __future__ import annotations

import ctypes
import functools
import gc
import inspect
import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import jaxtyping
import numpy as np
import psutil
import pytest
from filelock import FileLock

# What fails in a part of a campaign is told as in a test.
pytest.register_assert_rewrite("campaigns")

CHECKED_CALLS = 3
"""So many calls of each function have their axes and types checked, the first ones in each test: checking them all takes two
thirds of the tests' time, most of it where a function is made anew in each call of another.
"""

_calls: Counter[CodeType] = Counter()
_jaxtyped = jaxtyping.jaxtyped


def _checked_at_first(*, typechecker: Any) -> Callable[[Any], Any]:
    """`jaxtyping.jaxtyped` for the first calls in a test."""
    whole = _jaxtyped(typechecker=typechecker)

    def decorated(made: Any) -> Any:
        if inspect.isclass(made):
            if is_dataclass(made) and "__init__" in vars(made):
                made.__init__ = decorated(made.__init__)
            return made
        code = made.__code__
        if _calls[code] >= CHECKED_CALLS:
            return made
        checked = whole(made)

        @functools.wraps(made)
        def call(*args: Any, **kwargs: Any) -> Any:
            _calls[code] += 1
            return (checked if _calls[code] <= CHECKED_CALLS else made)(*args, **kwargs)

        return call

    return decorated


jaxtyping.jaxtyped = _checked_at_first  # what the hook puts before each function
# A whole number is a good float, as everywhere in Python (PEP 484).
jaxtyping.install_import_hook("torchlurk", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

DATA = Path(os.environ.get("TORCHLURK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real trained models and images; the test is skipped where it is absent."""
    if not (DATA / "models").is_dir():
        pytest.skip("needs the folder of real models and images (TORCHLURK_TEST_DATA)")
    return DATA


@pytest.fixture(autouse=True)
def _checked_anew() -> None:
    """Each test checks the first calls that it makes."""
    _calls.clear()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests run side by side: more threads each would only fight over the cores."""
    import torch

    torch.set_num_threads(1)


LARGE = 1 << 29
"""So many bytes more than after the last time are worth the second that it takes to give back what is free."""

_held = {"bytes": LARGE}


@pytest.fixture
def same_numbers() -> Iterator[None]:
    """Random numbers are the same in each run of the test; those of other tests stay as they are."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def _memory_given_back() -> Iterator[None]:
    """After a test of large networks their memory is free, but in pieces that the C library keeps for the process.

    Without this each worker holds gigabytes of them from its first large network to its last test.
    """
    yield
    if sys.platform == "linux" and psutil.Process().memory_info().rss > _held["bytes"] + LARGE:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)
        _held["bytes"] = psutil.Process().memory_info().rss


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """`once(NAME, build)` is a folder that `build` has filled, once in a run of the tests: every worker gets the same one.

    Nothing in it may be changed.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
    shared.mkdir(exist_ok=True)

    def built(name: str, build: Callable[[Path], None]) -> Path:
        folder, making = shared / name, shared / f"{name}.making"
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                build(making)
                making.rename(folder)
        return folder

    return built


@pytest.fixture(scope="session")
def drawn(once) -> Path:
    """A study of 24 drawn examples by the demo network: the scan alone, with the four strongest examples of each unit.

    Copy it before changing it.
    """

    def build(folder: Path) -> None:
        import torchlurk

        study = folder / "demo.lurk"
        torchlurk.analyze("demo", "demo", study, stages=["scan"], limit=24, top=4, device="cpu", workers=1).close()

    return once("drawn", build) / "demo.lurk"


@pytest.fixture(scope="session")
def demo(once) -> Path:
    """A finished study: a few layers of the demo network on 60 drawn pictures, each unit of one layer with pictures of an
    attribution and of a synthesis. Copy it before changing it.
    """
    return once("demo", lambda folder: write_demo(folder / "demo.lurk")) / "demo.lurk"


def write_demo(path: Path) -> None:
    from PIL import Image

    from torchlurk.analysis import analyze_model
    from torchlurk.jobs import Silence
    from torchlurk.options import ComputeOptions, InputOptions, ScanOptions
    from torchlurk.records import Attribution, MethodCheck, Synthesis
    from torchlurk.stage_table import Settings
    from torchlurk.store.writing import Writer
    from torchlurk.units import Unit

    wanted = ScanOptions(layers=("stem.0", "block1*", "head"), sample=40)
    settings = Settings(inputs=InputOptions(limit=60), scan=wanted, compute=ComputeOptions(batch_size=4))
    analyze_model("demo", "demo", path, None, ("scan",), settings, Silence())
    with Writer(path) as writer:
        for channel in range(32):
            unit = Unit("block1", channel)
            for method, shade in (("guided", 40), ("gradient", 90)):
                pixels = np.full((9, 11, 3), shade + channel, np.uint8)
                Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
                name = writer.write_picture("image/png", file.getvalue())
                writer.write_attributions(unit, [Attribution("max", 0, method, (3, 4, 14, 13), name, 0.5, 0.25)])
            pixels = np.dstack([np.full((20, 20, 3), 250 - channel, np.uint8), np.tile(np.uint8([0, 255] * 10), (20, 1))])
            Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
            name = writer.write_picture("image/png", file.getvalue())
            writer.write_synthesis(unit, Synthesis("lucid", name, 3.0, 1.5, 0.99, 0.8, None if channel else "weak", 0, 128))
        writer.write_check("block1", MethodCheck("guided", 0.93, True))
        writer.write_effective_field("block1", 7.5, 8.0)


PASSAGES = (
    "the cat sat on the mat\nand slept",
    'a "quoted" word, then (brackets)',
    "if x:\n\treturn [1, 2, 3]",
    "rain falls on the plain in spain",
    "the dog\nran after the cat",
    "one two three four five six seven",
    "no cats here; only dogs, a dozen",
    "end",
)


@pytest.fixture(scope="session")
def sequences(tmp_path_factory) -> Mapping[str, Path]:
    """Finished studies of a tiny random LSTM: "text", on the characters of short passages, one of them with burn-in, and
    "series", on series of three channels and of differing lengths. One state has attributions. Copy one before changing it.
    """
    import torch

    from torchlurk.analysis import run_stages
    from torchlurk.input_records import SeriesExample, TextExample
    from torchlurk.jobs import Silence
    from torchlurk.options import AttributeOptions, ComputeOptions, UnitOptions
    from torchlurk.stage_table import Settings
    from torchlurk.stages.stage import Task

    torch.manual_seed(0)
    letters = "".join(sorted(set("".join(PASSAGES))))
    words = [torch.tensor([letters.index(one) for one in passage]) for passage in PASSAGES]
    counted = [(8 if index == 3 else 0, len(passage)) for index, passage in enumerate(PASSAGES)]
    texts = [
        TextExample(tuple(passage), tuple(range(len(passage))), range_)
        for passage, range_ in zip(PASSAGES, counted, strict=True)
    ]
    lengths = [5 + index % 4 for index in range(12)]
    drawn = [torch.randn(length, 3).cumsum(0) for length in lengths]
    channels = ("heart rate", "speed", "")
    series = [SeriesExample(one.numpy(), channels, (0, len(one))) for one in drawn]
    folder, settings = (
        tmp_path_factory.mktemp("sequences"),
        Settings(
            units=UnitOptions(("rnn.l0:1",)),
            attribute=AttributeOptions(exemplars=1),
            compute=ComputeOptions(batch_size=2, workers=1),
        ),
    )
    for kind, source in {
        "text": _Sequences("text", words, texts, "int64", letters=letters),
        "series": _Sequences("series", drawn, series, "float32", channels=channels),
    }.items():
        network = _reader_of(len(letters)) if kind == "text" else _reader_of(None)
        task = Task(network, "Tiny", source, folder / f"{kind}.lurk", settings, torch.device("cpu"), Silence())
        run_stages(task, ("scan", "attribute"))
    return {kind: folder / f"{kind}.lurk" for kind in ("text", "series")}


def _reader_of(letters: int | None):
    """A network of one LSTM of five units, on an embedding of so many letters or on three channels."""
    from torch import nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(letters, 3) if letters else nn.Identity()
            self.rnn = nn.LSTM(3, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.rnn(self.embedding(x))[0][:, -1])

    return Tiny().eval()


class _Sequences:
    """A source of texts or series that are given as they are, and a kind of input of its own."""

    skipped = ()

    def __init__(self, name, values, shown, dtype, *, letters="", channels=()) -> None:
        from torchlurk.input_records import InputDescription
        from torchlurk.inputs.source import ExampleList
        from torchlurk.records import Class, Preprocessing

        self.name, self.preprocessing = name, Preprocessing()
        self._values, self._shown = values, shown
        self.description = InputDescription(
            name, dtype, vocabulary_size=len(letters) or None, vocabulary=tuple(letters) or None, channels=channels
        )
        self.lengths = np.array([len(one) for one in values], np.int64)
        paths = [f"{index}.{'txt' if letters else 'csv'}" for index in range(len(values))]
        self.examples = ExampleList(paths, np.arange(len(values), dtype=np.int64) % 2)
        self.classes = (Class(0, "even", "even"), Class(1, "odd", "odd"))

    @property
    def kind(self):
        return self

    def counted(self, index):
        return self._shown[index].counted

    def read(self, index):
        from torchlurk.inputs.items import Item

        return Item(self._values[index], index % 2)

    def fingerprint(self) -> str:
        return "0" * 64

    def inputs(self, batch, device, dtype):
        return batch.values if self.name == "text" else batch.values.to(device, dtype)

    def shown(self, item, example):
        return self._shown[example.index]

    def neutral(self, like):
        return like * 0
