"""Networks whose activations are `torch.autograd.Function`s of their own, beside the same with torch's."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.autograd.function import _SingleLevelFunction
from torch.nn import functional
from torch.utils.data import TensorDataset

import torchlurk as tl
from torchlurk.anatomy import Change
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.models.survey.layers import survey
from torchlurk.models.taps.own_functions import around_functions
from torchlurk.units import Unit

ROOT = 2**0.5


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return signal * gate * (1 + x * (1 - gate))


class Modern(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x * torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    backward = Swish.backward


class Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.clamp_(min=0)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, signal):
        (y,) = ctx.saved_tensors
        return signal * (y > 0)


class Scaled(torch.autograd.Function):
    """What the nonlinearity gives is seen only inside: the units are the convolution's own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return functional.leaky_relu(x, 0.2) * ROOT

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        return signal * torch.where(x > 0, 1.0, 0.2) * ROOT


def scaled(x):
    return (x + (x * -0.8).clamp(min=0)) * ROOT  # arithmetic after which no unit is read


kept = Swish.apply
"""As many programs keep it."""

WAYS = {
    "direct": (Swish.apply, functional.silu),
    "kept": (kept, functional.silu),
    "of two parts": (Modern.apply, functional.silu),
    "in place": (Clamped.apply, torch.relu),
    "hidden": (Scaled.apply, scaled),
}


class Net(nn.Module):
    def __init__(self, activate) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.norm, self.b, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)
        self.activate = activate

    def forward(self, x):
        return self.fc(self.activate(self.b(self.activate(self.norm(self.a(x))))).mean((2, 3)))


def told(network, inputs, tmp_path):
    options = {"stages": ["scan"], "mean": (0,) * 3, "std": (1,) * 3}
    study = tl.analyze(network, TensorDataset(inputs), out=tmp_path / f"{len(list(tmp_path.iterdir()))}.lurk", **options)
    tree, inspector = tl.explain(network, inputs[:1], "fc:1", depth=1, method="gradient"), Inspector(network, inputs[:1])
    nodes = tree.root.nodes()
    effect = inspector.effects([[Change(Unit("b", 3))]])[0]
    shares = [[child.contribution.contribution for child in node.children] for node in nodes]
    return {
        "attribution": tl.attribute(network, inputs[:1], "b:0", method="gradient"),
        "nodes": torch.tensor([node.activation for node in nodes]),
        "shares": torch.tensor([share for node in shares for share in node]),
        "pictures": torch.stack([torch.tensor(node.picture.values) for node in nodes]),
        "changes": torch.tensor([one.output for one in effect.predictions_after]),
        "exemplars": torch.tensor([one.score for one in study.unit("b:2").exemplars()]),
        "synthesis": torch.tensor(tl.synthesize(network, "b:0", steps=2, size=16).activation),
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", ["kept", "in place", "hidden"])
def test_all_is_as_with_torch_s_own_activation(way, tmp_path):
    inputs = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    here, expected = (told(Net(activate).eval(), inputs, tmp_path) for activate in WAYS[way])
    for name, values in expected.items():
        torch.testing.assert_close(here[name], values, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("way", "after"),
    [("direct", ("sigmoid", "mul")), ("of two parts", ("sigmoid", "mul")), ("in place", ("relu",)), ("hidden", ())],
    ids=str,
)
def test_units_are_read_where_gradients_reach_them(way, after):
    network, x = Net(WAYS[way][0]).eval(), torch.rand(1, 3, 16, 16)
    layers = {layer.name: layer for layer in survey(network, x).layers}
    assert layers["b"].read_after == after
    leaf = x.clone().requires_grad_()
    own = network.b(network.activate(network.norm(network.a(leaf))))
    value = (network.activate(own) if after else own)[0, 0].max()
    (expected,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(tl.attribute(network, x, "b:0", method="gradient"), expected, rtol=1e-4, atol=1e-6)


def test_torch_is_left_as_found():
    seen = []
    usual = vars(_SingleLevelFunction).get("apply")

    def around(call, *args):
        seen.append(threading.get_ident())
        return call(*args)

    with around_functions(around), around_functions(around):
        Swish.apply(torch.ones(1))
        other = threading.Thread(target=lambda: Swish.apply(torch.ones(1)))
        other.start()
        other.join()
    Swish.apply(torch.ones(1))
    assert seen == [threading.get_ident()] * 2
    assert vars(_SingleLevelFunction).get("apply") is usual is None
