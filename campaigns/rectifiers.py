"""Guided backprop and deconvolution of networks whose ReLUs are functional calls: as with every `F.relu` replaced.

Hooks on modules miss such calls: what Captum's GuidedBackprop and Deconvolution say of these networks is something else,
which is checked as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from campaigns import recording
from torchlurk.attribution.backward import attribute
from torchlurk.models.loading.extras import import_torchvision

SEED = 0
REAL = torch.float64
RECTIFYING = {"deconv": lambda g, on: g.clamp(min=0), "guided": lambda g, on: g.clamp(min=0) * on}
CAPTUM = {"deconv": "captum:Deconvolution", "guided": "captum:GuidedBackprop"}


@dataclass(frozen=True)
class Case:
    """A unit of a network, the module whose output has it after its ReLU, and a method."""

    model: str
    unit: str
    read: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()


def cases() -> dict[str, Case]:
    """By name: a convolution's unit and a class of each network, by each method."""
    units = [
        ("googlenet", "inception4b.branch2.1.conv:7", "inception4b.branch2.1", (("init_weights", False),)),
        ("googlenet", "fc:17", "fc", (("init_weights", False),)),
        ("densenet121", "features.denseblock2.denselayer3.conv1:5", "features.denseblock2.denselayer3.relu2", ()),
        ("densenet121", "classifier:17", "classifier", ()),
    ]
    return {
        f"{model} {unit} {method}": Case(model, unit, read, method, options)
        for model, unit, read, options in units
        for method in RECTIFYING
    }


class ReferenceRelu(torch.autograd.Function):
    """ReLU with a rule, written out for the patched models."""

    rule: Callable[[Tensor, Tensor], Tensor]

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.clone())
        return x * (x > 0)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return ReferenceRelu.rule(signal, x > 0)


def patched(net: nn.Module, read: nn.Module, channel: int, x: Tensor, method: str) -> Tensor:
    """Attributions of the strongest position of a module's output, with every `F.relu` replaced."""
    ReferenceRelu.rule = staticmethod(RECTIFYING[method])
    taken: list[Tensor] = []
    handle = read.register_forward_hook(lambda module, args, output: taken.append(output))
    leaf = x.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda value, inplace=False: ReferenceRelu.apply(value))
        net(leaf)
    handle.remove()
    flat = taken[0][:, channel].reshape(len(x), -1)
    return torch.autograd.grad(flat.amax(1).sum(), leaf)[0]


def check(case: Case) -> None:
    """The attribution equals the one with patched functions, and that by module hooks does not."""
    import_torchvision()
    from torchvision import models

    torch.manual_seed(SEED)
    net = models.get_model(case.model, weights=None, **dict(case.options)).to(REAL).eval()
    x = torch.randn(2, 3, 64, 64, dtype=REAL, generator=torch.Generator().manual_seed(1))
    expected = patched(net, net.get_submodule(case.read), int(case.unit.split(":")[1]), x, case.method)
    found = attribute(net, x, case.unit, case.method)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=float(1e-10 * expected.abs().max()))
    if case.unit.startswith(("fc", "classifier")):
        assert not torch.allclose(attribute(net, x, case.unit, CAPTUM[case.method]), expected, rtol=0.1)


if __name__ == "__main__":
    recording.run("rectifiers", __doc__, SEED, {name: functools.partial(check, case) for name, case in cases().items()})
