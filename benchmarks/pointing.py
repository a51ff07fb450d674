"""Whether attributions point at what a unit detects: the largest of them against the masks of the drawn world's parts.

python benchmarks/pointing.py [IMAGES]

For each unit of the demo network that detects a part (Network Dissection, IoU above 0.04), on fresh pictures: of its strongest
exemplars in whose box the part is to be seen, the share of the tenth of the box's pixels with the largest attribution that
lies on the part. By chance that is the share of the box that the part covers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from torchlurk.attribution import evidence
from torchlurk.attribution.methods import method as method_named
from torchlurk.inputs.demo.scenery import SCENERY
from torchlurk.inputs.demo.world import DemoWorld
from torchlurk.inputs.feeding import feed, inputs_of
from torchlurk.inputs.items import Batch
from torchlurk.models.loading.demo import SIDE, demo_network
from torchlurk.models.survey.layers import survey
from torchlurk.models.survey.receptive_field import receptive_fields
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import maps, reading
from torchlurk.models.taps.readout import Readout
from torchlurk.records import Layer
from torchlurk.scanning.dissection import dissect

IMAGES, SEED, BATCH, EXEMPLARS = 600, 3, 30, 5
LAYERS = ("block3", "block4.conv2", "block4")
METHODS = ("guided", "gradient", "deconv", "input_x_gradient")


def main() -> None:
    """Prints a row a layer."""
    torch.set_num_threads(1)
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    network, world = demo_network(), DemoWorld(images, SEED)
    layers = [layer for layer in survey(network, torch.zeros(1, 3, SIDE, SIDE)).layers if layer.name in LAYERS]
    tables = dissect(network, layers, world)
    inputs = torch.cat([inputs_of(batch, world.preprocessing, torch.device("cpu"), torch.float32) for batch in _feed(world)])
    print(f"share of the largest tenth of attributions on the part's mask, {images} fresh pictures")
    print(f"{'layer':<14}{'units':>6}{'exemplars':>10}{'by chance':>10}" + "".join(f"{name:>18}" for name in METHODS))
    for layer in layers:
        table = tables[layer.name]
        scores, positions = strongest(network, layer, inputs)
        best = table.best()
        units = [int(unit) for unit in table.detectors() if best[unit][0] not in SCENERY]
        cases = [(unit, int(example)) for unit in units for example in scores[:, unit].argsort(descending=True)[:EXEMPLARS]]
        found = pointing(network, layer, inputs, world, [(*case, best[case[0]][0]) for case in cases], positions)
        shown = "".join(f"{found[name].mean():>17.1%} " for name in METHODS)
        print(f"{layer.name:<14}{len(units):>6}{len(found['chance']):>10}{found['chance'].mean():>9.1%} {shown}", flush=True)


def _feed(world: DemoWorld) -> Iterator[Batch]:
    return feed(world, range(len(world.examples)), BATCH, None)


def strongest(network: nn.Module, layer: Layer, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """By example and unit, the maximum and its position, the first of equals."""
    found: list[tuple[Tensor, Tensor]] = []

    def deliver(own: Layer, tensor: Tensor) -> None:
        found.append(maps(own, tensor).flatten(2).max(2))

    with evaluation(network), torch.inference_mode():
        for batch in inputs.split(BATCH):
            with reading(
                network, [layer], lambda own, map: found.append(maps(own, map).flatten(2).max(2)), stop_after_last=True
            ):
                network(batch)
    return torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])


def pointing(
    network: nn.Module,
    layer: Layer,
    inputs: Tensor,
    world: DemoWorld,
    cases: list[tuple[int, int, str]],
    positions: Tensor,
) -> dict[str, np.ndarray]:
    """For (unit, example, part), where the part is in the unit's box: by method the share on the part; by chance, too."""
    field = receptive_fields(network, inputs[:1], [layer])[layer.name]
    shares: dict[str, list[Tensor]] = {name: [] for name in ("chance", *METHODS)}
    for start in range(0, len(cases), BATCH):
        some = cases[start : start + BATCH]
        units, examples = (np.array(column) for column in list(zip(*some, strict=True))[:2])
        where = positions[examples, units].clone()
        boxes = torch.from_numpy(field.boxes(units, where.numpy()))
        within = evidence.inside(boxes, *inputs.shape[2:])
        nowhere = np.zeros(inputs.shape[2:], bool)
        mask = torch.from_numpy(np.array([world.masks(int(one)).get(part, nowhere) for _, one, part in some]))
        seen = (mask & within).flatten(1).any(1)
        shares["chance"].append(evidence.share_on(within, mask)[seen])
        for name in METHODS:
            readout = Readout(network, layer)
            with readout.ready():
                made, _ = method_named(name)(readout, inputs[examples], torch.from_numpy(units), where)
            largest = evidence.largest(made, within)
            shares[name].append(evidence.share_on(largest, mask)[seen])
    return {name: torch.cat(found).double().nan_to_num(0).numpy() for name, found in shares.items()}


if __name__ == "__main__":
    main()
