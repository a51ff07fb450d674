"""Analyses on the device that is not there, as a program: torch has to know of a device before its first backward pass.

python -m tests.stages.on_another_device FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

import torchlurk as tl
from tests import pretended_device as pretended
from torchlurk.anatomy import Change
from torchlurk.engines.devices import DevicesEngine
from torchlurk.engines.local import LocalEngine
from torchlurk.model_session import ModelSession
from torchlurk.models.loading.extras import import_torchvision
from torchlurk.models.loading.placement import choose_device
from torchlurk.records import Layer
from torchlurk.scanning import reductions
from torchlurk.scanning.gates import GateSums
from torchlurk.scanning.steps import Counted, Seen
from torchlurk.server.live.drawing import as_plane, sheet_of
from torchlurk.server.live.frame import Wanted, look
from torchlurk.stages import scan
from torchlurk.units import Unit


def resnet():
    from torchvision.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.layer3 = network.layer4 = nn.Identity()
    network.fc = nn.Linear(128, 10)
    return network, ["layer1.0.conv1", "layer2.0", "fc"], ["guided", "lrp"]


def mobilenet():
    from torchvision.models import MobileNetV2

    setting = [[1, 8, 1, 1], [6, 12, 2, 2], [6, 16, 1, 2]]
    return MobileNetV2(10, 0.5, setting), ["features.2.conv.0.0", "features.4", "classifier.1"], ["gradient", "guided"]


def vit():
    from torchvision.models import VisionTransformer

    network = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10)
    return network, ["conv_proj", "encoder.layers.encoder_layer_1.mlp.0", "heads.head"], ["gradient", "input_x_gradient"]


BLURRED = {"presets": ["yosinski-1"]}

FAMILIES = {one.__name__: one for one in (resnet, mobilenet, vit)}


def analyzed(path, network, count=8, **options):
    torch.manual_seed(0)
    pictures = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    data = TensorDataset(pictures, torch.arange(count) % 3)
    options = {"engine": "local", "batch_size": 4} | options
    return tl.analyze(network, data, out=path, mean=(0, 0, 0), std=(1, 1, 1), **options)


def whole(path, family, device, **options):
    """The study of all stages of a family."""
    network, layers, methods = made(family)
    ways = {"methods": methods, "size": 32, "steps": 3, "exemplars": 1, "units": [f"{layer}:3" for layer in layers]}
    return analyzed(path, network, layers=layers, device=device, stages=["scan", "attribute", "synthesize"], **ways | options)


def scanned(path, device, count=8, **options):
    """The study of a scan of the residual network."""
    network, layers, _ = made("resnet")
    return analyzed(path, network, count, layers=layers, device=device, **options)


def made(family):
    torch.manual_seed(0)
    network, layers, methods = FAMILIES[family]()
    return network.eval(), layers, methods


class Roomy(nn.Module):
    """Has room for three pictures behind its first layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, x):
        maps = self.first(x)
        if len(x) > 3 and x.device.type == pretended.NAME:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 MiB")
        return self.second(maps).mean((2, 3))


def halved(path, device):
    """The study of a scan in batches of 16, or of as many as there is room for."""
    return analyzed(path, Roomy(), 40, device=device, batch_size=16)


class Reader(nn.Module):
    """A small recurrent network of text, without gates: what torch does for those on devices of others is not on the CPU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.rnn, self.head = nn.Embedding(8, 4), nn.RNN(4, 6, batch_first=True), nn.Linear(6, 8)
        nn.init.normal_(self.rnn.weight_hh_l0)

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x))[0])


class Texts:
    """Token ids, twelve to a text."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.randint(0, 8, (12,), generator=torch.Generator().manual_seed(index))


def read(path, device, count=24):
    """The study of a scan of texts, every step of the states kept."""
    options = {"kind": "text", "vocabulary": list("abcdefgh"), "keep_steps": ["rnn*"], "batch_size": 4, "engine": "local"}
    return tl.analyze(Reader().eval(), Texts(count), path, device=device, **options)


PICTURE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(5))
CHANGED = 0.5
"""By what a unit is multiplied."""


def explained(path, family, device):
    """What is told of a picture without a study and beside one, of a unit changed, and the sheet of a layer's maps."""
    network, layers, _ = made(family)
    unit = Unit(layers[0], 3)
    alone = tl.explain(network, PICTURE, layers=layers, device=device)
    beside = tl.explain(network, PICTURE, unit, study=path, method="gradient", device=device)
    found = {"alone": alone.to_json(), "beside a study": beside.to_json()}
    with tl.open(path) as study:
        session = ModelSession(network, study=study.reader, device=device)
        inputs = PICTURE[None].to(device)
        change = Change(unit, CHANGED)
        effect = session.inspect(inputs).effects([[change]], [(unit, (0, 0))])[0]
        wanted = Wanted(layer=layers[0], projected=unit, changes=(change,))
        seen = look(session, session.ready(inputs), inputs, wanted)
        usual = torch.from_numpy(study.reader.statistics(layers[0]).max).float()
    sheet = sheet_of(as_plane(seen.maps), scale="study", usual=usual)
    found["effect"] = [*effect.before, *effect.after, *(one.output for one in effect.predictions_after)]
    found["frame"] = [sheet.reach, *sheet.peaks, float(seen.projection.abs().sum()), *(one.output for one in seen.predictions)]
    return found


def gates(device):
    """What is counted of a gate that keeps, one of whose values is not finite, and the copies and waits of a second batch."""
    of = Layer("a", "LSTM", "sequence", 5, (12,), -1, module="rnn", stream="l0.f")
    values = torch.rand(2, 3, 5, 12, generator=torch.Generator().manual_seed(0))
    values[0, 1, 2, 3] = torch.nan
    sums, there = GateSums.empty(5), values.to(device)
    with torch.inference_mode():
        sums.add(of, there[0], Seen(Counted(3, 12, 12)))
        pretended.COUNTS.clear()
        sums.add(of, there[1], Seen(Counted(3, 12, 12)))
        counts = dict(pretended.COUNTS)
    return {name: array.tolist() for name, array in sums.arrays().items()}, counts


class Wide(nn.Module):
    """A layer of 256 units at places, and one of as many outputs; the inputs of each pass are in `WIDTHS`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 256, 5), nn.Conv2d(256, 8, 3), nn.Linear(8, 256)

    def forward(self, x):
        WIDTHS.append(len(x))
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


WIDTHS = []


def widths(path, layer, device):
    """Of how many inputs each pass is in which all units of a layer are attributed, and in which they are synthesized."""
    found = {}
    scan = {"layers": [layer], "device": device, "top": 2, "sample": 16}
    analyzed(path, Wide(), **scan).close()
    ways = {"attribute": {"methods": ["guided"]}, "synthesize": {"size": 16, "steps": 1}}
    for stage, options in ways.items():
        WIDTHS.clear()
        analyzed(path, Wide(), stages=[stage], **scan, **options).close()
        found[stage] = list(WIDTHS)
    return found


def counted(path, count):
    pretended.COUNTS.clear()
    scanned(path, pretended.NAME, count)
    return dict(pretended.COUNTS)


def passed(path, count):
    """The copies and waits of a scan of texts while batches pass."""
    usual, counts = LocalEngine.fold, {}

    def fold(*given):
        pretended.COUNTS.clear()
        part = usual(*given)
        counts.update(pretended.COUNTS)
        return part

    LocalEngine.fold, scan.SECONDS_BETWEEN_SAVES = fold, 1e9
    read(path, pretended.NAME, count)
    LocalEngine.fold = usual
    return counts


def main(folder):
    import_torchvision()
    pretended.register()
    for family in FAMILIES:
        whole(folder / f"{family}.lurk", family, pretended.NAME)
    for precision in ("bf16", "fp16"):
        scanned(folder / f"{precision}.lurk", pretended.NAME, precision=precision)
    counts = {str(count): counted(folder / f"of-{count}.lurk", count) for count in (8, 24)}
    read(folder / "read.lurk", pretended.NAME)
    batches = {str(count): passed(folder / f"read-{count}.lurk", count) for count in (24, 40)}
    counted_gates = gates(pretended.NAME)
    with halved(folder / "halved.lurk", pretended.NAME) as study:
        batch_size = study.reader.batch_size()
    passes = {layer: widths(folder / f"wide-{layer}.lurk", layer, pretended.NAME) for layer in ("first", "head")}
    pretended.USED.clear()
    scanned(folder / "on-all.lurk", f"{pretended.NAME}:all", count=300, engine="threads")
    two = DevicesEngine([torch.device(pretended.NAME, 0), torch.device("cpu")])  # torch goes back on one of a kind alone
    for family in FAMILIES:
        whole(folder / f"{family}-on-two.lurk", family, pretended.NAME, engine=two, count=300)
    used = sorted(pretended.USED)
    explanations = {family: explained(folder / f"{family}.lurk", family, pretended.NAME) for family in FAMILIES}
    reductions.WITHOUT_FLOAT64 = frozenset({pretended.NAME})
    pretended.REFUSED.add(torch.float64)
    whole(folder / "host.lurk", "mobilenet", pretended.NAME, **BLURRED)
    read(folder / "read-host.lurk", pretended.NAME)
    without_float64 = {family: explained(folder / f"{family}.lurk", family, pretended.NAME) for family in FAMILIES}
    found = {
        "used": used,
        "explained": explanations,
        "explained without float64": without_float64,
        "batch size": batch_size,
        "counts": counts,
        "texts": batches,
        "passes": passes,
        "gates": counted_gates,
        "chosen": choose_device(pretended.NAME).type,
    }
    (folder / "found.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
