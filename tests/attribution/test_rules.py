"""Each spelling of a rectification, by each rule, against the derivation by hand: one number at a time, in plain Python."""

# Tolerances: 1e-10 and below in float64, in another order of operations; 1e-5 in float32. Captum's methods have constants of
# their own (steps of an integral, an epsilon), which leave 1e-3 to 0.02.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import checkpoint

from torchlurk.attribution.rules import deconv, gradient, guided, guided_neg
from torchlurk.models.taps.backward_rules import Rule, Rules, exempt

Slope = Callable[[float], float]
Spelling = Callable[[Tensor], Tensor]


def erf_slope(x: float) -> float:
    """d/dx x Φ(x) = Φ(x) + x φ(x)."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2))) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def tanh_gelu_slope(x: float) -> float:
    """d/dx x/2 (1 + tanh u), u = √(2/π) (x + 0.044715 x³)."""
    k = math.sqrt(2 / math.pi)
    t = math.tanh(k * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mish_slope(x: float) -> float:
    """d/dx x tanh(softplus x)."""
    t = math.tanh(math.log1p(math.exp(x)))
    return t + x * (1 - t * t) * sigmoid(x)


def hardswish_slope(x: float) -> float:
    """X (x + 3) / 6 between -3 and 3."""
    return 0.0 if x < -3 else 1.0 if x > 3 else (2 * x + 3) / 6


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

SLOPES: dict[str, Slope] = {
    "relu": lambda x: 1.0 if x > 0 else 0.0,
    "relu6": lambda x: 1.0 if 0 < x < 6 else 0.0,
    "hardtanh": lambda x: 1.0 if -1 < x < 1 else 0.0,
    "clamp to 0..1": lambda x: 1.0 if 0 < x < 1 else 0.0,
    "leaky_relu": lambda x: 1.0 if x > 0 else 0.2,
    "prelu": lambda x: 1.0 if x > 0 else 0.25,
    "rrelu": lambda x: 1.0 if x > 0 else (1 / 8 + 1 / 3) / 2,
    "elu": lambda x: 1.0 if x > 0 else 0.7 * math.exp(x),
    "selu": lambda x: SELU_SCALE * (1.0 if x > 0 else SELU_ALPHA * math.exp(x)),
    "celu": lambda x: 1.0 if x > 0 else math.exp(x / 1.5),
    "silu": lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    "gelu": erf_slope,
    "tanh gelu": tanh_gelu_slope,
    "mish": mish_slope,
    "hardswish": hardswish_slope,
    "softplus": lambda x: sigmoid(2 * x),
}


def dropped(function: Callable[[Tensor], Any]) -> Spelling:
    """In place, with the return value dropped."""

    def spelled(x: Tensor) -> Tensor:
        function(x)
        return x

    return spelled


def into(function: Callable[..., Any]) -> Spelling:
    """With `out=`, the return value dropped."""

    def spelled(x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        function(x, out=out)
        return out

    return spelled


def in_part(x: Tensor) -> Tensor:
    """Over a view: the halves one after the other."""
    left, right = x[:5], x[5:]
    left.relu_()
    F.relu(right, inplace=True)
    return x


def overwritten_later(x: Tensor) -> Tensor:
    """What the rectification gave is then written to in place, back and forth."""
    y = F.relu(x)
    y += 3
    y -= 3
    return y


def from_functional(x: Tensor) -> Tensor:
    return F.threshold_(x, 0.0, 0.0)


SPELLINGS: list[tuple[str, str, Spelling]] = [
    ("relu", "nn.ReLU()", nn.ReLU()),
    ("relu", "nn.ReLU(inplace=True)", nn.ReLU(inplace=True)),
    ("relu", "F.relu", F.relu),
    ("relu", "F.relu in place, dropped", dropped(lambda x: F.relu(x, inplace=True))),
    ("relu", "F.relu(input=)", lambda x: F.relu(input=x)),
    ("relu", "torch.relu", torch.relu),
    ("relu", "torch.relu_ dropped", dropped(torch.relu_)),
    ("relu", "x.relu()", lambda x: x.relu()),
    ("relu", "x.relu_() dropped", dropped(lambda x: x.relu_())),
    ("relu", "x.clamp(min=0)", lambda x: x.clamp(min=0)),
    ("relu", "x.clamp_(0) dropped", dropped(lambda x: x.clamp_(0))),
    ("relu", "x.clamp_min(0)", lambda x: x.clamp_min(0)),
    ("relu", "torch.clip(x, 0.0)", lambda x: torch.clip(x, 0.0)),
    ("relu", "torch.clamp(out=)", into(lambda x, out: torch.clamp(x, min=0, out=out))),
    ("relu", "torch.clamp(out=x)", dropped(lambda x: torch.clamp(x, min=0, out=x))),
    ("relu", "F.threshold", lambda x: F.threshold(x, 0, 0)),
    ("relu", "F.threshold_", from_functional),
    ("relu", "torch.maximum(x, 0)", lambda x: torch.maximum(x, torch.zeros(()))),
    ("relu", "torch.maximum(0, x)", lambda x: torch.maximum(torch.zeros_like(x), x)),
    ("relu", "torch.maximum(x, other=0)", lambda x: torch.maximum(x, other=torch.zeros(()))),
    ("relu", "torch.max(x, 0)", lambda x: torch.max(x, torch.zeros_like(x))),
    ("relu", "torch.ops.aten.relu", torch.ops.aten.relu.default),
    ("relu", "over views", in_part),
    ("relu", "overwritten later", overwritten_later),
    ("relu", "checkpointed", lambda x: checkpoint(lambda y: F.relu(y + 1 - 1), x, use_reentrant=False)),
    ("relu6", "nn.ReLU6()", nn.ReLU6()),
    ("relu6", "nn.ReLU6(inplace=True) dropped", dropped(nn.ReLU6(inplace=True))),
    ("relu6", "F.relu6", F.relu6),
    ("relu6", "x.clamp(0, 6)", lambda x: x.clamp(0, 6)),
    ("hardtanh", "nn.Hardtanh()", nn.Hardtanh()),
    ("clamp to 0..1", "x.clamp_(0, 1) dropped", dropped(lambda x: x.clamp_(0, 1))),
    ("leaky_relu", "nn.LeakyReLU(0.2)", nn.LeakyReLU(0.2)),
    ("leaky_relu", "F.leaky_relu in place, dropped", dropped(lambda x: F.leaky_relu(x, 0.2, inplace=True))),
    ("prelu", "nn.PReLU()", nn.PReLU(dtype=torch.float64)),
    ("rrelu", "nn.RReLU() in eval mode", nn.RReLU().eval()),
    ("elu", "nn.ELU(0.7)", nn.ELU(0.7)),
    ("elu", "F.elu in place, dropped", dropped(lambda x: F.elu(x, 0.7, inplace=True))),
    ("selu", "nn.SELU()", nn.SELU()),
    ("selu", "torch.selu_", torch.selu_),
    ("celu", "nn.CELU(1.5)", nn.CELU(1.5)),
    ("silu", "nn.SiLU()", nn.SiLU()),
    ("silu", "nn.SiLU(inplace=True) dropped", dropped(nn.SiLU(inplace=True))),
    ("silu", "x * x.sigmoid()", lambda x: x * x.sigmoid()),
    ("silu", "torch.sigmoid(x) * x", lambda x: torch.sigmoid(x) * x),
    ("silu", "x.mul_(x.sigmoid()) dropped", dropped(lambda x: x.mul_(x.sigmoid()))),
    ("gelu", "nn.GELU()", nn.GELU()),
    ("gelu", "F.gelu", F.gelu),
    ("tanh gelu", "F.gelu tanh", lambda x: F.gelu(x, approximate="tanh")),
    ("mish", "nn.Mish()", nn.Mish()),
    ("mish", "F.mish in place, dropped", dropped(lambda x: F.mish(x, inplace=True))),
    ("hardswish", "nn.Hardswish()", nn.Hardswish()),
    ("hardswish", "F.hardswish in place", lambda x: F.hardswish(x, inplace=True)),
    ("softplus", "nn.Softplus(2)", nn.Softplus(2)),
]

RULES: dict[str, tuple[Rule, Callable[[float, float], float]]] = {
    "gradient": (gradient, lambda g, slope: g * slope),
    "deconv": (deconv, lambda g, slope: max(g, 0.0)),
    "guided": (guided, lambda g, slope: max(g, 0.0) * slope),
    "guided_neg": (guided_neg, lambda g, slope: min(g, 0.0) * slope),
}

X = [-4.0, -2.2, -1.5, -0.6, -0.1, 0.1, 0.4, 0.9, 1.7, 3.3, 7.5]
ABOVE = [1.5, -0.5, 0.8, -2.0, 1.1, -0.3, 0.7, 2.5, -1.2, 0.6, -0.9]


def numbers(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def back_through(spelling: Spelling, rule: Rule, x: Tensor, above: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    with Rules(rule):
        value = spelling(leaf.clone())
        # By edges: given tensors, `grad` would run outside the rules, and checkpoints run forward again in it.
        return torch.autograd.grad(get_gradient_edge(value), get_gradient_edge(leaf), above)[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("kind", "name", "spelling"), SPELLINGS, ids=[name for _, name, _ in SPELLINGS])
def test_every_spelling_goes_back_by_the_rule_as_derived_by_hand(kind: str, name: str, spelling: Spelling, rule: str) -> None:
    swapped, formula = RULES[rule]
    found = back_through(spelling, swapped, numbers(X), numbers(ABOVE))
    expected = [formula(g, SLOPES[kind](x)) for g, x in zip(ABOVE, X, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("kind", "name", "spelling"), SPELLINGS, ids=[name for _, name, _ in SPELLINGS])
def test_what_goes_forward_is_the_same_bit_for_bit(kind: str, name: str, spelling: Spelling) -> None:
    x = numbers(X)
    with torch.no_grad():
        plain = spelling(x.clone())
    with Rules(guided):
        ruled = spelling(x.clone().requires_grad_().clone())
    assert torch.equal(plain, ruled)


def test_at_zero_every_spelling_of_relu_lets_nothing_through() -> None:
    zero, above = torch.zeros(11).double(), torch.ones(11).double()
    for kind, name, spelling in SPELLINGS:
        if kind == "relu":
            assert not back_through(spelling, guided, zero, above).any(), name
            assert torch.equal(back_through(spelling, deconv, zero, above), above), name


@pytest.mark.parametrize(
    "function",
    [
        torch.sigmoid,
        torch.tanh,
        F.hardsigmoid,
        F.softsign,
        F.hardshrink,
        F.softshrink,
        lambda x: x.clamp(-5, 5),
        lambda x: x.clamp(max=2),
        lambda x: torch.maximum(x, x.flip(0)),
        lambda x: torch.maximum(x, x * 0),
        lambda x: F.glu(torch.cat([x, x])),
        lambda x: x * torch.sigmoid(x + 1),
        lambda x: torch.maximum(x, torch.zeros(2, 11)).sum(0),
    ],
)
def test_gates_and_what_treats_both_signs_alike_keep_their_gradient(function: Spelling) -> None:
    x, above = numbers(X), numbers(ABOVE)
    assert torch.equal(back_through(function, guided, x, above), back_through(function, gradient, x, above))


def test_the_gradient_is_that_of_torch() -> None:
    x, above = torch.randn(1000, dtype=torch.float64), torch.randn(1000, dtype=torch.float64)
    for spelling in (F.gelu, nn.SiLU(), F.relu, F.mish, F.elu, nn.Hardswish()):
        leaf = x.clone().requires_grad_()
        (plain,) = torch.autograd.grad(spelling(leaf), leaf, above)
        torch.testing.assert_close(back_through(spelling, gradient, x, above), plain, rtol=1e-14, atol=1e-15)


def test_what_was_written_to_since_is_no_longer_gated_by_its_own_sigmoid() -> None:
    def scaled(x: Tensor) -> Tensor:
        gate = x.sigmoid()
        x += 2
        return x * gate

    x, above = numbers(X), numbers(ABOVE)
    assert torch.equal(back_through(scaled, guided, x, above), back_through(scaled, gradient, x, above))


def test_where_gradients_are_off_nothing_is_swapped() -> None:
    def partly(x: Tensor) -> Tensor:
        with torch.no_grad():
            mask = F.relu(x)
        return x * mask

    x = numbers(X)
    expected = [max(value, 0.0) for value in X]
    assert back_through(partly, guided, x, torch.ones(11).double()).tolist() == expected


def test_max_pooling_goes_back_by_its_switches() -> None:
    x = numbers([1, 5, 2, 7, 6, 3]).reshape(1, 1, 6)
    found = back_through(lambda y: F.relu(F.max_pool1d(y, 3)), deconv, x, numbers([2, -3]).reshape(1, 1, 2))
    assert found.flatten().tolist() == [0, 2, 0, 0, 0, 0]


def test_the_last_rectification_can_have_a_rule_of_its_own() -> None:
    leaf = numbers([-1, 2, 3]).requires_grad_()
    with Rules(guided_neg):
        value = F.relu(leaf.clone())
        exempt(value, gradient)
        assert torch.autograd.grad(value.sum(), leaf)[0].tolist() == [0, 1, 1]


def test_nothing_is_left_of_the_rules_after_the_block_also_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), Rules(guided):
        F.relu(torch.ones(1) / (1 - 1 // 0))
    assert torch.overrides._get_current_function_mode_stack() == []
    leaf = torch.ones(2).requires_grad_()
    assert torch.autograd.grad(-F.relu(leaf).sum(), leaf)[0].tolist() == [-1, -1]
