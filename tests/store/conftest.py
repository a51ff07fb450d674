"""A small study, made as an analysis makes it."""

from __future__ import annotations

import io
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchlurk.input_records import InputStatistics
from torchlurk.jobs import Shard
from torchlurk.records import (
    Class,
    Example,
    Graph,
    Layer,
    LayerScan,
    Node,
    Preprocessing,
    Ranking,
    Skip,
    UnitStatistics,
)
from torchlurk.run_records import Run
from torchlurk.store.writing import Writer

EXAMPLES = 40
SAMPLE = 11
SIDE = 16


def make_layers() -> tuple[Layer, ...]:
    return (
        Layer("conv.0", "Conv2d", "spatial", 5, (4, 3), 1, 99, (7, 7), (4, 5), "relu", ("batch_norm", "relu")),
        Layer("blocks.1", "Linear", "tokens", 3, (6,), -1, by_default=False),
        Layer("head", "Linear", "vector", 2, ()),
    )


def make_graph() -> Graph:
    nodes = (
        Node(3, "input", "input", "", "Input", (3, SIDE, SIDE)),
        Node(0, "module", "conv.0", "conv", "Conv2d", (5, 4, 3)),
        Node(7, "operation", "add", "", "add", ()),
    )
    return Graph(nodes, ((3, 0), (0, 7), (0, 7)))


def make_run(**changed: object) -> Run:
    options = {"layers": ["conv*"], "top": 4, "rate": 0.5, "none": None}
    return replace(Run("scan", "demo", "m1", "demo", "d1", options, seed=3, version="1", started="t0"), **changed)


def make_ranking(rng: np.random.Generator, layer: Layer, k: int, *, placed: bool, rising: bool = False) -> Ranking:
    """The true ranking of random responses of few levels (so that there are ties), the last unit with fewer than k."""
    responses = rng.integers(0, 6, (layer.channels, EXAMPLES)).astype(np.float32) / 3
    examples = np.stack([np.lexsort((np.arange(EXAMPLES), row if rising else -row)) for row in responses])[:, :k].astype(
        np.int64
    )
    scores = np.take_along_axis(responses, examples, axis=1)
    examples[-1, k - 1 :], scores[-1, k - 1 :] = -1, np.nan
    if not placed:
        return Ranking(scores, examples)
    positions = rng.integers(0, max(layer.positions, 1), examples.shape).astype(np.int32)
    corners = rng.integers(0, SIDE // 2, (*examples.shape, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, SIDE // 2, corners.shape)], axis=-1).astype(np.int32)
    return Ranking(scores, examples, positions, boxes)


def make_scan(layer: Layer, classes: int = 3, seed: int = 0) -> LayerScan:
    rng = np.random.default_rng(seed)
    statistics = UnitStatistics(*(rng.normal(size=layer.channels) for _ in range(6)))
    statistics.selectivity[0] = np.nan
    statistics = replace(statistics, more={"range": rng.normal(size=layer.channels)})
    narrow = [rng.normal(size=(layer.channels, width)).astype(np.float32) for width in (classes, classes, SAMPLE)]
    narrow[0][0, :1] = np.nan
    return LayerScan(
        statistics,
        make_ranking(rng, layer, 4, placed=True),
        make_ranking(rng, layer, 4, placed=False),
        make_ranking(rng, layer, 5, placed=False, rising=True),
        *narrow,
    )


def make_examples() -> list[Example]:
    return [Example(i, f"dog/{i}.jpg" if i else "ütf/日本.png", i % 3 if i % 5 else None) for i in range(EXAMPLES)]


def make_picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(to := io.BytesIO(), "PNG")
    return to.getvalue()


def make_input_statistics() -> InputStatistics:
    rng = np.random.default_rng(4)
    return InputStatistics(SAMPLE, rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=(3, SIDE, SIDE // 2 + 1)))


def write_before_scan(writer: Writer) -> None:
    writer.begin(make_run())
    writer.write_model(make_layers(), make_graph(), make_preprocessing(), (3, SIDE, SIDE))
    writer.write_data([Class(i, f"n{i}", f"class {i}") for i in range(3)], make_examples(), [Skip("bad.jpg", "it is empty")])
    writer.write_sample(np.arange(SAMPLE) * 3)


def make_preprocessing() -> Preprocessing:
    return Preprocessing((20,), (SIDE, SIDE), "bicubic", (0.1, 0.2, 0.3), (1.5, 2.0, 1 / 3))


def write_all(writer: Writer, *, finish: bool = True) -> None:
    write_before_scan(writer)
    writer.save_progress("scan", [Shard(0, 8)], {"sums": np.arange(6.0)})
    writer.write_input_statistics(make_input_statistics())
    for seed, layer in enumerate(make_layers()):
        writer.write_scan(layer.name, make_scan(layer, seed=seed))
    writer.write_pictures((example, "image/png", make_picture(example % 4)) for example in range(EXAMPLES))
    writer.add_note("data", "changes when read again")
    if finish:
        writer.finish("scan", "t1")


class Making:
    """The functions above, for test modules, which import nothing from each other."""

    examples, graph, layers, picture = make_examples, make_graph, make_layers, make_picture
    input_statistics, preprocessing, run, scan = make_input_statistics, make_preprocessing, make_run, make_scan
    all, before_scan = write_all, write_before_scan
    side, sample = SIDE, SAMPLE


@pytest.fixture
def make() -> type[Making]:
    return Making


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study."""
    path = tmp_path / "small.lurk"
    with Writer(path) as writer:
        write_all(writer)
    return path


@pytest.fixture
def tampered(study: Path) -> Callable[[str], Path]:
    """A finished study after SQL that a writer would never run."""

    def tamper(sql: str) -> Path:
        with sqlite3.connect(study) as db:
            db.executescript(f"PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1; {sql}")
        db.close()
        return study

    return tamper


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB with a file of 1 MB on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    (folder / "ballast").write_bytes(bytes(1 << 20))
    yield folder
    subprocess.run(["umount", folder], check=True)
