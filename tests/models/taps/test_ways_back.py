"""Networks whose way back is unusual: recomputed on the way, or closed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

import torchlurk as tl
from torchlurk.errors import ModelError


class Body(nn.Module):
    """Plain, or checkpointed in one of torch's two ways."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)
        self.reentrant = reentrant

    def body(self, x):
        return self.b(self.a(x).relu()).relu()

    def forward(self, x):
        y = self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)
        return self.fc(y.mean((2, 3)))


def found(reentrant, tmp_path):
    network = Body(reentrant).eval()
    inputs = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    ways = {"stages": ["scan", "attribute"], "methods": ["guided"], "units": ["b:0"], "mean": (0,) * 3, "std": (1,) * 3}
    study = tl.analyze(network, TensorDataset(inputs), out=tmp_path / f"{reentrant}.lurk", **ways)
    return {
        "attribute": tl.attribute(network, inputs[:1], "b:0", method="gradient"),
        "explain": torch.tensor([one.contribution.share for one in tl.explain(network, inputs[:1], "b:0").root.children]),
        "stage": torch.tensor(study.unit("b:0").attributions()[0].values),
        "synthesize": torch.tensor(tl.synthesize(network, "b:0", steps=2, size=20).activation),
    }


@pytest.mark.slow
@pytest.mark.parametrize("reentrant", [False, True])
def test_what_is_checkpointed_is_as_without(reentrant, tmp_path):
    kept = torch.utils.checkpoint.CheckpointFunction, torch.utils.checkpoint._checkpoint_without_reentrant_generator
    expected, here = found(None, tmp_path), found(reentrant, tmp_path)
    for name, values in expected.items():
        assert torch.equal(values, here[name]), name
    assert kept == (torch.utils.checkpoint.CheckpointFunction, torch.utils.checkpoint._checkpoint_without_reentrant_generator)


class SavedThenWritten(nn.Module):
    """Runs forward; torch refuses the way back, for what it has saved was written to in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x):
        y = self.a(x).sigmoid()
        z = self.b(y)
        y += 1
        return z + y[..., 1:-1, 1:-1]


class Closed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, signal):
        raise KeyError("mine")


class OwnFault(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x):
        return self.b(Closed.apply(self.a(x)))


@pytest.mark.parametrize(
    ("verb", "network", "reason"),
    [
        ("explain", SavedThenWritten, "SavedThenWritten has no backward pass: RuntimeError: one of the variables needed"),
        ("explain", OwnFault, "OwnFault has no backward pass: KeyError: 'mine'"),
        ("attribute", OwnFault, "OwnFault has no backward pass: KeyError: 'mine'"),
        ("synthesize", OwnFault, "OwnFault has no backward pass: KeyError: 'mine'"),
    ],
)
def test_a_way_back_that_is_closed_is_a_model_error(verb, network, reason):
    module, inputs = network().eval(), torch.rand(1, 3, 16, 16)
    call = {
        "explain": lambda: tl.explain(module, inputs),
        "attribute": lambda: tl.attribute(module, inputs, "b:0", method="gradient"),
        "synthesize": lambda: tl.synthesize(module, "b:0", size=16, steps=2),
    }[verb]
    with pytest.raises(ModelError, match=reason) as error:
        call()
    assert "\n" not in str(error.value)
