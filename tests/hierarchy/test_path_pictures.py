"""Path-filtered pictures: a root's equals its attribution, deeper nodes' the rule of cnn_treevis written out."""

# Tolerances: 1e-9 and below in float64; 1e-4 to 1e-6 in float32 through several layers; 1e-3 where activations are
# subtracted, which costs digits.

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torchlurk
from torchlurk.anatomy import UnitPath
from torchlurk.hierarchy.descent import passages
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.models.loading.demo import demo_network
from torchlurk.units import Unit

REAL = torch.float64
RULES = {
    "gradient": lambda g, on: g * on,
    "deconv": lambda g, on: g.clamp(min=0),
    "guided": lambda g, on: g.clamp(min=0) * on,
    "guided_neg": lambda g, on: g.clamp(max=0) * on,
}


pytestmark = pytest.mark.usefixtures("same_numbers")


class Forked(nn.Module):
    """Branches, a concatenation and a skip, spelled with functions and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3, padding=1)
        self.mix, self.norm, self.head = nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        stem = F.relu(self.stem(x))
        both = torch.cat([F.relu(self.left(stem)), self.right(stem).relu_()], 1)
        out = self.norm(self.mix(both))
        out += stem
        return self.head(F.relu_(out).mean((2, 3)))


def image(size: int = 12) -> Tensor:
    return torch.randn(1, 3, size, size, dtype=REAL)


def close(one: np.ndarray, other: Tensor) -> bool:
    """Equal up to the single precision that pictures are kept in."""
    expected = other.permute(1, 2, 0).numpy()
    return bool(np.abs(one - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max()))


@pytest.mark.slow
@pytest.mark.parametrize("method", passages())
@pytest.mark.parametrize("make", [Forked, demo_network])
def test_a_roots_picture_equals_its_attribution(make: type[nn.Module], method: str) -> None:
    net = make().eval().to(REAL)
    x = image(24)
    if method == "lrp" and make is Forked:
        net.norm = nn.Identity()
    inspector = Inspector(net, x)
    layers = list(inspector.layers)
    for layer in layers[:: 3 if make is demo_network else 1] + layers[-1:]:
        unit = inspector.strongest(layer, 1)[0].unit
        (picture,) = inspector.pictures([inspector.branch(unit)], method=method)
        assert np.abs(picture.values).max() > 0 or method == "guided_neg"
        assert close(picture.values, torchlurk.attribute(net, x, unit, method)[0])


def chain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()
    ).to(REAL)


def written_out(net: nn.Sequential, x: Tensor, root: UnitPath, units: list[Unit], method: str) -> Tensor:
    """cnn_treevis: at each layer only the chosen channel's gradient goes on, times all magnitudes over those kept."""
    rule = RULES[method]
    with torch.no_grad():
        z1 = net[0](x)
        pooled, switches = F.max_pool2d(z1.relu(), 2, return_indices=True)
        z2 = net[3](pooled)
        z3 = net[5](z2.relu())
        g = torch.zeros_like(z3)
        g[(0, root.root.channel, *(root.position or ()))] = 1.0
        g = F.conv_transpose2d(rule(g, z3 > 0) if method != "guided_neg" else g * (z3 > 0), net[5].weight)
        for index, (unit, z) in enumerate(zip(units, (z2, z1), strict=False)):
            kept = torch.zeros_like(g)
            kept[0, unit.channel] = g[0, unit.channel]
            g = kept * g.abs().sum() / kept.abs().sum() if kept.any() else kept
            g = rule(g, z > 0)
            if index == 0:
                g = F.max_unpool2d(F.conv_transpose2d(g, net[3].weight), switches, 2)
        if len(units) == 1:
            g = rule(g, z1 > 0)
        return F.conv_transpose2d(g, net[0].weight, padding=1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("depth", [1, 2])
def test_deeper_nodes_follow_the_rule_written_out(method: str, depth: int) -> None:
    net, x = chain(), image(16)
    inspector = Inspector(net, x)
    root = inspector.branch(inspector.strongest("5", 1)[0].unit)
    shown = 0
    for first in range(6):
        for second in range(5) if depth == 2 else [None]:
            units = [Unit("3", first)] + ([Unit("0", second)] if second is not None else [])
            branch = UnitPath((root.root, *units), root.position)
            (picture,) = inspector.pictures([branch], method=method)
            expected = written_out(net, x, root, units, method)
            assert close(picture.values, expected)
            shown += bool(expected.any())
    assert shown >= (3 if method != "guided_neg" else 1)


def test_relevance_along_all_branches_is_what_there_is_without_a_choice() -> None:
    """What goes through the chosen unit and what goes through all the others make the whole."""
    net, x = chain(), image(16)
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    inspector = Inspector(net, x)
    root = inspector.branch(inspector.strongest("5", 1)[0].unit)
    every = [root.to(Unit("3", channel)) for channel in range(6)]
    whole, *through = inspector.pictures([root, *every], method="lrp")
    assert np.allclose(sum(one.values for one in through), whole.values, atol=1e-6)
    assert sum(one.values.sum() for one in through) == pytest.approx(inspector.activation(root.root, root.position), rel=1e-4)


def test_a_picture_is_nothing_outside_its_box() -> None:
    inspector = Inspector(chain(), image(16))
    root = inspector.branch("5:1", (0, 0))
    (picture,) = inspector.pictures([root], method="gradient")
    x0, y0, x1, y1 = picture.box
    outside = picture.values.copy()
    outside[y0:y1, x0:x1] = 0
    assert not outside.any()
    assert inspector.box(root.root, (0, 0)) == (0, 0, 11, 11)
    assert x1 <= 11
    assert y1 <= 11


def test_a_branch_through_a_unit_that_gives_nothing_has_an_empty_picture() -> None:
    net = chain()
    with torch.no_grad():
        net[3].bias[2] = -1e3
    inspector = Inspector(net, image(16))
    (picture,) = inspector.pictures([inspector.branch("5:1").to(Unit("3", 2))])
    assert picture.box == (0, 0, 0, 0)
    assert not picture.values.any()
    (makeup,) = inspector.makeups([inspector.branch("5:1").to(Unit("3", 2))])
    assert makeup.strongest == ()


@pytest.mark.parametrize("method", ["gradient", "guided", "deconv"])
def test_what_comes_over_a_skip_is_not_mixed_with_what_comes_beside_it_when_both_are_asked_for(method: str) -> None:
    """The gradients of both sides of a sum are one tensor in torch: what is kept of one must not show up in the other."""
    inspector = Inspector(Forked().eval().to(REAL), image())
    root = inspector.branch("head:1")
    both = [root.to(Unit("stem", 1)), root.to(Unit("mix", 2))]
    together = inspector.pictures(both, method=method)
    alone = [inspector.pictures([branch], method=method)[0] for branch in both]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.values - other.values).max() <= 1e-6 * np.abs(other.values).max()


def test_pictures_asked_at_once_are_as_asked_one_by_one() -> None:
    inspector = Inspector(Forked().eval().to(REAL), image())
    roots = [inspector.branch(one.unit) for layer in inspector.layers for one in inspector.strongest(layer, 3)]
    every = roots + [
        one.branch.to(one.strongest[0].unit)
        for one in inspector.makeups(roots)
        if one.strongest[0].unit.layer in inspector.layers
    ]
    assert len(every) > 16
    for branch, together in zip(every, inspector.pictures(every), strict=True):
        (alone,) = inspector.pictures([branch])
        assert np.abs(together.values - alone.values).max() <= 1e-6 * np.abs(alone.values).max()
