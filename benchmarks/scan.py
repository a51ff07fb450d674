"""What the scan costs over the forward pass it rides on, beside two peers, and how much memory it takes.

CPU time of one thread; the plain pass and a way of scanning take turns on the same batches, so that whatever else the
machine does meets both alike; medians. The peers take turns with the plain pass after that. Weights are random, inputs smooth
random pictures, never the same one twice: how often a newcomer enters the leaders depends on how many examples came before, so
the first batches and later ones stand apart.

    python benchmarks/scan.py [--models alexnet,…] [--precisions fp32,bf16] [--examples 256] [--seconds 60] [--batch-size N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import torchlurk
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.loading.placement import place
from torchlurk.models.survey.layers import choose, survey
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import maps, reading
from torchlurk.options import Precision
from torchlurk.records import Layer
from torchlurk.scanning import part as scanning
from torchlurk.scanning.arrivals import Arrivals
from torchlurk.scanning.batch_size import choose_batch_size
from torchlurk.scanning.part import LayerPart

MODELS = ("alexnet", "vgg16", "resnet18", "squeezenet1_1", "mobilenet_v2")
LIMITS = {"alexnet": 6, "vgg16": 6, "resnet18": 6, "squeezenet1_1": 12, "mobilenet_v2": 12}
BF16_LIMIT = 20
MEASURED = ("Conv2d", "Linear")
TOP, CLASSES, SAMPLE = 9, 100, 1024
CLASS_RUN = 13
"""Examples come class by class, as a folder's do."""
SIDE, SMALL_SIDE = 224, 32
FEWEST_ROUNDS, EARLY_ROUNDS, STEADY_ROUNDS, PEER_ROUNDS = 3, 5, 41, 7
MEMORY_EXAMPLES = (1_000, 10_000)

Deliver = Callable[..., None]


@dataclass(slots=True)
class Naive:
    """The usual way: maximum with indices, two topk, index_add."""

    scores: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    sums: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, maps: Tensor, examples: Tensor, classes: Tensor) -> None:
        flat = maps.flatten(2) if maps.ndim > 2 else maps[..., None]
        highest, _positions = flat.max(-1)
        mean = flat.mean(-1)
        for kind, scores in (("max", highest), ("mean", mean)):
            key = f"{name} {kind}"
            indices = examples[:, None].expand(scores.shape)
            if key in self.scores:
                scores, indices = (torch.cat(pair) for pair in zip(self.scores[key], (scores, indices), strict=True))
            best, order = scores.topk(min(TOP, len(scores)), 0)
            self.scores[key] = best, indices.gather(0, order)
            self.sums.setdefault(key, torch.zeros(CLASSES, scores.shape[1])).index_add_(
                0, classes, (highest if kind == "max" else mean).float()
            )
        found = torch.stack([flat.sum((0, 2)).double(), flat.square().sum((0, 2)).double()])
        self.moments[name] = self.moments.get(name, 0) + found


@dataclass(slots=True)
class Stretch:
    """The data as it goes by: batches of pictures, indices and classes."""

    batch_size: int
    dtype: torch.dtype
    seen: int = 0
    random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def batch(self) -> tuple[Tensor, np.ndarray, np.ndarray]:
        pictures = 0.3 * torch.randn(self.batch_size, 3, SIDE, SIDE, generator=self.random)
        for side in (4, 16, 56):
            coarse = torch.randn(self.batch_size, 3, side, side, generator=self.random)
            contrast = torch.rand(self.batch_size, 1, 1, 1, generator=self.random)
            pictures += contrast * F.interpolate(coarse, SIDE, mode="bilinear")
        examples = np.arange(self.seen, self.seen + self.batch_size)
        self.seen += self.batch_size
        return pictures.to(self.dtype), examples, examples // CLASS_RUN % CLASSES


class Scanners:
    """The ways of scanning, each with its own state, fed from the same taps."""

    def __init__(self, layers: tuple[Layer, ...], examples: int) -> None:
        sample = np.sort(np.random.default_rng(0).choice(max(examples * 10, SAMPLE), SAMPLE, replace=False))
        self.naive = Naive()
        self.parts = {
            way: {one.name: LayerPart.empty(one.channels, one.positions, TOP, sample) for one in layers}
            for way in ("torch", "ours")
        }
        self.arrivals = Arrivals(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def deliver(self, way: str) -> Deliver:
        if way == "taps":
            return lambda layer, tensor: None
        if way == "naive":
            return lambda layer, tensor: self.naive.add(
                layer.name,
                maps(layer, tensor),
                torch.from_numpy(self.arrivals.examples),
                torch.from_numpy(self.arrivals.classes),
            )
        parts = self.parts[way]
        return lambda layer, tensor, ceiling=None: parts[layer.name].add(maps(layer, tensor), self.arrivals, None, ceiling)


WAYS = ("plain", "taps", "naive", "torch", "ours")
TURNS = (("plain", "taps", "ours"), ("plain", "naive", "torch"))
"""Who takes turns with whom: what the peers leave in the caches is not what a scan finds there."""


def measure(name: str, precision: Precision, examples: int, seconds: float, batch_size: int | None) -> dict[str, Any]:
    """CPU milliseconds an image of the plain pass, and each way's overhead in percent, early and steady."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module = place(getattr(import_torchvision().models, name)(weights=None).eval(), torch.device("cpu"), precision)
    example = torch.randn(1, 3, SIDE, SIDE, dtype=dtype)
    with torch.inference_mode():
        layers = tuple(one for one in choose(survey(module, example).layers) if one.type in MEASURED)
        stretch = Stretch(batch_size or choose_batch_size(module, example, layers), dtype)
        scanners = Scanners(layers, examples)
        compile_kernels(scanners, layers, dtype)
        with evaluation(module):
            early = timed_rounds(TURNS[0], EARLY_ROUNDS, seconds / 2, module, layers, scanners, stretch)
            started = time.monotonic()
            while stretch.seen < examples and time.monotonic() - started < seconds:
                warm(module, layers, scanners, stretch)
            steady = timed_rounds(TURNS[0], STEADY_ROUNDS, seconds, module, layers, scanners, stretch)
            peers = timed_rounds(TURNS[1], PEER_ROUNDS, seconds, module, layers, scanners, stretch)
    plain = statistics.median(one["plain"] for one in early + steady) / stretch.batch_size
    return {
        "model": name,
        "precision": precision,
        "batch": stretch.batch_size,
        "examples": stretch.seen,
        "plain": plain * 1e3,
        "ours early": overhead(early, "ours"),
        **{way: overhead(steady if way in TURNS[0] else peers, way) for way in WAYS[1:]},
    }


def overhead(rounds: list[dict[str, float]], way: str) -> float:
    """Percent over the plain pass of the same batch."""
    return 100 * statistics.median(one[way] / one["plain"] - 1 for one in rounds)


def timed_rounds(ways: tuple[str, ...], most: int, seconds: float, *subject: Any) -> list[dict[str, float]]:
    """So many rounds, or, of a slow network, as many as fit in the time, but three."""
    rounds: list[dict[str, float]] = []
    started = time.monotonic()
    while len(rounds) < FEWEST_ROUNDS or (len(rounds) < most and time.monotonic() - started < seconds):
        rounds.append(timed_round(*subject, ways, len(rounds)))
    return rounds


def timed_round(
    module: nn.Module, layers: tuple[Layer, ...], scanners: Scanners, stretch: Stretch, ways: tuple[str, ...], turn: int
) -> dict[str, float]:
    """CPU seconds of one batch for each way, in random order: what one leaves in caches and heap helps or hinders the next."""
    inputs, examples, classes = stretch.batch()
    scanners.arrivals = Arrivals(examples, classes)
    taken = {}
    for way in np.random.default_rng(turn).permutation(ways).tolist():
        with way_of_scanning(way):
            if way == "plain":
                started = time.thread_time()
                module(inputs)
            else:
                deliver = scanners.deliver(way)
                with reading(module, layers, deliver, rectify=deliver if way == "ours" else None):
                    started = time.thread_time()
                    module(inputs)
            taken[way] = time.thread_time() - started
    return taken


def warm(module: nn.Module, layers: tuple[Layer, ...], scanners: Scanners, stretch: Stretch) -> None:
    """One batch for all ways in one pass."""
    inputs, examples, classes = stretch.batch()
    scanners.arrivals = Arrivals(examples, classes)
    delivers = [(way, scanners.deliver(way)) for way in WAYS[2:]]

    def deliver(layer: Layer, tensor: Tensor) -> None:
        for way, one in delivers:
            with way_of_scanning(way):
                one(layer, tensor)

    with reading(module, layers, deliver):
        module(inputs)


class way_of_scanning:  # noqa: N801 - reads as a statement
    """Within it, parts use plain torch if the way is 'torch'."""

    def __init__(self, way: str) -> None:
        self.fused = scanning.fused if way != "torch" else lambda: None

    def __enter__(self) -> None:
        self.usual, scanning.fused = scanning.fused, self.fused

    def __exit__(self, *_: object) -> None:
        scanning.fused = self.usual


def compile_kernels(scanners: Scanners, layers: tuple[Layer, ...], dtype: torch.dtype) -> None:
    """The first call compiles: on other parts, so that what is measured starts empty."""
    for layer in layers[:1] + layers[-1:]:
        part = LayerPart.empty(layer.channels, layer.positions, TOP, np.zeros(0, np.int64))
        part.add(torch.randn(2, layer.channels, *layer.shape).to(dtype), Arrivals(np.arange(2), np.zeros(2, np.int64)))


def machine() -> str:
    """What decides the figures: the processor's kind of arithmetic, versions, threads."""
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    extras = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags.split()]
    kernels = "numba" if scanning.fused() else "no numba: ours is torch"
    return f"{torch.backends.cpu.get_cpu_capability()} ({' '.join(extras)}), torch {torch.__version__}, {kernels}, 1 thread"


TITLES = ("model", "format", "batch", "plain", "taps", "naive", "torch", "ours", "at first", "limit")
HEAD = " ".join(f"{title:>{width}}" for title, width in zip(TITLES, (14, 6, 5, 9, 6, 7, 7, 7, 8, 6), strict=True))


def print_row(row: dict[str, Any]) -> bool:
    limit = BF16_LIMIT if row["precision"] == "bf16" else LIMITS[row["model"]]
    print(
        f"{row['model']:>14} {row['precision']:>6} {row['batch']:>5} {row['plain']:>6.1f} ms {row['taps']:>+5.1f}%",
        " ".join(f"{row[way]:>+6.1f}%" for way in ("naive", "torch", "ours")),
        f"{row['ours early']:>+7.1f}% {limit:>5}%  ({row['examples']} examples)",
        flush=True,
    )
    return bool(row["ours"] <= limit)


def peak_memory(examples: int) -> float:
    """The most memory, in MiB, that a process of its own takes to scan so many examples of a small net."""
    found = subprocess.run([sys.executable, __file__, "--analyze", str(examples)], capture_output=True, text=True, check=True)
    return float(found.stdout)


class Pictures:
    """A data set of random pictures, each made when it is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(3, SMALL_SIDE, SMALL_SIDE, generator=torch.Generator().manual_seed(index)), index * 10 // self.count


def analyze_small(examples: int) -> None:
    """Analyze random pictures with a small net, and print this process's peak memory in MiB."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    module(torch.zeros(1, 3, SMALL_SIDE, SMALL_SIDE))
    with tempfile.TemporaryDirectory() as folder:
        torchlurk.analyze(module, Pictures(examples), Path(folder) / "small.lurk", mean=(0, 0, 0), std=(1, 1, 1), batch_size=32)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--examples", type=int, default=256, help="how many come before the steady state is measured")
    parser.add_argument("--seconds", type=float, default=60, help="how long to let them come, at most")
    parser.add_argument("--batch-size", type=int, help="as the scan itself would choose if not given")
    parser.add_argument("--analyze", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.analyze:
        analyze_small(given.analyze)
        return 0
    print(f"Overhead of scanning all conv and linear layers over the plain forward pass. {machine()}\n{HEAD}", flush=True)
    within = [
        print_row(measure(name, precision, given.examples, given.seconds, given.batch_size))
        for precision in given.precisions.split(",")
        for name in given.models.split(",")
    ]
    print(
        "Peak memory of scanning a small net: " + ", ".join(f"{n:,} images {peak_memory(n):.0f} MiB" for n in MEMORY_EXAMPLES)
    )
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
