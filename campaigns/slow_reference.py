"""What `show --json` says, against a literal loop: one picture at a time, own reading, own forward pass, full sorting.

Nothing here uses Torchlurk's own reading, taps or reductions: the command line is called, and the study it wrote opened.
Needs the folder of real models and images that TORCHLURK_TEST_DATA names.
"""

import functools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

import torchlurk as tl
from campaigns import recording

ROOT = Path(__file__).parents[1]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
SEED = 5
EXAMPLES = 240
UNITS = 50
COMMANDS = 5
"""For so many of the units the command line is asked too; the others come from the opened study."""

TOLERANCE = 1e-5


def read_224(path, mean, std):
    """Shorter side to 256, the middle 224 × 224, to floats, less the mean, by the deviation."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    scaled = (256, int(256 * height / width)) if width < height else (int(256 * width / height), 256)
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - 224) / 2), round((scaled[1] - 224) / 2)
    return as_floats(image.crop((left, top, left + 224, top + 224)), mean, std)


def read_whole(path, mean, std):
    """As the picture is, to floats, less the mean, by the deviation."""
    return as_floats(Image.open(path).convert("RGB"), mean, std)


def as_floats(image, mean, std):
    pixels = torch.tensor(np.asarray(image), dtype=torch.float32).permute(2, 0, 1) / 255
    return ((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None]


def squeezenet(weights, x):
    """SqueezeNet 1.1 written out (Iandola 2016, arXiv 1602.07360): every convolution's map after its ReLU."""
    maps = {}

    def conv(name, x, **how):
        maps[name] = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how))
        return maps[name]

    def fire(number, x):
        x = conv(f"features.{number}.squeeze", x)
        wide = conv(f"features.{number}.expand3x3", x, padding=1)
        return torch.cat([conv(f"features.{number}.expand1x1", x), wide], 1)

    x = F.max_pool2d(conv("features.0", x, stride=2), 3, 2, ceil_mode=True)
    x = F.max_pool2d(fire(4, fire(3, x)), 3, 2, ceil_mode=True)
    x = F.max_pool2d(fire(7, fire(6, x)), 3, 2, ceil_mode=True)
    for number in (9, 10, 11, 12):
        x = fire(number, x)
    conv("classifier.1", x)
    return maps


def batch_norm(weights, name, x):
    scale = weights[f"{name}.weight"] / torch.sqrt(weights[f"{name}.running_var"] + 1e-5)
    shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def mobilenet(weights, x):
    """MobileNet v1, width 0.75 (Howard 2017, arXiv 1704.04861): every convolution's map after batch norm and ReLU6."""
    maps = {}

    def conv(name, norm, x, **how):
        maps[name] = F.relu6(batch_norm(weights, norm, F.conv2d(x, weights[f"{name}.weight"], **how)))
        return maps[name]

    x = conv("model.0.0", "model.0.1", F.pad(x, (0, 1, 0, 1)), stride=2)
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), start=1):
        x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        x = conv(f"model.{number}.0", f"model.{number}.1", x, stride=stride, groups=x.shape[1])
        x = conv(f"model.{number}.3", f"model.{number}.4", x)
    maps["fc"] = F.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])
    return maps


def resnet20(weights, x):
    """The ResNet-20 for CIFAR (He 2015, sec. 4.2) with zero-padded shortcuts; a block is read after its last ReLU."""
    maps = {}
    maps["conv1"] = x = F.relu(batch_norm(weights, "bn1", F.conv2d(x, weights["conv1.weight"], padding=1)))
    for layer in (1, 2, 3):
        for block in (0, 1, 2):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            shortcut = x
            if stride == 2:
                side = x.shape[1] // 2
                shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
            conv1 = F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            maps[f"{name}.conv1"] = F.relu(batch_norm(weights, f"{name}.bn1", conv1))
            conv2 = F.conv2d(maps[f"{name}.conv1"], weights[f"{name}.conv2.weight"], padding=1)
            maps[f"{name}.conv2"] = batch_norm(weights, f"{name}.bn2", conv2)
            maps[name] = x = F.relu(maps[f"{name}.conv2"] + shortcut)
    maps["linear"] = F.linear(x.mean((2, 3)), weights["linear.weight"], weights["linear.bias"])
    return maps


NETWORKS = {
    "squeezenet": ("torchvision:squeezenet1_1", "squeezenet1_1", "imagenette", squeezenet, read_224, IMAGENET),
    "mobilenet": ("examples/models.py:mobilenet_v1", "mobilenet_v1_075", "imagenette", mobilenet, read_224, HALF),
    "resnet20": ("examples/models.py:resnet20_cifar", "resnet20_cifar10", "cifar10_test", resnet20, read_whole, IMAGENET),
}


def torchlurk(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "torchlurk", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(network, data, study, examples=EXAMPLES, commands=COMMANDS):
    """Compares units of a network of `NETWORKS`, drawn at random, on evenly chosen examples; the study is made anew."""
    model, weights_name, folder, forward, read, colours = NETWORKS[network]
    weights_file = data / "models" / f"{weights_name}.safetensors"
    torchlurk("analyze", model, data / folder, "--weights", weights_file, "--out", study, "--limit", examples)

    weights = load_file(weights_file)
    files = sorted(path.relative_to(data / folder).as_posix() for path in (data / folder).rglob("*") if path.is_file())
    files = [files[index * len(files) // examples] for index in range(examples)]
    classes = [Path(file).parts[0] for file in files]
    drawn, shapes, values = draw_units(weights, forward, lambda file: read(data / folder / file, **colours), files)

    opened = tl.open(study)
    for number, (name, channel) in enumerate(drawn):
        shown = opened.unit(f"{name}:{channel}").to_json()
        if number % (UNITS // commands) == 0:
            assert shown == json.loads(torchlurk("show", study, f"{name}:{channel}", "--json"))
        compare(shown, np.stack(values[name, channel]), shapes[name], files, classes)


@torch.inference_mode()
def draw_units(weights, forward, read, files):
    """Some (layer, channel) at random, the shape of each layer's maps, and per drawn unit its flattened map of every file.

    Only what is drawn is kept: the maps of all units would be many gigabytes.
    """
    first = forward(weights, read(files[0]))
    draw = random.Random(SEED)
    drawn = [(name, draw.randrange(first[name].shape[1])) for name in draw.choices(sorted(first), k=UNITS)]
    values = {unit: [] for unit in drawn}
    for file in files:
        maps = forward(weights, read(file))
        for name, channel in values:
            values[name, channel].append(maps[name][0, channel].flatten().double().numpy())
    return drawn, {name: tuple(layer.shape[2:]) for name, layer in first.items()}, values


def compare(shown, values, shape, files, classes):
    """`values` is (example, position) of one unit."""
    scale = max(1.0, float(np.abs(values).max()))
    near = lambda a, b: abs(a - b) <= TOLERANCE * scale  # noqa: E731
    best, mean = values.max(1), values.mean(1)
    # A unit with one value everywhere has no strongest examples and no strongest classes: all tie.
    telling = values.min() < values.max()
    for kind, scores in (("max", best), ("mean", mean)):
        order = sorted(range(len(files)), key=lambda example: (-np.float32(scores[example]), example))[:9]
        given = shown["exemplars"][kind]
        if not telling:
            assert given == []
            continue
        assert [row["rank"] for row in given] == list(range(9))
        for row, expected in zip(given, order, strict=True):
            assert near(row["score"], scores[expected])
            # Where two scores are equal but for rounding, either may come first.
            assert row["example"] == expected or near(scores[row["example"]], scores[expected])
            if kind == "max":
                assert row["path"] == files[row["example"]]
                assert row["class"] == classes[row["example"]]
                flat = int(np.ravel_multi_index(row["position"], shape)) if shape else 0
                assert near(values[row["example"], flat], best[row["example"]])
    statistics = shown["statistics"]
    assert near(statistics["mean"], values.mean())
    assert near(statistics["std"], values.std())
    assert near(statistics["max"], values.max())
    assert near(statistics["min"], values.min())
    # An activation that is zero but for rounding may count or not.
    assert abs(statistics["fraction_active"] - (values > 0).mean()) <= max(TOLERANCE, 3 / values.size)
    for kind, scores in (("max", best), ("mean", mean)):
        by_class = {
            name: np.mean([score for score, of in zip(scores, classes, strict=True) if of == name]) for name in set(classes)
        }
        expected = sorted(by_class.values(), reverse=True)[:20] if telling else []
        assert all(near(row["value"], value) for row, value in zip(shown["classes"][kind], expected, strict=True))
        for row in shown["classes"][kind]:
            assert near(row["value"], by_class[row["class"]])
        if kind == "max":
            floor = min(0.0, *by_class.values())
            top = max(by_class.values()) - floor
            rest = (sum(by_class.values()) - max(by_class.values())) / (len(by_class) - 1) - floor
            expected = (top - rest) / (top + rest) if top + rest else math.nan
            if math.isfinite(expected):
                assert abs(statistics["selectivity"] - expected) <= 1e-4


if __name__ == "__main__":
    given = os.environ.get("TORCHLURK_TEST_DATA")
    if given is None:
        raise SystemExit("needs the folder of real models and images; name it in the environment: TORCHLURK_TEST_DATA=FOLDER")
    data = Path(given)
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: functools.partial(check, name, data, Path(folder, f"{name}.lurk")) for name in NETWORKS}
        recording.run("slow_reference", __doc__, SEED, cases)
