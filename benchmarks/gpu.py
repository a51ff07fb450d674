"""What a GPU gives: the CPU's study, a scan beside the plain pass, pictures a second, attributions beside Captum's.

Seconds on the clock, the device waited for at each reading; ways that are compared take turns on the same batches, medians.
Weights are random. Prints the name of the device above its figures.

    python benchmarks/gpu.py [--device cuda] [--models resnet50,vit_b_16] [--batch 64] [--rounds 20] [--pictures 2000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.attribution.methods import method
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.loading.placement import choose_device
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.reading import reading
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer
from torchlurk.scanning.deliveries import Deliveries
from torchlurk.scanning.part import LayerPart

SIDE, CLASSES, TOP, SAMPLE = 224, 1000, 9, 1000
PAIRS = 16
EQUAL = ("mean", "std", "max", "min", "fraction_active")


def waited(device: torch.device) -> None:
    """All that the device was asked for is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """How long it takes until the device has done it."""
    waited(device)
    started = time.perf_counter()
    action()
    waited(device)
    return time.perf_counter() - started


def network(name: str, device: torch.device) -> nn.Module:
    """One of torchvision's, with random weights."""
    torch.manual_seed(0)
    module: nn.Module = import_torchvision().models.get_model(name, weights=None)
    return module.eval().to(device)


def overhead(module: nn.Module, device: torch.device, batch: int, rounds: int) -> tuple[float, float]:
    """Milliseconds a picture of the plain pass, and what scanning all units adds to it, in percent."""
    inputs = torch.randn(batch, 3, SIDE, SIDE, device=device)
    layers = survey(module, inputs[:1]).layers
    parts = parts_of(layers, batch * (rounds + 2))
    taking = Deliveries(layers, parts, None)
    number = 0

    def scan() -> None:
        nonlocal number
        examples = np.arange(number, number + batch)
        number += batch
        for _ in taking.passes(examples, examples % CLASSES):
            module(inputs)

    found: list[tuple[float, float]] = []
    with torch.inference_mode(), torch.no_grad():
        for turn in range(rounds + 2):
            plain = seconds(lambda: module(inputs), device)
            with reading(module, layers, taking, rectify=taking):
                ours = seconds(scan, device)
            if turn > 1:  # kernels are chosen, and what is kept has moved to the device
                found.append((plain, ours))
    plain = statistics.median(one for one, _ in found)
    return 1e3 * plain / batch, 100 * statistics.median(ours / plain - 1 for plain, ours in found)


def parts_of(layers: Sequence[Layer], examples: int) -> dict[str, LayerPart]:
    """Empty parts, with a sample drawn from so many examples."""
    sample = np.sort(np.random.default_rng(0).choice(examples, min(SAMPLE, examples), replace=False))
    return {one.name: LayerPart.empty(one.channels, one.positions, TOP, sample) for one in layers}


def written(folder: Path, count: int) -> None:
    """So many JPEGs of half a megapixel, of smooth noise."""
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        coarse.resize((800, 600), Image.Resampling.BICUBIC).save(folder / f"{index:05}.jpg", quality=90)


def rates(name: str, device: str, count: int, batch: int) -> tuple[float, float, float | str]:
    """Pictures a second of a whole scan: from JPEGs, without decoding, and from JPEGs decoded by the device, or why not."""
    choices = {"device": device, "batch_size": batch, "engine": "threads", "resize": 256, "crop": SIDE}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "pictures")
        folder.mkdir()
        written(folder, count)
        module = network(name, torch.device("cpu"))
        choices |= {"mean": (0.5,) * 3, "std": (0.2,) * 3}
        taken = [timed(lambda out: tl.analyze(module, folder, out=out, **choices), place)]
        ready = torch.randint(0, 256, (min(count, 500), SIDE, SIDE, 3), dtype=torch.uint8).numpy()
        decoded = [ready[index % len(ready)] for index in range(count)]
        taken += [timed(lambda out: tl.analyze(module, decoded, out=out, **choices), place)]
        there: float | str
        try:
            there = count / timed(lambda out: tl.analyze(module, folder, out=out, decoder="gpu", **choices), place)
        except tl.errors.TorchlurkError as error:
            there = error.message
    return count / taken[0], count / taken[1], there


def timed(run: Callable[[Path], object], place: str) -> float:
    """Seconds of an analysis, with its survey and its writing."""
    started = time.perf_counter()
    run(Path(place, f"{time.time_ns()}.lurk"))
    return time.perf_counter() - started


def equality(name: str, device: str, batch: int) -> tuple[float, float]:
    """The largest difference of a statistic from the CPU's, against the largest there is; the share of equal exemplars."""
    data = torch.rand(4 * batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as place:
        tables = [
            tl.analyze(
                network(name, torch.device("cpu")),
                [(one, index % 10) for index, one in enumerate(data)],
                out=Path(place, f"{where}.lurk"),
                device=where,
                batch_size=batch,
                mean=(0, 0, 0),
                std=(1, 1, 1),
            ).units()
            for where in ("cpu", device)
        ]
    numbers = [np.array([table[column] for column in EQUAL], float) for table in tables]
    apart = np.nanmax(np.abs(numbers[0] - numbers[1]) / np.nanmax(np.abs(numbers[0]), 1, keepdims=True))
    alike = [one == other for one, other in zip(*(table["best_example"] for table in tables), strict=True)]
    return float(apart), float(np.mean(alike))


def attributions(module: nn.Module, device: torch.device, rounds: int) -> tuple[float, float]:
    """Guided backprop of units of a middle layer, pictures a second: ours, many units a pass, and Captum's, one by one."""
    from captum.attr import NeuronGuidedBackprop

    inputs = torch.randn(PAIRS, 3, SIDE, SIDE, device=device)
    layers = [one for one in survey(module, inputs[:1]).layers if one.type == "Conv2d"]
    layer = layers[len(layers) // 2]
    readout = Readout(module, layer)
    channels = torch.arange(PAIRS, device=device) % layer.channels
    middle = torch.full((PAIRS,), layer.positions // 2, device=device)
    place = divmod(layer.positions // 2, layer.shape[1])

    def ours() -> None:
        with readout.ready():
            method("guided")(readout, inputs, channels, middle)

    def captum() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = NeuronGuidedBackprop(module, module.get_submodule(layer.name))
            for row in range(PAIRS):
                peer.attribute(inputs[row : row + 1].clone(), (row % layer.channels, *place))

    found = [(seconds(ours, device), seconds(captum, device)) for _ in range(rounds)][1:]
    return tuple(PAIRS / statistics.median(one[way] for one in found) for way in (0, 1))  # type: ignore[return-value]


def main() -> None:
    """Everything, model by model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="resnet50,vit_b_16")
    parser.add_argument("--attributed", default="vgg16", help="one in which no module is used twice, for Captum's sake")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=2000)
    given = parser.parse_args()
    try:
        device = choose_device(given.device)
    except tl.errors.TorchlurkError as error:
        print(f"not measured: {error}")
        return
    called = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"{called}, torch {torch.__version__}, batch {given.batch}")
    for name in given.models.split(","):
        module = network(name, device)
        plain, over = overhead(module, device, given.batch, given.rounds)
        print(f"{name}: {plain:.2f} ms a picture plain, scan {over:+.1f} %")
        apart, alike = equality(name, given.device, min(given.batch, 16))
        print(f"{name}: statistics within {apart:.1e} of the CPU's, strongest examples alike {100 * alike:.1f} %")
        jpegs, decoded, there = rates(name, given.device, given.pictures, given.batch)
        print(f"{name}: {jpegs:.0f} pictures a second from JPEGs, {decoded:.0f} without decoding")
        print(
            f"{name}: {there:.0f} decoded by the device" if isinstance(there, float) else f"{name}: not by the device: {there}"
        )
    ours, captum = attributions(network(given.attributed, device), device, 5)
    print(f"{given.attributed}: guided, {ours:.1f} pictures a second, Captum {captum:.1f}")


if __name__ == "__main__":
    main()
