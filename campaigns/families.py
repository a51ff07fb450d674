"""Every torchvision classification family and many of timm's: layers found, logits untouched, the model left as found.

The table in docs/reference/models.md is what this finds. `python -m campaigns.families` compares each row;
with TORCHLURK_WRITE_DOCS=1 in the environment it writes the table.
"""

from __future__ import annotations

import functools
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from campaigns import recording
from torchlurk.models.loading.extras import import_timm, import_torchvision
from torchlurk.models.survey.layers import UNREACHED, Survey, choose, survey
from torchlurk.models.taps.as_found import evaluation
from torchlurk.models.taps.reading import maps, reading
from torchlurk.records import Layer

TABLE = Path(__file__).parents[1] / "docs" / "reference" / "models.md"
SEED = 0
WRITE = os.environ.get("TORCHLURK_WRITE_DOCS") == "1"

INTRODUCTION = """# Models that are known to work

Made by `campaigns/families.py`, which runs each of them with random weights. Any other `torch.nn.Module` is read the
same way; these are one or more of every torchvision classification family and of many of timm's.

*Layers* and *units* are those that a scan reads by default. *Nonlinearities* are those that units are read after (`–` for
layers whose own output is read). *Taps* says whether plain hooks suffice, or a torch function mode is needed beside them
because some units are read after a functional call. With taps on all these layers the logits are the same bit for bit, and
the model is left as it was found.

"""
HEADER = "| model | input | layers | units | layouts | nonlinearities | taps |\n|---|---|---:|---:|---|---|---|\n"


@dataclass(frozen=True)
class Family:
    """One model, built with `options` for an input of `size` pixels a side."""

    spec: str
    size: int
    options: tuple[tuple[str, Any], ...] = ()

    def build(self) -> nn.Module:
        library, _, name = self.spec.partition(":")
        torch.manual_seed(SEED)
        options = dict(self.options)
        if library == "timm":
            return import_timm().create_model(name, pretrained=False, **options)
        import_torchvision()
        from torchvision import models

        return models.get_model(name, weights=None, **options)


def torchvision(name: str, size: int = 64, **options: Any) -> Family:
    return Family(f"torchvision:{name}", size, tuple(options.items()))


def timm(name: str, size: int = 64, **options: Any) -> Family:
    return Family(f"timm:{name}", size, tuple(options.items()))


FAMILIES = [
    torchvision("alexnet"),
    torchvision("vgg11"),
    torchvision("vgg11_bn"),
    torchvision("resnet18"),
    torchvision("resnet50"),
    torchvision("resnext50_32x4d"),
    torchvision("wide_resnet50_2"),
    torchvision("squeezenet1_1"),
    torchvision("densenet121"),
    torchvision("inception_v3", 96, init_weights=False),
    torchvision("googlenet", init_weights=False),
    torchvision("shufflenet_v2_x0_5"),
    torchvision("mobilenet_v2"),
    torchvision("mobilenet_v3_small"),
    torchvision("mnasnet0_5"),
    torchvision("efficientnet_b0"),
    torchvision("efficientnet_v2_s"),
    torchvision("regnet_x_400mf"),
    torchvision("regnet_y_400mf"),
    torchvision("convnext_tiny"),
    torchvision("vit_b_16", image_size=64),
    torchvision("swin_t"),
    torchvision("swin_v2_t"),
    torchvision("maxvit_t", 224),
    timm("resnetv2_50"),
    timm("resnest14d"),
    timm("skresnet18"),
    timm("convnext_atto"),
    timm("convnextv2_atto"),
    timm("vit_tiny_patch16_224", img_size=64),
    timm("deit_tiny_distilled_patch16_224", img_size=64),
    timm("beit_base_patch16_224", img_size=64, depth=2),
    timm("swin_tiny_patch4_window7_224", img_size=64, window_size=4),
    timm("mixer_s32_224", img_size=64),
    timm("tf_efficientnet_b0"),
    timm("nf_regnet_b0"),
    timm("regnetx_002"),
    timm("repvgg_a0"),
    timm("hrnet_w18_small"),
    timm("dla34"),
    timm("cspresnet50"),
    timm("ghostnet_100"),
    timm("poolformer_s12"),
    timm("pvt_v2_b0"),
    timm("edgenext_xx_small"),
    timm("mobilevit_xxs"),
    timm("xcit_nano_12_p16_224"),
]


def check(family: Family) -> None:
    """Layers are found, taps change nothing, and the table says so."""
    module = family.build()
    inputs = torch.randn(2, 3, family.size, family.size, generator=torch.Generator().manual_seed(1))
    before = state(module)
    found = survey(module, inputs[:1])
    layers = choose(found.layers)
    assert_same(before, state(module))
    assert not [skip for skip in found.skipped if skip.reason != UNREACHED]
    with evaluation(module):
        check_logits(module, inputs, layers)
    assert_same(before, state(module))
    check_row(family, row(family, found))


def check_logits(module: nn.Module, inputs: Tensor, layers: tuple[Layer, ...]) -> None:
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def deliver(layer: Layer, tensor: Tensor) -> None:
        shapes.setdefault(layer.name, []).append(tuple(maps(layer, tensor).shape))

    with torch.inference_mode():
        plain = module(inputs)
        with reading(module, layers, deliver):
            tapped = module(inputs)
    assert torch.equal(plain, tapped)
    assert shapes == {layer.name: [(len(inputs), layer.channels, *layer.shape)] for layer in layers}


def state(module: nn.Module) -> tuple[Any, ...]:
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [
        (one.training, getattr(one, "inplace", None), len(one._forward_hooks), "forward" in vars(one))
        for one in module.modules()
    ]
    return tensors, flags, torch.get_rng_state()


def assert_same(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1] == after[1]
    assert torch.equal(before[2], after[2])


def row(family: Family, found: Survey) -> str:
    layers = choose(found.layers)
    layouts = ", ".join(dict.fromkeys(layer.layout for layer in layers))
    kinds = ", ".join(sorted({layer.nonlinearity or "–" for layer in layers}, key=lambda kind: (kind == "–", kind)))
    functional = any(hop.endswith("()") for layer in layers for hop in layer.read_at)
    cells = [
        f"`{family.spec}`",
        f"3×{family.size}×{family.size}",
        str(len(layers)),
        f"{sum(layer.channels for layer in layers):,}",
        layouts,
        kinds,
        "hooks and mode" if functional else "hooks",
    ]
    return f"| {' | '.join(cells)} |"


def rows() -> dict[str, str]:
    """The rows of the committed table, by model."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def check_row(family: Family, found: str) -> None:
    if WRITE:
        write(family, found)
    assert rows().get(family.spec) == found, "run it with TORCHLURK_WRITE_DOCS=1 to write the table anew"


def write(family: Family, found: str) -> None:
    """Puts one row in its place."""
    known = {**rows(), family.spec: found}
    ordered = [known[one.spec] for one in FAMILIES if one.spec in known]
    TABLE.write_text(INTRODUCTION + HEADER + "".join(f"{line}\n" for line in ordered))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="timm")
    recording.run("families", __doc__, SEED, {one.spec: functools.partial(check, one) for one in FAMILIES})
