"""Whether the tree beneath a unit tells the truth, and what it costs.

python benchmarks/hierarchy.py [FOLDER OF REAL MODELS AND IMAGES]

1. Deleting the strongest child lowers its parent more than deleting a random one: the demo network, and SqueezeNet if there
   are its weights.
2. Where the parts of things are known: the children of a class's unit contain detectors of the class's own parts more
   often than chance would have it.
3. CPU time of a node's children and its picture, alone and ten at once.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from dissection import chosen, things_only
from torch import Tensor, nn

from torchlurk.anatomy import INPUT, Change, UnitPath
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.inputs.demo.scenery import SCENERY
from torchlurk.inputs.demo.world import PREPROCESSING, DemoWorld
from torchlurk.inputs.pictures.decoding import decode
from torchlurk.inputs.pictures.preprocessing import normalize, prepare
from torchlurk.models.loading.demo import SIDE, demo_network
from torchlurk.models.loading.load import load
from torchlurk.models.survey.layers import survey
from torchlurk.scanning.dissection import DETECTS, dissect
from torchlurk.units import Unit

CASES = 100
LATE = {
    "demo": ("block3", "block4.conv1", "block4"),
    "squeezenet1_1": ("features.11.squeeze", "features.12.expand3x3", "classifier.1"),
}
SEED, DISSECTED, PER_CLASS, CHILDREN = 7, 600, 6, 6
REPEATS = 5


def main() -> None:
    """Prints the three tables."""
    torch.set_num_threads(1)
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    demo = demo_network()
    world = DemoWorld(2000, SEED)
    networks: dict[str, tuple[nn.Module, Iterator[Tensor]]] = {
        "demo": (demo, (drawn(world, [index]) for index in range(CASES)))
    }
    if data is not None:
        squeezenet = load("torchvision:squeezenet1_1", data / "models" / "squeezenet1_1.safetensors")
        files = sorted((data / "imagenette").glob("*/*"))[:: 1000 // CASES]
        assert squeezenet.preprocessing is not None
        networks["squeezenet1_1"] = (squeezenet.module, (photo(file, squeezenet.preprocessing) for file in files))
    print(
        f"deleting the strongest child, and a random one of those that are active: what is left of the parent ({CASES} cases)"
    )
    for name, (net, images) in networks.items():
        print(f"  {name:<16}{deletions(net, images, LATE[name])}")
    print(f"\n{'children of a class unit that detect one of its parts':<70}{parts(demo, world)}")
    print("\nCPU time of one thread, milliseconds: a node's children and its picture; ten nodes at once, each")
    for name, (net, _) in networks.items():
        print(f"  {name:<16}{timing(net, SIDE if name == 'demo' else 224)}")


def drawn(world: DemoWorld, indices: list[int]) -> Tensor:
    """Pictures of the world as inputs."""
    return normalize(torch.from_numpy(np.stack([world.read(index).values for index in indices])), PREPROCESSING)


def photo(file: Path, preprocessing: object) -> Tensor:
    """A file as input."""
    return normalize(torch.from_numpy(prepare(decode(file), preprocessing))[None], preprocessing)  # type: ignore[arg-type]


def deletions(net: nn.Module, images: Iterator[Tensor], layers: tuple[str, ...]) -> str:
    """Medians of what is left of the parent, and how often the strongest child's loss was the larger one."""
    dice, first = random.Random(SEED), None
    strongest, at_random = [], []
    for case, image in enumerate(images):
        first = first or Inspector(net, image)
        look = first.on(image)
        found = look.strongest(layers[case % len(layers)], 3)
        if not found:
            continue
        root = look.branch(found[0].unit)
        (made_of,) = look.makeups([root], most=10**6)
        ranked = sorted((one for one in made_of.strongest if one.unit.layer != INPUT), key=lambda one: -one.contribution)
        other = dice.choice(ranked[1:]) if len(ranked) > 1 else ranked[0]
        assert root.position is not None
        effects = look.effects([[Change(one.unit)] for one in (ranked[0], other)], [(root.root, root.position)])
        strongest.append(effects[0].after[0] / effects[0].before[0])
        at_random.append(effects[1].after[0] / effects[1].before[0])
    more = sum(one < other for one, other in zip(strongest, at_random, strict=True))
    return (
        f"median {np.median(strongest):6.1%} and {np.median(at_random):6.1%};"
        f" the strongest lowers it more in {more} of {len(strongest)} cases"
    )


def parts(net: nn.Module, world: DemoWorld) -> str:
    """How often a child detects a part of the class, of another class only, and how often any unit of the layer does."""
    layer = next(one for one in survey(net, torch.zeros(1, 3, SIDE, SIDE)).layers if one.name == "block4" and chosen(one))
    table = things_only(dissect(net, [layer], DemoWorld(DISSECTED, SEED + 1)))["block4"]
    detects = [{table.parts[part] for part in np.flatnonzero(row > DETECTS)} for row in table.iou]
    classes = len(world.classes)
    own = [parts_of(world, index, classes) for index in range(classes)]
    inspector = None
    hits = {"own": [], "chance": [], "others": []}  # type: ignore[var-annotated]
    for index in range(classes):
        images = drawn(world, [index + classes * number for number in range(PER_CLASS)])
        inspector = inspector.on(images) if inspector else Inspector(net, images)
        (made_of,) = inspector.makeups([UnitPath((Unit("head", index),))], most=10**6)
        ranked = sorted(made_of.strongest, key=lambda one: -one.contribution)[:CHILDREN]
        hits["own"] += [bool(detects[one.unit.channel] & own[index]) for one in ranked]
        hits["chance"] += [bool(found & own[index]) for found in detects]
        hits["others"] += [
            bool(detects[one.unit.channel] & own[other]) for one in ranked for other in range(classes) if other != index
        ]
    shares = {name: float(np.mean(found)) for name, found in hits.items()}
    return (
        f"{shares['own']:.0%}; any unit of block4 {shares['chance']:.0%};"
        f" these children, of another class's parts {shares['others']:.0%}"
    )


def parts_of(world: DemoWorld, index: int, classes: int) -> set[str]:
    """The parts, not scenery, that most pictures of a class show."""
    seen = [set(world.masks(index + classes * number)) - set(SCENERY) for number in range(PER_CLASS)]
    return {part for part in set.union(*seen) if sum(part in one for one in seen) * 2 > PER_CLASS}


def timing(net: nn.Module, side: int) -> str:
    """Medians of CPU time."""
    look = Inspector(net, torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(SEED)))
    late = list(look.layers)[-3]
    roots = [look.branch(one.unit) for one in look.strongest(late, 10)]

    def asked(branches: list[UnitPath]) -> float:
        start = time.thread_time()
        look.makeups(branches)
        look.pictures(branches)
        return 1000 * (time.thread_time() - start)

    alone = median(lambda: asked(roots[:1]))
    together = median(lambda: asked(roots)) / len(roots)
    return f"{alone:6.0f}{together:8.0f}"


def median(measure: Callable[[], float]) -> float:
    """Of some repeats, after one that warms up."""
    measure()
    return float(np.median([measure() for _ in range(REPEATS)]))


if __name__ == "__main__":
    main()
