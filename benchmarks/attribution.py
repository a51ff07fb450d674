"""What an attribution costs, beside Captum's: guided backprop of single units on single pictures, in the same run.

CPU time of one thread, the two take turns, medians; both give the same pictures, which is checked. Weights are random.

    python benchmarks/attribution.py [--models alexnet,vgg16] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings

import torch
from captum.attr import NeuronGuidedBackprop
from torch import Tensor, nn

from torchlurk.attribution.methods import method
from torchlurk.attribution.sides import UnsuitedError
from torchlurk.attribution.window import WindowReadout
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import ReceptiveField, receptive_fields
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer

LAYERS = {
    "alexnet": {"features.0": 50, "features.3": 50, "features.6": 15, "features.8": 9, "features.10": 5},
    "vgg16": {"features.2": 500, "features.7": 500, "features.14": 60, "features.21": 10, "features.28": 1.5},
}
"""Layers, and how many times as fast as Captum we mean to be."""

SIDE, PAIRS = 224, 16


def readout_of(module: nn.Module, layer: Layer, field: ReceptiveField) -> Readout:
    """On windows where they serve; made once a layer, as Captum's method is."""
    try:
        return WindowReadout(module, layer, field, (SIDE, SIDE))
    except UnsuitedError:
        return Readout(module, layer)


def ours(readout: Readout, inputs: Tensor, channels: Tensor, positions: Tensor) -> list[Tensor]:
    """The pictures of all pairs, in the input's place."""
    every = list(range(len(inputs)))
    window = readout if isinstance(readout, WindowReadout) else None
    pictures: dict[int, Tensor] = {}
    with readout.ready():
        for rows in window.batches(positions) if window else [[row] for row in every]:
            given, where = inputs if rows == every else inputs[rows], positions[rows]
            corners = list(zip(*(one.tolist() for one in window.starts(where)), strict=True)) if window else [(0, 0)]
            found, _ = method("guided")(readout, window.cut(given, where) if window else given, channels[rows], where)
            pictures |= {row: _placed(one, *corner) for row, one, corner in zip(rows, found, corners, strict=True)}
    return [pictures[row] for row in every]


def _placed(part: Tensor, y: int, x: int) -> Tensor:
    whole = torch.zeros(3, SIDE, SIDE)
    rows, columns = slice(max(y, 0), min(y + part.shape[1], SIDE)), slice(max(x, 0), min(x + part.shape[2], SIDE))
    whole[:, rows, columns] = part[:, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return whole


def measure(name: str, rounds: int) -> bool:
    """Prints a row a layer; whether all are within what we mean to reach."""
    torch.manual_seed(0)
    module = getattr(import_torchvision().models, name)(weights=None).eval()
    for one in module.modules():
        if isinstance(one, nn.ReLU):
            one.inplace = False  # Captum's hooks need it so
    inputs = torch.randn(PAIRS, 3, SIDE, SIDE)
    found = survey(module, inputs[:1])
    layers = [found.layer(one) for one in LAYERS[name]]
    fields = receptive_fields(module, inputs[:1], layers)
    reached = True
    for layer in layers:
        # Captum takes the layer's own output, so the unit is read there by both.
        own = survey(module, inputs[:1], "output").layer(layer.name)
        channels, positions = torch.randint(0, own.channels, (PAIRS,)), torch.randint(0, own.positions, (PAIRS,))
        captum = NeuronGuidedBackprop(module, module.get_submodule(layer.name))
        readout = readout_of(module, own, fields[layer.name])
        times: dict[str, list[float]] = {"captum": [], "ours": []}
        for _ in range(rounds):
            started = time.thread_time()
            y, x = divmod(int(positions[0]), own.shape[1])
            theirs = captum.attribute(inputs[:1].clone().requires_grad_(), (int(channels[0]), y, x))[0]
            times["captum"].append(time.thread_time() - started)
            started = time.thread_time()
            pictures = ours(readout, inputs, channels, positions)
            times["ours"].append((time.thread_time() - started) / PAIRS)
        away = float((pictures[0] - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))
        ratio = statistics.median(times["captum"]) / statistics.median(times["ours"])
        wanted = LAYERS[name][layer.name]
        reached &= ratio >= wanted and away < 1e-4
        each = {way: 1e3 * statistics.median(seconds) for way, seconds in times.items()}
        print(
            f"{name:>8} {layer.name:>12}  Captum {each['captum']:>8.1f} ms  ours {each['ours']:>8.2f} ms"
            f"  {ratio:>7.1f}×  (aim {wanted}×)  apart by {away:.0e}",
            flush=True,
        )
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(LAYERS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
    print("Guided backprop of one unit on one picture, CPU time of one thread")
    reached = [measure(name, given.rounds) for name in given.models.split(",")]  # all of them are printed
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
