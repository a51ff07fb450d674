"""How many units of the demo network pick out a part of the drawn world, beside a network with random weights.

python benchmarks/dissection.py [IMAGES]

Network Dissection (see `torchlurk.scanning.dissection`) on fresh pictures. Scenery (sky, water, ...) is listed, but only
parts and patterns of things are counted: large areas are easy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch

from torchlurk.inputs.demo.scenery import SCENERY
from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.models.loading.demo import SIDE, DemoNetwork, demo_network
from torchlurk.models.survey.layers import survey
from torchlurk.records import Layer
from torchlurk.scanning.dissection import Dissection, dissect

IMAGES, SEED = 600, 3
LEVELS = (0.04, 0.1)
LISTED = 10


def main() -> None:
    """Prints both tables and the best units."""
    torch.set_num_threads(1)
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    torch.manual_seed(0)
    trained, random = demo_network(), DemoNetwork().eval()
    layers = [layer for layer in survey(trained, torch.zeros(1, 3, SIDE, SIDE)).layers if chosen(layer)]
    found, by_chance = (things_only(dissect(one, layers, DemoWorld(images, SEED))) for one in (trained, random))
    print(f"units with an IoU above {' / '.join(map(str, LEVELS))} for some part, on {images} fresh pictures")
    print(f"{'layer':<14}{'units':>6}{'trained':>14}{'random':>14}   parts found by the trained one")
    for layer in layers:
        counts = [" / ".join(str(len(table[layer.name].detectors(level))) for level in LEVELS) for table in (found, by_chance)]
        names = sorted({found[layer.name].best()[unit][0] for unit in found[layer.name].detectors()})
        print(f"{layer.name:<14}{layer.channels:>6}{counts[0]:>14}{counts[1]:>14}   {', '.join(names)}")
    print(f"\nthe {LISTED} best units")
    for address, part, iou in best_units(found)[:LISTED]:
        print(f"  {address:<20}{part:<10}{iou:.3f}")


def chosen(layer: Layer) -> bool:
    """Layers with maps whose units are what a rectified activation is read from."""
    return layer.by_default and layer.layout == "spatial" and "shortcut" not in layer.name


def things_only(tables: dict[str, Dissection]) -> dict[str, Dissection]:
    """Without the scenery."""
    return {name: without(table, SCENERY) for name, table in tables.items()}


def without(table: Dissection, parts: Sequence[str]) -> Dissection:
    """The table less the columns of these parts."""
    kept = [index for index, name in enumerate(table.parts) if name not in parts]
    return Dissection(table.layer, tuple(table.parts[index] for index in kept), table.thresholds, table.iou[:, np.array(kept)])


def best_units(tables: dict[str, Dissection]) -> list[tuple[str, str, float]]:
    """(unit, part, IoU) of all units, the best first."""
    scored = [(f"{name}:{unit}", *best) for name, table in tables.items() for unit, best in enumerate(table.best())]
    return sorted(scored, key=lambda one: -one[2])


if __name__ == "__main__":
    main()
