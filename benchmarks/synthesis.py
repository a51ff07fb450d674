"""What a synthesis costs, beside Lucent's: the same size and number of steps, in the same run, and what each picture excites.

CPU time of one thread, all take turns, medians. `lucid` is what both do. Lucent enlarges its pictures to 224 pixels on the
way unless it is told not to; both ways are measured. It is no dependency of ours: `pip install torch-lucent ipython`, and
what it calls of kornia by names that are gone is given back to it here. Weights are random, or those of --weights.

    python benchmarks/synthesis.py [--models alexnet,vgg16] [--steps 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from torchlurk.models.loading.extras import import_torchvision
from torchlurk.synthesis.synthesize import Synthesizer

LAYERS = {"alexnet": "features.6", "vgg16": "features.14"}
"""conv3 and conv3_3."""

SIDE = 128
UNITS = 8
"""Of a layer, made at once: fewer than anybody would, for Lucent makes one at a time."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TIMES_AS_FAST = 10


def lucent() -> ModuleType | None:
    """Lucent's renderer, made to run with today's kornia; None where it is not installed."""
    import_torchvision()
    try:
        import kornia
        import lucent.optvis.render as renderer
    except ImportError:
        return None
    kornia.get_rotation_matrix2d = kornia.geometry.transform.get_rotation_matrix2d
    kornia.warp_affine = kornia.geometry.transform.warp_affine
    return renderer


def lucents(renderer: ModuleType, module: nn.Module, layer: str, channel: int, steps: int, enlarged: bool) -> Tensor:
    """The picture that Lucent makes, channel height width."""
    images = renderer.render_vis(
        module,
        f"{layer.replace('.', '_')}:{channel}",
        thresholds=(steps,),
        progress=False,
        show_image=False,
        fixed_image_size=None if enlarged else SIDE,
    )
    return torch.from_numpy(np.moveaxis(images[-1][0], -1, 0)).float()


def excited(module: nn.Module, maker: Synthesizer, layer: str, channel: int, picture: Tensor) -> float:
    """The unit's mean activation on a plain picture, after its ReLU."""
    ascent = maker.ascent(maker.layer(layer), "lucid", 1)
    with ascent.readout.ready(), torch.no_grad():
        return float(ascent.readout.maps(ascent.inputs(picture[None]))[0, channel].mean())


def measure(renderer: ModuleType | None, name: str, weights: str | None, steps: int, rounds: int) -> bool:
    """Prints a row a way; whether we are as fast as we mean to be."""
    torch.manual_seed(0)
    module = getattr(import_torchvision().models, name)(weights=None).eval()
    if weights is not None:
        module.load_state_dict(torch.load(weights, weights_only=True))
    layer = LAYERS[name]
    maker = Synthesizer(module, size=SIDE, mean=MEAN, std=STD)

    def ours(fresh: nn.Module, unit: int) -> list[Tensor]:
        """The whole of what a user asks for: a network that is not known yet, the pictures and their evidence."""
        known = Synthesizer(fresh, size=SIDE, mean=MEAN, std=STD)
        return [one.image for one in known.units(layer, range(unit, unit + UNITS), "lucid", steps=steps)]

    ours(copy.deepcopy(module), 0)  # compiles what is compiled
    ways: dict[str, Callable[[nn.Module, int], list[Tensor]]] = {"torchlurk": ours}
    if renderer is not None:
        ways["lucent at 128"] = lambda fresh, unit: [lucents(renderer, fresh, layer, unit, steps, False)]
        ways["lucent as it comes"] = lambda fresh, unit: [lucents(renderer, fresh, layer, unit, steps, True)]
    times: dict[str, list[float]] = {way: [] for way in ways}
    reached: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way, make in ways.items():
            fresh = copy.deepcopy(module)  # Lucent leaves hooks on it, which would slow whatever comes after
            start = time.thread_time()
            made = make(fresh, turn * UNITS)
            times[way].append((time.thread_time() - start) / len(made))
            reached[way] += [excited(module, maker, layer, turn * UNITS + index, one) for index, one in enumerate(made[:1])]
    ours = statistics.median(times["torchlurk"])
    print(f"{name} {layer}, {SIDE} px, {steps} steps:")
    for way in ways:
        seconds, mean = statistics.median(times[way]), statistics.mean(reached[way])
        print(f"  {way:20} {seconds:8.2f} s a unit  {seconds / ours:6.1f} ×  mean activation {mean:.4g}", flush=True)
    return renderer is None or statistics.median(times["lucent as it comes"]) / ours >= TIMES_AS_FAST


def main() -> int:
    """Prints all; exit status 1 where we are not as fast as we mean to be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=",".join(LAYERS))
    parser.add_argument("--weights", help="a state_dict for a single model")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    renderer = lucent()
    if renderer is None:
        print("Lucent is not installed (pip install torch-lucent ipython): only our own times")
    reached = [measure(renderer, one, given.weights, given.steps, given.rounds) for one in given.models.split(",")]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
