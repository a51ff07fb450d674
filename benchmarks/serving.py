"""What the server needs for the documents and sprite sheets of a study of 27,000 units, and what it costs an analysis.

The study is made from the demo: its last map layer, repeated to layers of 2,048 units whose responses differ by noise. Each
line is the median over different addresses of the time from request to last byte, over HTTP on this machine. The aim is that
what a page needs for its first paint is there in well under a second.

    python benchmarks/serving.py                what pages wait for
    python benchmarks/serving.py --analysis     also: an analysis alone, and while 200 requests at a time are answered
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from torchlurk.analysis import analyze_model
from torchlurk.jobs import Silence
from torchlurk.options import ComputeOptions, InputOptions, ScanOptions
from torchlurk.records import Exemplar, Graph, Layer, LayerScan, Node, Ranking, UnitRecord, UnitStatistics
from torchlurk.server.running import Server
from torchlurk.stage_table import Settings
from torchlurk.store.reading import Reader
from torchlurk.store.writing import Writer
from torchlurk.units import Unit

WIDE, WIDTH = 13, 2048
SOURCE = "block4"
EXAMPLES, SAMPLE = 600, 512
ASKED = 15
"""Addresses of each kind."""
AT_ONCE = 200
PAIRS = 3


def demo_study(path: Path, limit: int) -> None:
    settings = Settings(
        inputs=InputOptions(limit=limit),
        scan=ScanOptions(layers=(SOURCE,), sample=SAMPLE),
        compute=ComputeOptions(batch_size=8),
    )
    analyze_model("demo", "demo", path, None, ("scan",), settings, Silence())


def ranking(records: Sequence[UnitRecord], name: str) -> Ranking:
    """The exemplars of units as arrays; the demo has enough examples for every rank."""
    found: list[tuple[Exemplar, ...]] = [record.exemplars[name] for record in records]
    scores = np.array([[one.score for one in row] for row in found], np.float32)
    examples = np.array([[one.example for one in row] for row in found], np.int64)
    if name != "max":
        return Ranking(scores, examples)
    width = records[0].layer.shape[-1]
    positions = np.array([[one.position[0] * width + one.position[1] for one in row] for row in found], np.int32)
    return Ranking(scores, examples, positions, np.array([[one.box for one in row] for row in found], np.int32))


def repeated(records: Sequence[UnitRecord], seed: int) -> LayerScan:
    """A layer of `WIDTH` units that are like these, in another order, with noise on what they respond."""
    rng = np.random.default_rng(seed)
    rows = [records[index] for index in rng.integers(0, len(records), WIDTH)]

    def noisy(values: np.ndarray) -> np.ndarray:
        return (values * rng.normal(1, 0.2, values.shape)).astype(np.float32)

    columns = {name: np.array([row.statistics[name] for row in rows]) for name in UnitStatistics.__dataclass_fields__}
    return LayerScan(
        statistics=UnitStatistics(**columns),
        by_max=ranking(rows, "max"),
        by_mean=ranking(rows, "mean"),
        quantiles=ranking(rows, "quantile"),
        class_max=noisy(np.stack([row.classes["max"] for row in rows])),
        class_mean=noisy(np.stack([row.classes["mean"] for row in rows])),
        sample=noisy(np.stack([row.sample for row in rows])),
    )


def wide_study(source: Path, path: Path) -> int:
    """Writes the study of many units; returns how many."""
    with Reader(source) as reader, Writer(path) as writer:
        (layer,) = (one for one in reader.layers() if one.name == SOURCE)
        records = [reader.unit(Unit(SOURCE, channel)) for channel in range(layer.channels)]
        records = [one for one in records if not one.dead and all(len(row) == 9 for row in one.exemplars.values())]
        layers = [
            Layer(f"wide.{n}", layer.type, layer.layout, WIDTH, layer.shape, 1, 0, layer.receptive_field, layer.stride)
            for n in range(WIDE)
        ]
        nodes = [Node(0, "input", "input", "", "Input", reader.input_shape())]
        nodes += [Node(n + 1, "module", one.name, "wide", one.type, (WIDTH, *layer.shape)) for n, one in enumerate(layers)]
        writer.begin(reader.runs()["scan"])
        graph = Graph(tuple(nodes), tuple((n, n + 1) for n in range(WIDE)))
        writer.write_model(layers, graph, reader.preprocessing(), reader.input_shape())
        writer.write_data(reader.classes(), reader.examples(range(reader.example_count())))
        writer.write_sample(reader.sample_examples())
        for number, one in enumerate(layers):
            writer.write_scan(one.name, repeated(records, number))
        pictures = ((example, reader.picture(example)) for example in range(reader.example_count()))
        writer.write_pictures((example, *picture) for example, picture in pictures if picture)
        writer.finish("scan", "now")
        return WIDE * WIDTH


def ask(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def milliseconds(port: int, paths: Sequence[str]) -> tuple[float, float, float]:
    """First, median and largest time of the paths, each asked for once."""
    times = []
    for path in paths:
        started = time.perf_counter()
        ask(port, path)
        times.append(1000 * (time.perf_counter() - started))
    return times[0], statistics.median(times), max(times)


def pages(port: int) -> None:
    data = "/data/wide"
    rng = np.random.default_rng(1)
    units = [f"{data}/layers/{rng.integers(WIDE)}/units/{rng.integers(WIDTH)}.json" for _ in range(ASKED)]
    kinds = {
        "Home: studies.json": ["/data/studies.json"] * ASKED,
        "Network: study.json": [f"{data}/study.json"] * ASKED,
        "Layer of 2,048: document": [f"{data}/layers/{n}.json" for n in range(WIDE)],
        "Layer: a sprite sheet of boxes (128 tiles)": [f"{data}/sheets/3-box-{n}.jpg" for n in range(ASKED)],
        "Layer: a sprite sheet of whole examples": [f"{data}/sheets/3-whole-{n}.jpg" for n in range(ASKED)],
        "Unit: document, any layer": units,
        "Unit: document, next in the same layer": [f"{data}/layers/5/units/{n}.json" for n in range(ASKED)],
        "Class: document": [f"{data}/classes/{n}.json" for n in range(ASKED)],
    }
    print(f"{'':46}{'first':>9}{'median':>9}{'largest':>9}   ms")
    for name, paths in kinds.items():
        print(f"{name:46}" + "".join(f"{one:9.1f}" for one in milliseconds(port, paths)))


def analysis_seconds(out: Path) -> float:
    """The wall time of a scan in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "torchlurk", "analyze", "demo", "demo", "--out", str(out), "--limit", "1500"]
    subprocess.run([*command, "--stages", "scan", "--batch-size", "8"], check=True, capture_output=True)
    return time.perf_counter() - started


def analyses(port: int, folder: Path) -> None:
    """An analysis alone, and while `AT_ONCE` requests are answered once: pairs of both, in turns."""
    paths = [f"/data/wide/layers/{n % WIDE}/units/{n}.json" for n in range(AT_ONCE)]
    ratios, failed = [], []

    def burst() -> None:
        threads = [threading.Thread(target=one, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def one(path: str) -> None:
        if "statistics" not in json.loads(ask(port, path)):
            failed.append(path)

    for pair in range(PAIRS):
        alone = analysis_seconds(folder / f"alone{pair}.lurk")
        asking = threading.Thread(target=burst)
        asking.start()
        ratios.append(analysis_seconds(folder / f"asked{pair}.lurk") / alone)
        asking.join()
    print(f"an analysis while {AT_ONCE} requests are answered takes {statistics.median(ratios):.2f} times as long as alone")
    print(f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}); {len(failed)} of {PAIRS * AT_ONCE} answers wrong")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--analysis", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        demo, wide = Path(folder, "demo.lurk"), Path(folder, "wide.lurk")
        demo_study(demo, EXAMPLES)
        units = wide_study(demo, wide)
        print(f"{units:,} units in {WIDE} layers, {wide.stat().st_size / 2**20:.0f} MiB")
        with Server([wide], port=0) as server:
            pages(server.port)
            if chosen.analysis:
                analyses(server.port, Path(folder))


if __name__ == "__main__":
    main()
