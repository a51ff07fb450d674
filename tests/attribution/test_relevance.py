"""Relevance: derived by hand, against Captum where both do the same, and by what is conserved."""

# Tolerances: 1e-10 and below in float64, in another order of operations; 1e-5 in float32. Captum's methods have constants of
# their own (steps of an integral, an epsilon), which leave 1e-3 to 0.02.

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.attribution_pairs import attribute_pairs
from torchlurk.attribution.backward import attribute
from torchlurk.attribution.relevance import EPSILON, conservation
from torchlurk.errors import ModelError
from torchlurk.models.survey.layers import survey

REAL = torch.float64


pytestmark = pytest.mark.usefixtures("same_numbers")


def images(count: int = 2, size: int = 10) -> Tensor:
    return torch.randn(count, 3, size, size, dtype=REAL, generator=torch.Generator().manual_seed(1))


def stable(value: float) -> float:
    return value + (EPSILON if value >= 0 else -EPSILON)


def dense_by_hand(x: list[float], weight: list[list[float]], bias: list[float], relevance: list[float]) -> list[float]:
    """R_i = Σ_j x_i w_ji / (z_j ± ε) R_j, z_j with its bias."""
    found = [0.0] * len(x)
    for row, offset, share in zip(weight, bias, relevance, strict=True):
        z = sum(w * value for w, value in zip(row, x, strict=True)) + offset
        for i, w in enumerate(row):
            found[i] += x[i] * w / stable(z) * share
    return found


def convolution_by_hand(x: Tensor, weight: Tensor, relevance: Tensor) -> Tensor:
    """R_i = Σ_j (x_i w_ji)⁺ / (Σ_i (x_i w_ji)⁺ + ε) R_j, without padding, one window at a time."""
    found = torch.zeros_like(x)
    _, rows, columns = relevance.shape
    kernel = weight.shape[-1]
    for channel, row, column in torch.cartesian_prod(*map(torch.arange, (len(weight), rows, columns))).tolist():
        window = (slice(None), slice(row, row + kernel), slice(column, column + kernel))
        speaking_for = (x[window] * weight[channel]).clamp(min=0)
        found[window] += speaking_for / (speaking_for.sum() + EPSILON) * relevance[channel, row, column]
    return found


def test_dense_layers_go_by_epsilon_as_derived_by_hand() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).to(REAL)
    x = torch.randn(1, 3, dtype=REAL)
    hidden = F.relu(net[0](x))
    value = net(x)[0, 1].item()
    upper = dense_by_hand(hidden[0].tolist(), net[2].weight[1:].tolist(), net[2].bias[1:].tolist(), [value])
    expected = dense_by_hand(x[0].tolist(), net[0].weight.tolist(), net[0].bias.tolist(), upper)
    assert attribute(net, x, "2:1", "lrp")[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_convolutions_go_by_what_speaks_for_them_as_derived_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU()).to(REAL)
    x = images(1, 7)
    hidden, value = F.relu(net[0](x)), net(x)
    row, column = divmod(int(value[0, 1].argmax()), 3)
    seed = torch.zeros_like(value[0])
    seed[1, row, column] = value[0, 1, row, column]
    assert seed.any()
    upper = convolution_by_hand(hidden[0], net[2].weight, seed)
    expected = convolution_by_hand(x[0], net[0].weight, upper)
    found = attribute(net, x, "2:1", "lrp", position=(row, column))
    torch.testing.assert_close(found[0], expected)


class Residual(nn.Module):
    """Batch norms, a skip joined in place, averages, a pool, a concatenation."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, bias=bias), nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(6)])
        self.head = nn.Linear(12, 5, bias=bias)
        for norm in self.norms:
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            if bias:
                nn.init.uniform_(norm.running_mean, -0.1, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.a(x)))
        y = self.norms[1](self.b(x))
        y += x
        y = F.max_pool2d(F.relu(y, inplace=True), 2)
        y = F.avg_pool2d(y, 2) * 2
        return self.head(torch.cat([y.mean((2, 3)), F.adaptive_avg_pool2d(y, 1).flatten(1)], 1))


def test_without_biases_all_relevance_arrives() -> None:
    net, x = Residual(bias=False).to(REAL), images(3)
    for name in ("a", "b", "head"):
        layer = survey(net, x).layer(name)
        for positions in (torch.zeros(3, dtype=torch.int64), None):
            found, activations = attribute_pairs(net, layer, x, torch.tensor([0, 1, 2]), positions, "lrp")
            whole = conservation(found, activations)
            assert torch.all((whole - 1).abs()[activations.abs() > 0.01] < 1e-3), whole
    assert conservation(torch.ones(2, 3), torch.tensor([0.0, 6.0])).nan_to_num(-1).tolist() == [-1, 0.5]


def test_a_batch_norm_is_as_if_it_were_folded_in() -> None:
    net, x = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)).to(REAL), images()
    nn.init.uniform_(net[1].running_var, 0.5, 2)
    nn.init.uniform_(net[1].weight, -1, 1)
    nn.init.uniform_(net[1].running_mean, -1, 1)
    folded = torch.nn.utils.fusion.fuse_conv_bn_eval(net[0].eval(), net[1].eval())
    plain = nn.Sequential(folded, nn.ReLU(), net[3])
    for reduce in ("max", "mean"):
        torch.testing.assert_close(
            attribute(net, x, "3:1", "lrp", reduce=reduce), attribute(plain, x, "2:1", "lrp", reduce=reduce)
        )


def test_it_is_as_in_captum_for_a_net_of_positive_inputs_without_biases() -> None:
    captum = pytest.importorskip("captum.attr")
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 4, 3, bias=False)
            self.act, self.other, self.pool = nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)
            self.head = nn.Linear(16, 5, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.other(self.b(self.pool(self.act(self.a(x))))).flatten(1))

    net = Net().to(REAL)
    x = images().abs()
    net.a.rule = net.b.rule = Alpha1_Beta0_Rule()
    net.head.rule = EpsilonRule(epsilon=EPSILON)
    expected = captum.LRP(net.eval()).attribute(x.clone().requires_grad_(), target=2)
    torch.testing.assert_close(attribute(net, x, "head:2", "lrp"), expected, rtol=1e-3, atol=1e-6)


class Doing(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.first, self.last, self.what = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), what
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.what(self, self.first(x)))


def emptied(net: Doing, x: Tensor) -> Tensor:
    x[:, 0] = 0
    return x


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (lambda net, x: x * x.mean((2, 3), keepdim=True).sigmoid(), "sigmoid"),
        (lambda net, x: x.softmax(1), "softmax"),
        (lambda net, x: F.layer_norm(x, x.shape[1:]), "layer_norm"),
        (lambda net, x: net.norm(F.relu(x)), "a batch normalization that does not directly follow"),
        (lambda net, x: x + 1, "add"),
        (lambda net, x: x * F.relu(x), "mul"),
        (emptied, "setitem"),
        (lambda net, x: F.conv2d(x, x[:1, :, :3, :3]).expand(-1, 4, -1, -1), "a conv2d whose weights depend on the input"),
    ],
)
def test_where_it_is_not_defined_it_says_so_and_gives_no_picture(what: Any, name: str) -> None:
    with pytest.raises(ModelError, match=f"lrp is not defined for {name}"):
        attribute(Doing(what).to(REAL), images(), "last:0", "lrp")
    assert attribute(Doing(what).to(REAL), images(), "first:0", "lrp").shape == (2, 3, 10, 10)
